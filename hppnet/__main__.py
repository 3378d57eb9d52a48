"""``python -m hppnet``."""

import os
import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False) and sys.path[0] == os.getcwd():
    # Python has put the working folder first, but a numpy.py among the recordings must not be imported.
    sys.path[:] = sys.path[1:]

from .cli import main

if __name__ == "__main__":  # worker processes import this file too
    main()
