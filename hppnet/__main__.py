"""``python -m hppnet``."""

from .cli import main

if __name__ == "__main__":  # worker processes import this file without being the command
    main()
