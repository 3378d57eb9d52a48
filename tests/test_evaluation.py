"""Scores of hand-made notes, label files, and the ``evaluate`` command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mir_eval
import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.checkpoint import save
from hppnet.model.config import DecoderConfig, ModelConfig, NetworkConfig
from hppnet.model.network import HPPNet
from hppnet.model.notes import Note, write_midi
from hppnet.model.transcriber import Transcriber, Transcription
from hppnet.training.notes_table import LabelError, read_labels
from hppnet.training.scores import PRF, NoteArrays, doubled_percent, mean, score

ONSETS = tuple(f"onset_{ms}ms" for ms in (10, 20, 30, 50))
#: Ten notes a second apart, half a second long, one key after the other, louder and louder.
SCALE = [Note(1.0 + i, 1.5 + i, 60 + i, 30 + 8 * i) for i in range(10)]
PERFECT = PRF(100.0, 100.0, 100.0)
NOTHING = PRF(0.0, 0.0, 0.0)


def shifted(notes: list[Note], by_s: float, velocity: int = 0) -> list[Note]:
    return [Note(n.onset_s + by_s, n.offset_s + by_s, n.pitch, n.velocity + velocity) for n in notes]


def unknown(notes: list[Note]) -> list[Note]:
    return [Note(n.onset_s, n.offset_s, n.pitch, 0) for n in notes]


# --- scores ---


def test_perfect():
    s = score(SCALE, SCALE)
    for name in (*ONSETS, "onset_offset", "onset_offset_velocity", "frame"):
        assert getattr(s, name) == PERFECT, name
    assert s.velocity_mae == 0 and s.doubled_percent == 0


def test_shifted_by_30_ms_is_right_from_30_ms_on():
    s = score(SCALE, shifted(SCALE, 0.03))
    assert s.onset_10ms == NOTHING and s.onset_20ms == NOTHING
    assert s.onset_30ms == PERFECT and s.onset_50ms == PERFECT and s.onset_offset == PERFECT
    # 3 of each note's 50 instants are missed at its begin, 3 too many follow its end.
    assert s.frame == PRF(pytest.approx(94), pytest.approx(94), pytest.approx(94))


def test_a_late_release_costs_the_offset_only():
    # The tolerance is 20 % of 0.5 s.
    for late, expected in ((0.09, PERFECT), (0.11, NOTHING)):
        s = score(SCALE, [Note(n.onset_s, n.offset_s + late, n.pitch, n.velocity) for n in SCALE])
        assert s.onset_offset == expected and s.onset_10ms == PERFECT


def test_missing_notes_cost_recall_and_extra_notes_precision():
    s = score(SCALE, SCALE[:6])
    assert s.onset_50ms == PRF(100.0, 60.0, pytest.approx(75.0))
    assert s.frame == PRF(100.0, 60.0, pytest.approx(75.0))
    s = score(SCALE[:6], SCALE)
    assert s.onset_50ms == PRF(60.0, 100.0, pytest.approx(75.0))


def test_a_semitone_off_is_wrong():
    s = score(SCALE, [Note(n.onset_s, n.offset_s, n.pitch + 20, n.velocity) for n in SCALE])
    assert s.onset_50ms == NOTHING and s.frame == NOTHING and s.velocity_mae is None


def test_velocities_are_right_up_to_a_straight_line():
    s = score(SCALE, shifted(SCALE, 0, velocity=12))
    assert s.onset_offset_velocity == PERFECT  # a louder microphone is no mistake
    assert s.velocity_mae == pytest.approx(12)
    wild = [Note(n.onset_s, n.offset_s, n.pitch, 20 if i == 5 else n.velocity) for i, n in enumerate(SCALE)]
    s = score(SCALE, wild)
    assert s.velocity_mae == pytest.approx(5) and s.onset_offset == PERFECT
    assert s.onset_offset_velocity.f1 < 95


def test_unknown_velocities_are_left_out():
    s = score(unknown(SCALE), SCALE)
    assert s.onset_offset_velocity is None and s.velocity_mae is None
    assert s.onset_50ms == PERFECT
    # The unknown half neither helps nor harms: heard or not, the known half is judged alone.
    half = SCALE[:5] + unknown(SCALE[5:])
    assert score(half, SCALE).onset_offset_velocity == PERFECT
    assert score(half, SCALE[:5]).onset_offset_velocity == PERFECT
    assert score(half, SCALE[5:]).onset_offset_velocity == NOTHING
    assert score(half, shifted(SCALE, 0, velocity=7)).velocity_mae == pytest.approx(7)


def test_nothing_played_and_nothing_heard():
    for played, heard in ((SCALE, []), ([], SCALE)):
        s = score(played, heard)
        assert s.onset_50ms == NOTHING and s.onset_offset == NOTHING and s.frame == NOTHING
        assert s.velocity_mae is None and s.doubled_percent == 0
    s = score([], [])
    assert s.onset_50ms is None and s.frame is None and s.onset_offset_velocity is None
    assert mean([s, score(SCALE, SCALE)]).onset_50ms == PERFECT


def test_notes_of_no_length_and_before_time_zero_are_scored():
    short = [Note(n.onset_s, n.onset_s, n.pitch, n.velocity) for n in SCALE]
    assert score(short, short).onset_offset == PERFECT
    early, at_zero = [Note(-0.004, 0.5, 60, 50)], [Note(0.0, 0.5, 60, 50)]
    assert score(early, at_zero).onset_offset == score(at_zero, early).onset_offset == PERFECT


def test_each_played_note_is_used_once():
    twice = sorted(SCALE + shifted(SCALE, 0.04), key=lambda n: n.onset_s)
    s = score(SCALE, twice)
    assert s.onset_50ms == PRF(50.0, 100.0, pytest.approx(200 / 3))
    assert s.doubled_percent == 50


def test_doubled_means_one_stroke_heard_twice():
    def notes(*onsets: float) -> list[Note]:
        return [Note(t, t + 0.02, 60, 64) for t in onsets]

    assert doubled_percent(notes(1.0), notes(1.0, 1.045)) == 50
    assert doubled_percent(notes(1.0), notes(1.0, 1.055)) == 0  # too far apart
    assert doubled_percent(notes(1.0, 1.045), notes(1.005, 1.04)) == 0  # a trill, heard as played
    assert doubled_percent(notes(1.0), notes(1.0, 1.04, 1.08)) == pytest.approx(200 / 3)
    assert doubled_percent([], notes(1.0, 1.04)) == 50
    assert doubled_percent(notes(1.0), [Note(1.0, 1.1, 60, 64), Note(1.05, 1.1, 72, 64)]) == 0


def test_mean_is_over_files_and_skips_what_is_unknown():
    m = mean([score(SCALE, SCALE), score(unknown(SCALE), SCALE[:6])])
    assert m.onset_50ms == PRF(100.0, 80.0, pytest.approx(87.5))
    assert m.onset_offset_velocity == PERFECT and m.velocity_mae == 0
    assert mean([score(unknown(SCALE), SCALE)]).velocity_mae is None
    with pytest.raises(ValueError, match="at least one"):
        mean([])


def busy(rng: np.random.Generator, n: int) -> tuple[list[Note], list[Note]]:
    """Crowded notes and a poor transcription of them, with many ambiguous matches."""
    onsets = np.sort(rng.uniform(0, n / 40, n))
    offsets = onsets + rng.uniform(0.02, 0.6, n)
    keys = zip(rng.integers(60, 66, n), rng.integers(1, 128, n), strict=True)
    played = [
        Note(float(a), float(b), int(pitch), int(velocity))
        for a, b, (pitch, velocity) in zip(onsets, offsets, keys, strict=True)
    ]
    heard = [
        Note(
            max(0.0, note.onset_s + float(rng.normal(0, 0.02))),
            note.offset_s + float(rng.uniform(0.05, 0.2)),
            note.pitch,
            int(np.clip(note.velocity + rng.normal(0, 12), 1, 127)),
        )
        for note in played
        if rng.uniform() < 0.9
    ]
    return played, heard + played[::7]


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_mir_eval_on_everything_at_once(seed):
    played, heard = busy(np.random.default_rng(seed), 300)
    s, a, b = score(played, heard), NoteArrays.of(played), NoteArrays.of(heard)

    def percent(values):
        return pytest.approx([100 * v for v in values[:3]])

    for ms in (10, 20, 30, 50):
        theirs = mir_eval.transcription.precision_recall_f1_overlap(
            a.times_s, a.hz, b.times_s, b.hz, onset_tolerance=ms / 1000, offset_ratio=None
        )
        ours = getattr(s, f"onset_{ms}ms")
        assert [ours.p, ours.r, ours.f1] == percent(theirs), ms
    theirs = mir_eval.transcription.precision_recall_f1_overlap(a.times_s, a.hz, b.times_s, b.hz)
    assert [s.onset_offset.p, s.onset_offset.r, s.onset_offset.f1] == percent(theirs)
    theirs = mir_eval.transcription_velocity.precision_recall_f1_overlap(
        a.times_s, a.hz, a.velocities, b.times_s, b.hz, b.velocities
    )
    ours = s.onset_offset_velocity
    assert [ours.p, ours.r, ours.f1] == percent(theirs)
    assert 0 < ours.f1 < s.onset_offset.f1 < s.onset_50ms.f1 < 100  # the lists do tell the scores apart


def test_frames_equal_mir_evals_multipitch():
    played, heard = busy(np.random.default_rng(1), 80)
    times = np.arange(0, 5, 0.01)

    def sounding(notes):
        at = ({n.pitch for n in notes if n.onset_s <= t < n.offset_s} for t in times)
        return [440.0 * 2.0 ** ((np.array(sorted(pitches)) - 69) / 12) for pitches in at]

    p, r, *_ = mir_eval.multipitch.metrics(times, sounding(played), times, sounding(heard))
    frame = score(played, heard).frame
    assert (frame.p, frame.r) == (pytest.approx(100 * p), pytest.approx(100 * r))


# --- label files ---

HEADER = "onset\toffset\tnote\tvelocity\n"


def write_labels(path: Path, notes: list[Note]) -> Path:
    path.write_text(HEADER + "".join(f"{n.onset_s}\t{n.offset_s}\t{n.pitch}\t{n.velocity}\n" for n in notes))
    return path


def test_labels_read_back_sorted(tmp_path):
    path = write_labels(tmp_path / "a.tsv", SCALE[::-1])
    assert read_labels(path) == SCALE


def test_columns_may_come_in_any_order_and_velocity_may_be_unknown(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("velocity\tnote\tonset\toffset\tpedal\n0\t21\t0.5\t0.5\t1\n")
    assert read_labels(path) == [Note(0.5, 0.5, 21, 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the columns onset, offset, note, velocity.*found none"),
        ("onset,offset,note,velocity\n1,2,60,64\n", "expected the columns.*'onset,offset,note,velocity'"),
        ("onset\toffset\tnote\n1\t2\t60\n", "expected the columns"),
        (HEADER + "1\t2\t60\t64\n1\t2\tC4\t64\n", "line 3: .*C4"),
        (HEADER + "1\t2\t60\n", "line 2: .*velocity"),
        (HEADER + "2\t1\t60\t64\n", "line 2: expected 0 <= onset <= offset, got 2 and 1"),
        (HEADER + "nan\t1\t60\t64\n", "line 2: expected 0 <= onset"),
        (HEADER + "0\tinf\t60\t64\n", "line 2: expected 0 <= onset"),
        (HEADER + "1\t2\t60.5\t64\n", "line 2: expected a MIDI key"),
        (HEADER + "1\t2\t60\t128\n", "line 2: expected a velocity"),
    ],
)
def test_bad_tables_are_named_with_the_line(tmp_path, text, message):
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    with pytest.raises(LabelError, match=message) as caught:
        read_labels(path)
    assert str(path) in str(caught.value)


def test_unreadable_labels_are_label_errors(tmp_path):
    with pytest.raises(LabelError, match=r"none\.tsv"):
        read_labels(tmp_path / "none.tsv")
    (tmp_path / "bytes.tsv").write_bytes(b"\xff\xfe\x00onset")
    with pytest.raises(LabelError, match=r"bytes\.tsv"):
        read_labels(tmp_path / "bytes.tsv")
    (tmp_path / "bad.mid").write_bytes(b"MThd\x00\x00")
    with pytest.raises(LabelError, match=r"bad\.mid"):
        read_labels(tmp_path / "bad.mid")


# --- the command ---

RATE = 16_000


def write_clicks(path: Path, notes: list[Note]) -> None:
    """A recording that :class:`Clicks` understands: one sample a note, its pitch as the amplitude."""
    sound = np.zeros(round(RATE * (max(n.offset_s for n in notes) + 0.1)), dtype=np.float32)
    for note in notes:
        sound[round(note.onset_s * RATE)] = note.pitch / 128
    soundfile.write(path, sound, RATE, subtype="FLOAT")


class Clicks:
    """Hears the notes of :func:`write_clicks`; in the place of a network, which is slow and errs."""

    checkpoint_name, precision, device = "clicks", "fp32", "cpu"
    config = ModelConfig()

    def with_thresholds(self, **thresholds: float | None) -> Clicks:
        self.config = ModelConfig(decoder=DecoderConfig(**{k: v for k, v in thresholds.items() if v}))
        return self

    def transcribe_blocks(self, blocks, sample_rate, *, latency_ms=None) -> Transcription:
        self.latency_ms = latency_ms
        sound = np.concatenate(list(blocks))
        notes = [
            Note(i / RATE, min(i / RATE + 0.5, len(sound) / RATE), round(float(sound[i]) * 128), 64)
            for i in np.flatnonzero(sound)
        ]
        return Transcription(notes, len(sound) / RATE)


@pytest.fixture
def clicks(monkeypatch) -> Clicks:
    transcriber = Clicks()
    monkeypatch.setattr(Transcriber, "load", lambda checkpoint, device: transcriber)
    return transcriber


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two recordings heard perfectly, but for one note more than was played in the second."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, played in (("a", SCALE), ("b", SCALE[:9])):
        write_clicks(folder / f"{name}.wav", SCALE)
        write_labels(folder / f"{name}.tsv", played)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def scores_of(*arguments: object) -> dict:
    result = run(*arguments, "--json", "-")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_has_every_score_of_every_file_and_their_mean(clicks, folder):
    report = scores_of(folder)
    assert list(report["files"]) == ["a", "b"] and not report["failed"]
    names = [*ONSETS, "onset_offset", "onset_offset_velocity", "frame"]
    for scores in (report["mean"], *report["files"].values()):
        assert list(scores) == [*names, "velocity_mae", "doubled_percent"]
        assert all(set(scores[name]) == {"p", "r", "f1"} for name in names)
    assert report["files"]["a"]["onset_50ms"] == {"p": 100.0, "r": 100.0, "f1": 100.0}
    assert report["files"]["b"]["onset_50ms"]["p"] == 90.0
    assert report["mean"]["onset_50ms"] == {"p": 95.0, "r": 100.0, "f1": pytest.approx((100 + 1800 / 19) / 2)}
    assert report["settings"]["checkpoint"] == "clicks" and report["settings"]["note_ends"] == "keys"
    assert report["settings"]["latency_ms"] is None


def test_table_and_json_file(clicks, folder, tmp_path):
    result = run(folder, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0
    assert "mean of 2" in result.stdout and "full context" in result.stdout and "97.4" in result.stdout
    assert json.loads((tmp_path / "scores.json").read_text())["mean"]["onset_50ms"]["p"] == 95.0


def test_first_seconds_cut_sound_and_labels(clicks, folder):
    # Four of ten notes begin before 4.2 s; the last sounds until then.
    report = scores_of(folder, "--first-seconds", 4.2)
    for scores in report["files"].values():
        for name in ("onset_50ms", "onset_offset", "frame"):
            assert scores[name] == {"p": 100, "r": 100, "f1": 100}, name


def test_streaming_and_thresholds_reach_the_transcriber(clicks, folder):
    report = scores_of(folder, "--streaming", "--latency", "fast", "--onset-threshold", 0.3)
    assert clicks.latency_ms == pytest.approx(52) and report["settings"]["latency_ms"] == pytest.approx(52)
    assert report["settings"]["thresholds"]["onset"] == clicks.config.decoder.onset == 0.3
    scores_of(folder, "--streaming")
    assert clicks.latency_ms == pytest.approx(132)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--streaming", "--latency", "60"], "52, 72, 92"),
        (["--latency", "132"], "--streaming"),
        (["--onset-threshold", "1"], "between 0 and 1"),
        (["--json", "/nowhere/at/all.json"], "no such folder"),
    ],
)
def test_wrong_use(clicks, folder, arguments, message):
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


def test_bad_files_are_named_and_the_others_go_on(clicks, folder):
    (folder / "lonely.tsv").write_text(HEADER)
    write_clicks(folder / "unlabelled.wav", SCALE)
    write_clicks(folder / "wrong.wav", SCALE)
    (folder / "wrong.tsv").write_text("begin\tend\n")
    write_labels(folder / "broken.tsv", SCALE)
    (folder / "broken.wav").write_text("not sound")
    write_labels(folder / "twice.tsv", SCALE)
    write_clicks(folder / "twice.wav", SCALE)
    write_clicks(folder / "twice.aiff", SCALE)
    (folder / "README.md").write_text("neither sound nor labels")
    result = run(folder, "--json", "-")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert list(report["files"]) == ["a", "b"]
    assert sorted(report["failed"]) == ["broken", "lonely", "twice", "unlabelled", "wrong"]
    errors = [line for line in result.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 5
    expected = ("lonely.tsv has no recording", "unlabelled.wav has no labels", "expected the columns")
    for words in (*expected, "broken.wav", "twice.aiff and twice.wav"):
        assert sum(words in line for line in errors) == 1, words


def test_a_folder_without_pairs(clicks, tmp_path):
    result = run(tmp_path)
    assert result.exit_code == 1 and "found none" in result.stderr
    assert run(tmp_path / "nowhere").exit_code == 2


def test_a_checkpoint_that_is_none(tmp_path, folder):
    (tmp_path / "bad.safetensors").write_bytes(b"12345678")
    result = run(folder, "--checkpoint", tmp_path / "bad.safetensors")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ") and "bad.safetensors" in result.stderr


def test_unknown_velocities_are_null(clicks, folder):
    write_labels(folder / "a.tsv", unknown(SCALE))
    report = scores_of(folder)
    a, b = report["files"]["a"], report["files"]["b"]
    assert a["onset_offset_velocity"] is None and a["velocity_mae"] is None
    assert report["mean"]["velocity_mae"] == b["velocity_mae"] > 0


def test_midi_files_serve_as_labels_where_there_is_no_table(clicks, folder):
    write_midi(SCALE, folder / "a.mid")  # the table has all notes too: which was read?
    write_labels(folder / "a.tsv", SCALE[:5])
    write_midi(SCALE[:6], folder / "b.mid")
    (folder / "b.tsv").unlink()
    report = scores_of(folder)
    assert report["files"]["a"]["onset_50ms"]["p"] == 50
    assert report["files"]["b"]["onset_50ms"]["p"] == 60


def test_without_mir_eval_the_extra_is_named(monkeypatch, folder):
    for module in ("hppnet.training.evaluation", "hppnet.training.scores"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "mir_eval", None)
    result = run(folder)
    assert result.exit_code == 1
    assert result.stderr.strip().count("\n") == 0 and "hppnet[train]" in result.stderr


def test_several_processes_give_the_same_scores(tmp_path, folder):
    checkpoint = tmp_path / "small.safetensors"
    config = ModelConfig(NetworkConfig(stem_channels=2, body_channels=2, lstm_units=2))
    torch.manual_seed(0)
    save(checkpoint, HPPNet(config.network), config)
    # Thresholds low enough for a network that has learned nothing to hear something.
    options = ["--checkpoint", checkpoint, "--first-seconds", 3, "--onset-threshold", 0.05]
    options += ["--frame-threshold", 0.01]
    alone = scores_of(folder, *options)
    assert alone["mean"]["frame"]["p"] > 0
    shared = scores_of(folder, *options, "--jobs", 2)
    for speed in ("x_realtime", "peak_mib"):
        assert shared.pop(speed) > 0 and alone.pop(speed) > 0
    assert shared == alone
