"""One bad recording among good ones, in this process and in several: what each executor makes of them."""

import json
import multiprocessing
import os
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from hppnet.model.config import ModelConfig
from hppnet.model.notes import Note, read_midi
from hppnet.model.transcriber import Transcription
from hppnet.model.tuning import Tuning
from hppnet.offline import recording_task
from hppnet.offline.errors import LoadError
from hppnet.offline.executors import worker_processes
from hppnet.offline.executors.executor import OneProcess
from hppnet.offline.executors.worker_processes import WorkerProcesses
from hppnet.offline.inputs import find_recordings
from hppnet.offline.jobs import Job
from hppnet.offline.places import Url, temporary_folder
from hppnet.offline.plan import Plan
from hppnet.offline.settings import Settings

from . import needs

RATE = 16_000
DEADLY = 0.75  #: a level at which the stand-in's process dies


class StandIn:
    """In a transcriber's place: a note a second, of the pitch that the level (0.21: A0) gives."""

    checkpoint_name = "stand-in"
    config = ModelConfig()

    def computed_by(self, latency_ms):
        return "a stand-in"

    def transcribe_blocks(self, blocks, sample_rate, *, keep_probabilities=False, **_):
        samples = np.concatenate(list(blocks))
        if abs(samples.mean() - DEADLY) < 0.01:
            os.kill(os.getpid(), signal.SIGKILL)
        seconds = len(samples) / sample_rate
        pitch = round(100 * float(samples.mean())) or 21
        notes = [Note(float(s), s + 0.5, pitch, 64) for s in range(int(seconds))]
        frames = np.zeros((round(50 * seconds), 88, 4)) if keep_probabilities else None
        return Transcription(notes, seconds, frames)

    def with_tuning(self, cents):
        tuned = StandIn()
        tuned.config = replace(self.config, front_end=replace(self.config.front_end, tuning_cents=cents))
        return tuned


class Clumsy(StandIn):
    def transcribe_blocks(self, blocks, sample_rate, **_):
        raise RuntimeError("the weights\nare tired")


def load(settings):
    return StandIn()


def load_nothing(settings):
    raise ValueError("there is no such device")


def tone(path, level=0.6, seconds=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(round(seconds * RATE), level), RATE)
    return path


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refuse(place, why):
    raise AssertionError(f"{place}: {why}")


def plan(arguments, kinds, output):
    return Plan(find_recordings(list(map(str, arguments)), refuse), kinds, output)


def good_and_bad(folder, deadly=False):
    """Jobs: four good recordings, with bad ones between them."""
    tone(folder / "1.wav", 0.61)
    (folder / "2.wav").write_bytes(tone(folder / "whole.wav").read_bytes()[:44])  # no samples
    (folder / "whole.wav").unlink()
    tone(folder / "3.wav", 0.63, seconds=25)
    if deadly:
        tone(folder / "4.wav", DEADLY)
    (folder / "5.wav").write_text("not sound at all")
    tone(folder / "6.wav", 0.66)
    tone(folder / "7.wav", 0.67)
    return list(plan([folder], ["mid", "json"], folder / "out"))


def check(outcomes, folder, bad):
    """Bad files are named in one line each; the good ones are there, whole."""
    by_name = {outcome.source.name: outcome for outcome in outcomes}
    assert len(by_name) == len(outcomes)
    assert {name for name, outcome in by_name.items() if outcome.error} == bad
    for name in bad:
        assert name in by_name[name].error and "\n" not in by_name[name].error
    for number, seconds in ((1, 2), (3, 25), (6, 2), (7, 2)):
        notes = read_midi(folder / "out" / f"{number}.mid")
        assert [note.pitch for note in notes] == [60 + number] * seconds
        assert by_name[f"{number}.wav"].duration_s == pytest.approx(seconds)
        assert by_name[f"{number}.wav"].note_count == seconds
    assert names(folder / "out") == [f"{n}.{kind}" for n in (1, 3, 6, 7) for kind in ("json", "mid")]


def by_name(read):
    """Keeps how far each recording was read."""
    return lambda job, seconds: read.update({job.source.name: seconds})


def test_bad_recordings_do_not_stop_the_others(tmp_path):
    jobs = good_and_bad(tmp_path)
    read = {}
    outcomes = list(OneProcess(load=load).run(jobs, Settings(), by_name(read)))
    check(outcomes, tmp_path, {"2.wav", "5.wav"})
    assert read["3.wav"] == pytest.approx(25)


def test_a_worker_that_dies_loses_its_file_only(tmp_path):
    jobs = good_and_bad(tmp_path, deadly=True)
    read = {}
    outcomes = list(WorkerProcesses(2, load).run(jobs, Settings(), by_name(read)))
    check(outcomes, tmp_path, {"2.wav", "4.wav", "5.wav"})
    assert "signal 9" in next(outcome.error for outcome in outcomes if outcome.source.name == "4.wav")
    assert read["3.wav"] == pytest.approx(25)


def test_a_worker_that_dies_leaves_no_copy_of_its_recording(tmp_path, monkeypatch):
    needs.module("fsspec", "cluster")
    copies = tmp_path / "copies"
    copies.mkdir()
    monkeypatch.setenv("TMPDIR", str(copies))  # the workers'
    monkeypatch.setattr(tempfile, "tempdir", str(copies))
    source = Url(f"local://{tone(tmp_path / '4.wav', DEADLY)}")
    with temporary_folder() as own:
        (outcome,) = WorkerProcesses(1, load).run(
            [Job(source, {"mid": tmp_path / "4.mid"})], Settings(), lambda *_: None
        )
        assert "signal 9" in outcome.error and names(copies) == [] and list(copies.iterdir()) == [Path(own)]


def test_closing_early_ends_the_workers(tmp_path):
    running = WorkerProcesses(2, load).run(good_and_bad(tmp_path), Settings(), lambda *_: None)
    next(running)
    processes = [child.pid for child in multiprocessing.active_children()]
    assert len(processes) == 2
    running.close()
    assert not multiprocessing.active_children()
    for process in processes:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_ctrl_c_does_not_end_a_worker(tmp_path):
    """Not even while Python starts in them: they would end with tracebacks all over the screen."""
    worker = worker_processes.start_worker(Settings(), load)
    for _ in range(25):
        os.kill(worker.process.pid, signal.SIGINT)
        time.sleep(0.02)
    assert worker.process.is_alive()
    worker_processes.stop_workers([worker])
    assert not worker.process.is_alive()


@pytest.mark.parametrize("processes", [1, 2])
def test_a_model_that_cannot_be_loaded_ends_all(tmp_path, processes):
    jobs = good_and_bad(tmp_path)
    with pytest.raises(LoadError, match="no such device"):
        if processes == 1:
            list(OneProcess(load=load_nothing).run(jobs, Settings(), lambda *_: None))
        else:
            list(WorkerProcesses(2, load_nothing).run(jobs, Settings(), lambda *_: None))
    assert not (tmp_path / "out").exists()


def test_an_unforeseen_error_is_one_line_and_a_trace(tmp_path):
    jobs = [Job(tone(tmp_path / "a.wav"), {"mid": tmp_path / "a.mid"})]
    (outcome,) = OneProcess(load=lambda _: Clumsy()).run(jobs, Settings(), lambda *_: None)
    assert outcome.error == f"{tmp_path / 'a.wav'}: RuntimeError: the weights are tired"
    assert "transcribe_blocks" in outcome.trace


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    jobs = [Job(tone(tmp_path / "a.wav"), {"mid": tmp_path / "file" / "a.mid"})]
    (outcome,) = OneProcess(load=load).run(jobs, Settings(), lambda *_: None)
    assert "cannot write" in outcome.error and "a.wav" in outcome.error


def test_json_says_what_it_was_made_with(tmp_path, monkeypatch):
    monkeypatch.setattr(recording_task, "find_tuning", lambda source, settings: Tuning(-12.345, -13.0, -12.0))
    jobs = [Job(tone(tmp_path / "a.wav"), {"json": tmp_path / "a.json"})]
    (outcome,) = OneProcess(load=load).run(jobs, Settings(latency_ms=92, tuning="auto"), lambda *_: None)
    assert outcome.found_cents == -12.345
    said = json.loads((tmp_path / "a.json").read_text())
    assert said["source"] == str(tmp_path / "a.wav")
    assert (said["duration_s"], said["checkpoint"], said["tuning_cents"]) == (2, "stand-in", -12.35)
    assert said["settings"]["latency_ms"] == 92 and said["settings"]["context"] == "streaming"
    assert said["settings"]["thresholds"]["onset"] == ModelConfig().decoder.onset
    assert len(said["notes"]) == 2


def test_pictures_of_long_recordings_keep_only_their_start(tmp_path, monkeypatch):
    """Probabilities of hours would fill the memory: they come from a second look at the first minutes."""
    seen = []

    class Watched(StandIn):
        def transcribe_blocks(self, blocks, sample_rate, **options):
            result = super().transcribe_blocks(blocks, sample_rate, **options)
            seen.append((round(result.duration_s), options["keep_probabilities"]))
            return result

    monkeypatch.setattr(recording_task, "PICTURE_S", 15.0)
    jobs = [
        Job(tone(tmp_path / f"{seconds}.wav", seconds=seconds), {"png": tmp_path / f"{seconds}.png"})
        for seconds in (16, 40)
    ]
    outcomes = list(OneProcess(load=lambda _: Watched()).run(jobs, Settings(picture=True), lambda *_: None))
    assert [outcome.error for outcome in outcomes] == [None, None]
    assert seen == [(16, True), (40, False), (15, True)]
    assert names(tmp_path) == ["16.png", "16.wav", "40.png", "40.wav"]


def test_recordings_are_streamed_not_loaded(tmp_path):
    """The next block is read only when the one before has been used."""
    path = tone(tmp_path / "a.wav", seconds=35)
    read, fed = [], []

    class Slow(StandIn):
        def transcribe_blocks(self, blocks, sample_rate, **_):
            for block in blocks:
                fed.append(len(block) / sample_rate)
                assert len(read) == len(fed) - 1
            return Transcription([], sum(fed), None)

    jobs = [Job(path, {"mid": tmp_path / "a.mid"})]
    (outcome,) = OneProcess(load=lambda _: Slow()).run(
        jobs, Settings(), lambda _, seconds: read.append(seconds)
    )
    assert outcome.error is None
    assert fed == [10, 10, 10, 5] and read == [10, 20, 30, 35]


def test_the_number_of_processes_follows_jobs_and_device():
    assert worker_processes.default_processes(100, "cuda") == 1
    assert worker_processes.default_processes(0, "cpu") == worker_processes.default_processes(3, "cpu") == 1
    assert 1 <= worker_processes.default_processes(1000, "auto") <= 8


def test_an_outcome_has_the_time_it_took(tmp_path):
    jobs = [Job(tone(tmp_path / "a.wav"), {"mid": tmp_path / "a.mid"})]
    started = time.monotonic()
    (outcome,) = OneProcess(load=load).run(jobs, Settings(), lambda *_: None)
    assert 0 < outcome.wall_s <= time.monotonic() - started
