"""What the velocity head is given of the spectrum, in numbers: PyTorch's head and the engine's share them.

A file of its own, so that the engine need not load PyTorch.
"""

from __future__ import annotations

import math

from .frontend import FLOOR_DB
from .timebase import FRAMES_PER_SECOND

PAST, FUTURE = 3, 4  #: frames around the onset; fewer of the future where the look-ahead is shorter
BELOW, ABOVE = 12, 60  #: keys around the one that is struck
AROUND = BELOW + 1 + ABOVE
MEMORY = 5 * FRAMES_PER_SECOND - 1  #: earlier frames from which loudness is known
#: What is kept of a frame beside the keys' levels: its loudness, the mean of its bins, and that it was there.
LOUDNESS = 3
#: The head's inputs lie around 0, or it learns slowly: levels from -60 dB up and down (see
#: ``frontend.normal``), the loudest of the last seconds and the mean of all bins from where they mostly are.
LEVEL, LOUDEST, MEAN, SPREAD = 0.36, 2.45, 1.14, 2.5
SILENCE = -1 - LEVEL
NEPERS = -FLOOR_DB / 3 * math.log(10) / 10  #: of power, in one unit of a level as ``frontend.normal`` has it
