"""The options of ``hppnet evaluate``, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..data.labels import NOTE_ENDS
from .conditions import Conditions, Listening
from .peers import NAMES
from .playing import find_sound_font

ALL = "all"  #: the value of --latency
ERRORS_PICTURE, LATENCY_PICTURE = Path("evaluate-errors.png"), Path("evaluate-latency.png")
OWN = "hppnet"


class EvaluationRefusal(Exception):
    """An evaluation that cannot be done; why, in one line. ``code``: 2 for wrong use, 1 for a failure."""

    def __init__(self, line: str, code: int = 2) -> None:
        super().__init__(line)
        self.code = code


@dataclass(frozen=True)
class Options:
    """The command line's options. Raises EvaluationRefusal for conflicting options and missing files."""

    data: Path | None
    models: tuple[str, ...]
    predictions: Path | None
    no_piano: tuple[Path, ...]
    starts: int | None  #: number of excerpts of ``no_piano``; None: whole recordings
    soundfont: Path | None  #: renders the phrases of ``playing``; None: without these phrases
    latency: float | str | None  #: ms; None: full context; ALL: every one
    checkpoint: Path | None
    device: str
    thresholds: dict[str, float | None]
    note_ends: str | None
    listening: Listening
    channel: int | None  #: channel of the recordings, from 1; None: see ``model.downmix``
    track: int | None  #: track of files with several audio tracks, from 1
    jobs: int
    errors: bool
    plot: Path | None
    json_file: str | None
    csv_file: Path | None
    force: bool = False  #: replace reports that other programs wrote

    def __post_init__(self) -> None:
        if self.data is None and not self.no_piano and not self.playing:
            raise EvaluationRefusal(
                "expected a folder of recordings with labels, --playing or --no-piano, got none"
            )
        self._check_playing()
        if self.starts is not None and not self.no_piano:
            raise EvaluationRefusal("--starts needs --no-piano PATH, recordings to begin in")
        if self.starts is not None and self.predictions:
            raise EvaluationRefusal("--predictions were made from whole recordings: leave out --starts")
        self._check_inputs()
        self._check_models()
        self._check_outputs()

    @property
    def playing(self) -> bool:
        return self.soundfont is not None

    @property
    def several_runs(self) -> bool:
        return len(self.models) + bool(self.predictions) > 1 or self.latency == ALL or self.playing

    @property
    def written(self) -> dict[str, Path]:
        """The files that the evaluation writes, by their kind."""
        json_file = None if self.json_file in (None, "-") else Path(str(self.json_file))
        written = {"json": json_file, "csv": self.csv_file, "png": self.picture}
        return {kind: path for kind, path in written.items() if path is not None}

    @property
    def picture(self) -> Path | None:
        """The picture's file; None: no picture."""
        if self.latency == ALL:
            return self.plot or LATENCY_PICTURE
        return (self.plot or ERRORS_PICTURE) if self.errors else None

    def _check_playing(self) -> None:
        if not self.playing:
            return
        alone = {"DATA": self.data, "--predictions": self.predictions, "--latency": self.latency}
        for name, value in (alone | {"--no-piano": self.no_piano}).items():
            if value:
                raise EvaluationRefusal(
                    f"--playing renders its recordings, at latencies of its own: leave out {name}"
                )

    def _check_inputs(self) -> None:
        conditions = self.listening.conditions
        folders = (self.data, self.predictions, conditions.rooms, conditions.noises)
        for path in (*folders, self.checkpoint, self.soundfont, *self.no_piano):
            if path is not None and not path.exists():
                raise EvaluationRefusal(f"{path}: no such file or folder")
        if self.checkpoint is not None and not self.checkpoint.is_file():
            raise EvaluationRefusal(
                f"{self.checkpoint}: expected a checkpoint (.safetensors), this is a folder"
            )
        for folder in folders:
            if folder is not None and not folder.is_dir():
                raise EvaluationRefusal(f"{folder}: expected a folder, got a file")

    def _check_models(self) -> None:
        for name in self.models:
            if name not in (OWN, *NAMES):
                raise EvaluationRefusal(f"--model: expected one of {', '.join((OWN, *NAMES))}, got {name!r}")
        if len(set(self.models)) < len(self.models):
            raise EvaluationRefusal(f"--model: expected each model once, got {', '.join(self.models)}")
        own = {"--checkpoint": self.checkpoint, "--latency": self.latency}
        own |= {f"--{name}-threshold": value for name, value in self.thresholds.items()}
        useless = [option for option, value in own.items() if value is not None]
        if useless and OWN not in self.models:
            raise EvaluationRefusal(
                f"{useless[0]} is for hppnet itself, which is not evaluated: add --model {OWN}"
            )
        if self.predictions and self.listening.conditions.any:
            raise EvaluationRefusal("--predictions were made from other sound: leave out the conditions")
        if self.note_ends not in (None, *NOTE_ENDS):
            raise EvaluationRefusal(f"--note-ends: expected {' or '.join(NOTE_ENDS)}, got {self.note_ends!r}")

    def _check_outputs(self) -> None:
        """Checks the output files now, not after an hour."""
        json_file = None if self.json_file in (None, "-") else Path(str(self.json_file))
        reports = {"json": json_file, "csv": self.csv_file, "plot": self.plot}
        named = {kind: path for kind, path in reports.items() if path is not None}
        for kind, path in named.items():
            if not path.absolute().parent.is_dir():
                raise EvaluationRefusal(f"--{kind} {path}: there is no such folder")
            if path.is_dir():
                raise EvaluationRefusal(f"--{kind} {path}: expected a file, this is a folder")
        if self.plot and not self.errors and self.latency != ALL:
            raise EvaluationRefusal("--plot draws --errors or --latency all: expected one of them")
        if self.errors and self.several_runs:
            raise EvaluationRefusal("--errors looks at one model at one latency, got several")
        if self.data is None and (self.errors or self.plot):
            raise EvaluationRefusal("--errors and --plot need recordings with labels, got --no-piano alone")
        if len({path.resolve() for path in self.written.values()}) < len(self.written):
            raise EvaluationRefusal(
                "--json, --csv and the picture: expected a file for each, got one for two of them"
            )


def wanted_soundfont(given: Path | None, playing: bool) -> Path | None:
    """The sound font for --playing, None without --playing. Raises EvaluationRefusal if none is found."""
    if given is not None and not playing:
        raise EvaluationRefusal("--soundfont is for --playing")
    try:
        return given or (find_sound_font() if playing else None)
    except ValueError as error:
        raise EvaluationRefusal(str(error), 1) from None


def listening(
    first_s: float | None,
    noise: Path | None,
    snr_db: float | None,
    rooms: Path | None,
    detune_cents: float,
    gain_db: float,
) -> Listening:
    """The checked conditions. Raises EvaluationRefusal for impossible ones."""
    if snr_db is not None and noise is None:
        raise EvaluationRefusal("--snr needs --noise DIR")
    try:
        level = Conditions.snr_db if snr_db is None else snr_db
        return Listening(first_s, Conditions(detune_cents, rooms, noise, level, gain_db))
    except ValueError as error:
        raise EvaluationRefusal(str(error)) from None
