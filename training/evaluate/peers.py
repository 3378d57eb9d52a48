"""Piano transcribers behind one protocol: other people's programs, to compare and label with, and hppnet.

The other programs are installed on demand (``pip install 'hppnet[peers]'`` has what pip can resolve); each
adapter says how. An adapter imports its program in ``load`` only.

Basic Pitch: Bittner et al., "A Lightweight Instrument-Agnostic Model for Polyphonic Note Transcription and
Multipitch Estimation", ICASSP 2022. Runs its own inference with the ONNX model in its wheel.

Transkun: Yan and Duan, "Scoring Time Intervals Using Non-Hierarchical Transformer for Automatic Piano
Transcription", ISMIR 2024. Uses the weights in its wheel. Those of 2.0.1 end notes at key releases and detect
the sustain and soft pedals as separate events, whose pitch is the negative controller number.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import soundfile
import soxr

from ...model.checkpoint import DEFAULT, LICENCE
from ...model.downmix import Downmix
from ...model.midi_file import SUSTAIN
from ...model.notes import Note, Press

if TYPE_CHECKING:
    from ...model.transcriber import Transcriber


class Prediction(NamedTuple):
    """A peer's transcription of one recording."""

    notes: list[Note]  #: in any order
    pedal: list[Press] | None  #: presses of the sustain pedal, in any order; None: not predicted


class AboutProgram(NamedTuple):
    """A program's download size and licences."""

    download_mb: float  #: size of the program and its weights, without dependencies
    code_licence: str
    weights_licence: str


class PeerTranscriber(Protocol):
    """The interface of all adapters."""

    name: str  #: its value for ``--model``
    needs: tuple[str, ...]  #: the modules that it imports
    install: str  #: the command that installs them
    note_ends: str  #: where its notes end: keys or sounding, as in ``prepared.json``

    @property
    def about(self) -> AboutProgram: ...

    def load(self) -> None:
        """Imports the program and loads its weights."""

    def transcribe(self, path: Path) -> Prediction:
        """Transcribes a sound file that libsndfile can read."""


def missing(peer: PeerTranscriber) -> list[str]:
    """The modules that a peer needs and that are not installed."""
    return [name for name in peer.needs if not _is_there(name)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ValueError:  # a stub in sys.modules has no spec
        return False


def rounded_velocity(value: float) -> int:
    """A loudness of 0 to 127 as a MIDI velocity."""
    return min(127, max(1, round(value)))


class ProgramLoadError(Exception):
    """A program that cannot be started. The message is one line."""


BLOCK = 1 << 19  #: samples per block, over all channels


class OwnPeer:
    """hppnet with full context, on the CPU. ``checkpoint`` is a file of weights; None: the shipped ones."""

    name = "hppnet"
    needs: tuple[str, ...] = ()
    install = "pip install hppnet"
    note_ends = "keys"  #: ``load`` sets it to the checkpoint's

    def __init__(self, checkpoint: Path | None = None) -> None:
        self.checkpoint = checkpoint

    @property
    def about(self) -> AboutProgram:
        """Download size (of the weights alone) and licences."""
        path = self.checkpoint or DEFAULT
        return AboutProgram(path.stat().st_size / 1e6, "MIT", LICENCE if path == DEFAULT else "not known")

    def load(self) -> None:
        """Raises CheckpointError for a bad file."""
        from ...model.device import one_thread
        from ...model.transcriber import Transcriber

        self.transcriber: Transcriber = Transcriber.load(self.checkpoint, device="cpu")
        one_thread()
        self.note_ends = self.transcriber.config.note_ends

    def transcribe(self, path: Path) -> Prediction:
        with soundfile.SoundFile(path) as file:
            blocks = file.blocks(BLOCK // file.channels, dtype="float32", always_2d=True)
            mix = Downmix(file.channels, file.samplerate)
            found = self.transcriber.transcribe_blocks(map(mix.feed, blocks), file.samplerate)
        return Prediction(found.notes, found.pedal)


class BasicPitch:
    """Basic Pitch 0.4, with its default thresholds."""

    name = "basic-pitch"
    needs: tuple[str, ...] = ("basic_pitch", "onnxruntime", "resampy", "sklearn", "librosa")
    # Its wheel requires a TensorFlow that newer Pythons do not have and that its ONNX model does not need.
    install = "pip install 'hppnet[peers]' && pip install --no-deps basic-pitch==0.4.0"
    note_ends = "sounding"  #: it detects no pedal: a note ends with its sound
    about = AboutProgram(0.8, "Apache-2.0", "Apache-2.0")  #: size of its wheel on PyPI

    def load(self) -> None:
        logging.getLogger().setLevel(logging.ERROR)  # it warns of every runtime that is not installed
        package = import_module("basic_pitch")
        inference = import_module("basic_pitch.inference")
        onnx = package.build_icassp_2022_model_path(package.FilenameSuffix.onnx)
        self._model: Any = inference.Model(onnx)
        self._predict: Any = inference.predict

    def transcribe(self, path: Path) -> Prediction:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the file's name
            _, _, events = self._predict(path, self._model)
        notes = [
            Note(float(begin), float(end), int(pitch), rounded_velocity(127 * float(amplitude)))
            for begin, end, pitch, amplitude, _ in events
        ]
        return Prediction(notes, pedal=None)


_MEL = "framewiseFeatureExtractor.freq2mels"


class Transkun:
    """Transkun 2, on the CPU."""

    name = "transkun"
    needs: tuple[str, ...] = ("transkun", "moduleconf", "mir_eval", "ncls")
    install = "pip install 'hppnet[peers]'"
    note_ends = "keys"
    about = AboutProgram(50.8, "MIT", "MIT (trained on MAESTRO, CC BY-NC-SA 4.0)")  #: size of its wheel

    def load(self) -> None:
        import torch

        torch.set_num_threads(1)  # as for hppnet: on a busy machine, two threads are slower than one
        folder = Path(next(iter(import_module("transkun").__path__))) / "pretrained"
        settings = import_module("moduleconf").parseFromFile(str(folder / "2.0.conf"))["Model"]
        saved = torch.load(folder / "2.0.pt", map_location="cpu", weights_only=True)
        with _without_torchaudio():
            self._model: Any = settings.module.TransKun(conf=settings.config)
        weights = saved.get("best_state_dict", saved.get("state_dict"))
        if _MEL not in weights:
            raise ValueError(f"expected the weights of transkun 2.0.1, with {_MEL}; {self.install}")
        self._model.load_state_dict(weights, strict=False)  # as its own command does
        self._model.eval()

    def transcribe(self, path: Path) -> Prediction:
        import torch

        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        sound = torch.from_numpy(soxr.resample(samples, rate, self._model.fs))
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # newer versions of torch warn here
            events = self._model.transcribe(sound, discardSecondHalf=False)
        return prediction(events)


def prediction(events: list[Any]) -> Prediction:
    """Transkun's events (start, end, pitch, velocity) as notes and presses of the sustain pedal.

    Events of the soft pedal are left out.
    """
    notes = [
        Note(float(e.start), float(e.end), int(e.pitch), rounded_velocity(float(e.velocity)))
        for e in events
        if e.pitch > 0
    ]
    # The velocity of a pedal event has no meaning: the model was trained on down or up alone.
    pedal = [Press(float(e.start), float(e.end)) for e in events if e.pitch == -SUSTAIN]
    return Prediction(notes, pedal)


@contextmanager
def _without_torchaudio() -> Iterator[None]:
    """Replaces torchaudio, of which Transkun uses only the mel filters, by a stub.

    PyPI has torchaudio for CUDA only; it cannot be imported beside a PyTorch for CPUs. Transkun's weights
    include the filters and overwrite the stub's zeros.
    """

    def melscale_fbanks(n_freqs: int, n_mels: int, **_: object) -> Any:
        import torch

        return torch.zeros(n_freqs, n_mels)

    before = sys.modules.get("torchaudio")
    module = types.ModuleType("torchaudio")
    module.functional = types.SimpleNamespace(melscale_fbanks=melscale_fbanks)  # type: ignore[attr-defined]
    sys.modules["torchaudio"] = module
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
        if before is not None:
            sys.modules["torchaudio"] = before


#: Other people's programs by name. hppnet is not here: ``OwnPeer`` takes a checkpoint.
_ADAPTERS: dict[str, Callable[[], PeerTranscriber]] = {"basic-pitch": BasicPitch, "transkun": Transkun}
NAMES = tuple(_ADAPTERS)


def make(name: str) -> PeerTranscriber:
    """The adapter of a peer, not yet loaded."""
    return _ADAPTERS[name]()
