"""The command ``hppnet``, with a network of a few weights in place of the real one."""

import csv
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
from typer.testing import CliRunner

from hppnet.cli import app
from hppnet.model.notes import TRACK_NAME, read_midi

from . import children

RATE = 16_000
OURS = f"MThd {TRACK_NAME}"  # enough of an earlier output to be known as one
HPPNET = [sys.executable, "-m", "hppnet"]
unix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals as on Unix")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A checkpoint whose network is small, untrained and talkative."""
    import torch

    from hppnet.model import checkpoint
    from hppnet.model.config import ModelConfig, NetworkConfig
    from hppnet.model.network import HPPNet

    torch.manual_seed(0)
    config = ModelConfig(network=NetworkConfig(stem_channels=2, body_channels=4, lstm_units=2))
    network = HPPNet(config.network)
    with torch.no_grad():
        network.bias[:] = torch.tensor([-0.3, 2.0, -2.0])
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    checkpoint.save(path, network, config)
    return path


def noise(path, seconds=1.0, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    soundfile.write(path, samples, RATE)
    return path


@pytest.fixture
def rec(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise(tmp_path / "rec" / "a.wav")
    noise(tmp_path / "rec" / "in" / "b.flac", 1.5, seed=1)
    return tmp_path / "rec"


@pytest.fixture
def run(weights):
    def run(*arguments, checkpoint=True):
        options = ["--checkpoint", str(weights)] if checkpoint else []
        return CliRunner().invoke(app, ["transcribe", *options, *map(str, arguments)])

    return run


def names(folder="."):
    folder = Path(folder)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_help_and_every_verbs_help():
    listed = CliRunner().invoke(app, ["--help"])
    assert listed.exit_code == 0 and "transcribe" in listed.output
    for command in app.registered_commands:
        result = CliRunner().invoke(app, [command.name, "--help"])
        assert result.exit_code == 0, f"{command.name}: {result.output}"
        assert command.name in listed.output


@pytest.mark.parametrize("verb", ([], ["bench"], ["prepare"]))
def test_every_summary_fits_a_line(verb: list[str]) -> None:
    listed = CliRunner().invoke(app, [*verb, "--help"]).output.partition("Commands:")[2]
    assert listed and not [line for line in listed.splitlines() if line.endswith("...")]


def test_help_loads_nothing_heavy():
    heavy = ["torch", "numpy", "scipy", "soundfile", "matplotlib", "pretty_midi", "librosa", "markdown_it"]
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from hppnet.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "assert CliRunner().invoke(app, ['transcribe', '--help']).exit_code == 0\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_version_and_module():
    said = subprocess.run([*HPPNET, "--version"], capture_output=True, text=True)
    assert said.returncode == 0 and re.fullmatch(r"hppnet \d+\.\d+\S*\n", said.stdout)


def test_a_midi_file_beside_each(rec, run):
    result = run("rec")
    assert result.exit_code == 0, result.output
    assert names("rec") == ["a.mid", "a.wav", "in/b.flac", "in/b.mid"]
    assert len(read_midi("rec/a.mid")) > 10
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"rec/a.wav -> rec/a.mid: \d+ notes, 0:01, [\d.]+ × real time", lines[0])
    assert lines[-1].startswith("2 files transcribed, 0:02 (0.00 hours) of sound in ")
    assert lines[-1].endswith("0 failed")


def test_midi_files_that_others_wrote_are_not_overwritten(rec, run):
    labels = pretty_midi.PrettyMIDI()
    labels.instruments.append(pretty_midi.Instrument(0))
    labels.write(str(rec / "a.mid"))
    before = (rec / "a.mid").read_bytes()
    for options in (["--dry-run"], []):
        result = run("rec", *options)
        assert result.exit_code == 1 and "was not written by hppnet" in result.output
        assert (rec / "a.mid").read_bytes() == before
    assert (rec / "in" / "b.mid").exists()
    assert run("rec/in").exit_code == 0  # our own is replaced
    assert run("rec/a.wav", "-o", "rec/a.mid").exit_code == 1  # nor is one that is named
    assert (rec / "a.mid").read_bytes() == before
    assert run("rec/a.wav", "--force").exit_code == 0
    assert (rec / "a.mid").read_bytes() != before


def test_formats_picture_and_folder(rec, run):
    assert run("rec", "-o", "out", "--format", "mid,csv,json", "--plot").exit_code == 0
    made = [f"{stem}.{kind}" for stem in ("a", "in/b") for kind in ("csv", "json", "mid", "png")]
    assert names("out") == [*made, "manifest.csv"]
    said = json.loads(Path("out/a.json").read_text())
    assert (
        len(said["notes"])
        == len(read_midi("out/a.mid"))
        == len(Path("out/a.csv").read_text().splitlines()) - 1
    )
    assert said["checkpoint"].startswith("tiny.safetensors") and said["tuning_cents"] == 0


def test_one_file(rec, run):
    assert run("rec/a.wav", "-o", "here/x.mid").exit_code == 0
    assert names("here") == ["x.mid"]
    assert run("rec/a.wav", "-o", "here/y.json").exit_code == 0
    assert len(json.loads(Path("here/y.json").read_text())["notes"]) > 10


def test_bad_files_are_named_and_the_others_go_on(rec, run):
    (rec / "empty.wav").touch()
    (rec / "cut.wav").write_bytes((rec / "a.wav").read_bytes()[:9000])
    (rec / "text.mp3").write_text("no sound")
    Path("silent").mkdir()
    result = run("rec", "silent", "-o", "out", "-q", "--jobs", "1")
    assert result.exit_code == 1
    assert names("out") == ["manifest.csv", "rec/a.mid", "rec/cut.mid", "rec/in/b.mid"]
    lines = result.stderr.splitlines()
    (warning,) = [line for line in lines if line.startswith("warning: ")]
    assert warning == "warning: rec/cut.wav: cut short: 0.3 s of 1.0 s could be read"
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 3 == len(lines) - 1
    for name in ("empty.wav", "text.mp3", "silent"):
        assert sum(name in line for line in errors) == 1
    with open("out/manifest.csv", newline="") as file:
        said = {row["input"]: row["warning"] for row in csv.DictReader(file)}
    assert said["rec/cut.wav"] == warning.removeprefix("warning: rec/cut.wav: ") and not said["rec/a.wav"]
    assert result.stdout == ""


def test_one_channel_or_track_is_transcribed_alone(rec, run):
    """Each as a file of its own would be; the manifest says so."""
    sound, rate = soundfile.read(noise(rec / "x.wav"), dtype="float32")
    soundfile.write(rec / "x.wav", np.stack([sound, np.roll(sound, 4000)], axis=1), rate)
    soundfile.write(rec / "y.wav", np.roll(sound, 4000), rate)
    assert run("rec/x.wav", "rec/y.wav", "-o", "two", "--input-channel", "1").exit_code == 0
    result = run("rec/x.wav", "rec/y.wav", "-o", "out", "--input-channel", "2")
    assert result.exit_code == 1 and "channel 2 is not there, the recording has 1 channel" in result.stderr
    assert run("rec/y.wav", "-o", "out").exit_code == 0
    assert read_midi("out/x.mid") == read_midi("out/y.mid") != read_midi("two/x.mid")
    assert "channel=2" in Path("out/manifest.csv").read_text()
    result = run("rec/x.wav", "-o", "out", "--track", "2")
    assert result.exit_code == 1 and "track 2 is not there, the file has 1 audio track" in result.stderr


def test_tracebacks_only_when_asked_for(rec, run):
    (rec / "empty.wav").touch()
    assert "Traceback" not in run("rec/empty.wav").output
    assert "Traceback" in run("rec/empty.wav", "-v").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere"),
        (["rec/*.mp3"], "no file fits"),
        (["rec", "--format", "mid,pdf"], "pdf"),
        (["rec", "-o", "x.mid"], "expected one recording"),
        (["rec/a.wav", "-o", "x.mid", "--format", "csv"], "change one"),
        (["rec", "--latency", "92"], "--streaming"),
        (["rec", "--streaming", "--latency", "100"], "92"),
        (["rec", "--streaming", "--latency", "soon"], "balanced"),
        (["rec", "--tuning", "high"], "auto"),
        (["rec", "--tuning", "1000"], "100"),
        (["rec", "--onset-threshold", "1.5"], "onset"),
        (["rec", "--onset-threshold", "1"], "onset"),
        (["rec", "--device", "abacus"], "abacus"),
        (["rec", "--jobs", "0"], "jobs"),
        (["rec", "--checkpoint", "nowhere.safetensors"], "nowhere"),
        ([], "PATH"),
    ],
)
def test_wrong_use_is_2(rec, run, arguments, said):
    result = run(*arguments, checkpoint=False)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert names("rec") == ["a.wav", "in/b.flac"]


def test_a_bad_checkpoint_is_named_once(rec, run):
    Path("bad.safetensors").write_text("not weights")
    result = run("rec", "--checkpoint", "bad.safetensors", checkpoint=False)
    assert result.exit_code == 1
    assert result.stderr.count("error:") == 1 and "bad.safetensors" in result.stderr
    assert "Traceback" not in result.output


def test_dry_run_writes_nothing(rec, run):
    (rec / "a.mid").write_text(OURS)
    result = run("rec", "--dry-run", "--checkpoint", __file__)  # nothing is loaded either
    assert result.exit_code == 0
    assert "rec/a.wav -> rec/a.mid (replaces a.mid)" in result.stdout
    assert "rec/in/b.flac -> rec/in/b.mid\n" in result.stdout
    assert names("rec") == ["a.mid", "a.wav", "in/b.flac"]
    assert "(exists: skipped)" not in run("rec", "--dry-run", "--skip-existing").stdout


def test_skip_existing_wants_all_outputs(rec, run):
    assert run("rec/a.wav").exit_code == 0
    before = (rec / "a.mid").stat().st_ino
    result = run("rec", "--skip-existing")
    assert "1 skipped" in result.stdout and "a.wav" not in result.stdout
    assert (rec / "a.mid").stat().st_ino == before
    run("rec", "--skip-existing", "--format", "mid,csv")
    assert (rec / "a.mid").stat().st_ino != before and (rec / "a.csv").exists()


def test_show(rec, run):
    result = run("rec/a.wav", "--show", "--format", "json")
    notes = json.loads((rec / "a.json").read_text())["notes"]
    rows = re.findall(r"│ +([\d.]+) │ +([\d.]+) │ +(\S+) │ +(\d+) │ +(\d+) │", result.stdout)
    assert len(rows) == len(notes) > 10
    first = notes[0]
    assert rows[0][2:] == (first["name"], str(first["pitch"]), str(first["velocity"]))
    assert float(rows[0][0]) == pytest.approx(first["onset_s"], abs=0.001)


def test_two_of_one_name_are_said(rec, run):
    noise(rec / "a.flac")
    result = run("rec")
    assert names("rec")[:4] == ["a.flac", "a.flac.mid", "a.wav", "a.wav.mid"]
    assert "note: rec/a.flac, rec/a.wav" in result.stderr


@pytest.mark.parametrize(
    ("options", "latency_ms"),
    [
        ([], None),
        (["--streaming"], 132),
        (["--streaming", "--latency", "fast"], 52),
        (["--streaming", "--latency", "92"], 92),
    ],
)
def test_the_same_notes_as_by_the_api(rec, run, weights, options, latency_ms):
    import hppnet

    assert run("rec/a.wav", *options, "-o", "x.json").exit_code == 0
    expected = hppnet.load(weights).transcribe("rec/a.wav", latency_ms=latency_ms)
    said = json.loads(Path("x.json").read_text())
    assert [(n["pitch"], n["velocity"]) for n in said["notes"]] == [(n.pitch, n.velocity) for n in expected]
    assert [n["onset_s"] for n in said["notes"]] == pytest.approx([n.onset_s for n in expected], abs=1e-5)
    assert said["settings"]["latency_ms"] == latency_ms


def test_thresholds_and_tuning_reach_the_model(rec, run):
    def said(*options):
        assert run("rec/a.wav", "-o", "x.json", *options).exit_code == 0
        return json.loads(Path("x.json").read_text())

    plain = said()
    assert len(said("--onset-threshold", "0.9")["notes"]) < len(plain["notes"])
    assert said("--frame-threshold", "0.3")["settings"]["thresholds"]["frame"] == 0.3
    tuned = said("--tuning", "-40")
    assert tuned["tuning_cents"] == -40 and tuned["notes"] != plain["notes"]


def test_tuning_auto_says_what_it_found(tmp_path, run):
    t = np.arange(8 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * 440 * 2 ** ((k + 0.30) / 12) * t) for k in (-12, -5, 0, 4, 7, 12))
    soundfile.write(tmp_path / "sharp.wav", 0.1 * tones * np.exp(-(t % 1.0)), RATE)
    result = run(tmp_path / "sharp.wav", "--tuning", "auto")
    assert result.exit_code == 0, result.output
    found = float(re.search(r"tuning found: ([+-][\d.]+) cents", result.stdout).group(1))
    assert found == pytest.approx(30, abs=5)


def start(*arguments, **options):
    """The command as a process group, so that Ctrl-C can be sent to all of it as a terminal does."""
    # Wide: a long path must not break a line in two.
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "250"}
    command = [*HPPNET, "transcribe", *arguments]
    return children.start(command, start_new_session=True, env=environment, **options)


@unix
@pytest.mark.parametrize("jobs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_ctrl_c_leaves_finished_files_and_nothing_half(tmp_path, weights, jobs):
    for name, seconds in (("1.wav", 0.5), ("2.wav", 0.5), ("3.wav", 900), ("4.wav", 900)):
        noise(tmp_path / name, seconds)
    options = ("--checkpoint", weights, "--jobs", jobs, "--format", "mid,json", "--plot")
    process = start(tmp_path, *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(2):
        assert " notes, " in process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=children.PATIENCE_S)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "interrupted" in err
    assert "2 files transcribed" in out
    finished = [f"{number}.{kind}" for number in (1, 2) for kind in ("json", "mid", "png")]
    assert names(tmp_path) == sorted([*finished, "1.wav", "2.wav", "3.wav", "4.wav"])
    json.loads((tmp_path / "2.json").read_text())
    assert children.all_gone(process.pid)


@pytest.mark.slow
@unix
def test_workers_end_when_the_command_is_killed(tmp_path, weights):
    for name in ("1.wav", "2.wav", "3.wav"):
        noise(tmp_path / name, 900 if name != "1.wav" else 0.5)
    process = start(tmp_path, "--checkpoint", weights, "--jobs", 2, stdout=subprocess.PIPE)
    assert " notes, " in process.stdout.readline()
    process.kill()
    process.communicate()
    assert children.all_gone(process.pid)


@unix
def test_a_bar_on_a_terminal(tmp_path, weights):
    for seed in range(3):
        noise(tmp_path / f"{seed}.wav", 25, seed)
    ours, theirs = pty.openpty()
    process = start(tmp_path, "--checkpoint", weights, "--jobs", 1, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while select.select([ours], [], [], children.PATIENCE_S)[0]:
        try:
            said += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())
    assert re.search(r"\d\.wav\s+━+.*\d%\s+[\d.]+ × real time\s+\d:\d\d:\d\d left", text)
    assert text.count(" notes, 0:25") == 3 and "3 files transcribed" in text
