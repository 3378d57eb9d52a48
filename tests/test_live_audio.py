"""The sound device, with a stand-in for the sound library where the device has to fail."""

from __future__ import annotations

import numpy as np
import pytest

from hppnet.model.downmix import Downmix
from hppnet.model.notes import Event
from hppnet.realtime.audio_input import DEAD_AFTER_S, MOST_QUEUED_S, AudioInput
from hppnet.realtime.devices import SoundInput, choose_input
from hppnet.realtime.inputs import Block, FileInput, InputEnded, InputFault, clean, joined
from hppnet.realtime.listener import Listener

from .bursts import RATE
from .live_fakes import FakeSound
from .simulated_clock import SimulatedClock
from .sounds import piano_like

BLOCK = np.arange(480, dtype=np.float32) / 480


@pytest.fixture
def sound() -> FakeSound:
    return FakeSound(SimulatedClock(1000.0))


def listen(sound: FakeSound, device: int | str | None = None, **options: object) -> AudioInput:
    source = AudioInput(device, library=sound, clock=sound.clock, **options)  # type: ignore[arg-type]
    source.open()
    return source


def play(sound: FakeSound, source: AudioInput, count: int, **how: object) -> list[Block]:
    blocks: list[Block] = []
    for _ in range(count):
        sound.play(BLOCK, **how)  # type: ignore[arg-type]
        blocks += source.read(0)
    return blocks


def test_blocks_come_with_their_times(sound: FakeSound) -> None:
    blocks = play(sound, listen(sound), 3)
    assert [block.time_s for block in blocks] == pytest.approx([0.0, 0.01, 0.02])
    assert [block.arrived_s for block in blocks] == pytest.approx([1000.01, 1000.02, 1000.03])
    assert all(np.array_equal(block.samples, BLOCK) for block in blocks)


def test_two_channels_are_mixed_or_one_is_chosen(sound: FakeSound) -> None:
    stereo = np.stack([BLOCK, BLOCK / 2], axis=1)
    source = listen(sound)
    sound.play(stereo)
    assert np.allclose(source.read(0)[0].samples, 0.75 * BLOCK)
    source.close()
    source = listen(sound, channel=2)
    sound.play(stereo)
    assert np.allclose(source.read(0)[0].samples, BLOCK / 2)
    with pytest.raises(InputFault, match="2 channels, channel 3"):
        listen(sound, channel=3)


def test_channels_that_oppose_each_other_do_not_cancel(sound: FakeSound) -> None:
    source = listen(sound)
    for _ in range(2):
        sound.play(np.stack([BLOCK, -BLOCK], axis=1))
    assert np.allclose(source.read(0)[1].samples, BLOCK)


HISS = np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
MUSIC = np.tile(piano_like({0.5 + 0.3 * n: 50 + 7 * n for n in range(5)}, 2.0, RATE), 5) + 1e-4 * HISS
SILENCE = np.zeros_like(MUSIC)
STEREO = {
    "inverted": (MUSIC, -0.9 * MUSIC, "the channels cancel each other"),
    "silent": (MUSIC, SILENCE, "channel 2 of 2 is silent and left out"),
    "noisy": (0.1 * HISS, MUSIC, "channel 1 has a noise floor"),
    "good": (MUSIC, 0.8 * MUSIC + 1e-4 * HISS[::-1], None),
}


@pytest.mark.parametrize("name", STEREO)
def test_channels_unlike_each_other_are_said_once_and_change_nothing(sound: FakeSound, name: str) -> None:
    """As of files, once it is sure: the line, and the very samples that the mix gives."""
    *channels, words = STEREO[name]
    stereo = np.stack(channels, axis=1)
    sound.rate, lines = RATE, []
    source, decoder = AudioInput(library=sound, clock=sound.clock), BlockKeeper()
    source.open()
    listener = Listener(source, decoder, sound.clock, report=lines.append)  # type: ignore[arg-type]
    for start in range(0, len(stereo), 200):
        sound.play(stereo[start : start + 200])
        listener.step(0)
    assert len(lines) == (words is not None), lines
    assert words is None or lines[0].startswith(f"warning: {source.name}: {words}")
    np.testing.assert_array_equal(np.concatenate(decoder.samples), Downmix(2, RATE).feed(stereo))


class BlockKeeper:
    """In place of a decoder: keeps what it is fed."""

    frames, asleep = 0, False

    def __init__(self) -> None:
        self.samples: list[np.ndarray] = []

    def feed(self, block: Block) -> list[Event]:
        self.samples.append(block.samples)
        return []


class SlowDecoder:
    """In place of a decoder: takes 2 ms for a block; every second one completes a frame, unless asleep."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.frames, self.asleep, self._clock, self._blocks = 0, False, clock, 0

    def feed(self, block: Block) -> list[Event]:
        self._clock.sleep(0.002)
        self._blocks += 1
        self.frames += self._blocks % 2 == 0 and not self.asleep
        return []


def test_the_time_of_blocks_without_a_frame_counts_for_the_next_frame(sound: FakeSound) -> None:
    source, decoder = listen(sound), SlowDecoder(sound.clock)
    listener = Listener(source, decoder, sound.clock)  # type: ignore[arg-type]
    for decoder.asleep in (False, True, False):
        for _ in range(20):
            sound.play(BLOCK)
            listener.step(0)
    assert listener.compute.frame_ms.median_and_p99() == pytest.approx((4, 4))
    assert listener.compute.realtime_factor == pytest.approx(20 / 4)


def test_a_chosen_channel_and_one_that_has_hardly_begun_say_nothing(sound: FakeSound) -> None:
    stereo = np.stack([MUSIC, SILENCE], axis=1)
    sound.rate = RATE
    for options, length_s in (({"channel": 1}, 10), ({}, 4)):
        source = listen(sound, **options)
        sound.play(np.zeros((RATE // 2, 2)))
        sound.play(stereo[: length_s * RATE])
        assert not any(block.warnings for block in source.read(0))
        source.close()


def test_what_nobody_fetches_is_dropped_and_time_stays_true(sound: FakeSound) -> None:
    source = listen(sound)
    for _ in range(round(MOST_QUEUED_S * 100) + 50):
        sound.play(BLOCK)
    waiting = source.read(0)
    after = play(sound, source, 1)[0]
    assert source.dropped_blocks > 0
    assert after.lost_before == 480 * source.dropped_blocks
    assert after.time_s == pytest.approx(len(waiting) * 0.01 + source.dropped_blocks * 0.01)


@pytest.mark.parametrize("reported", [False, True])
def test_samples_that_the_device_lost_are_counted(sound: FakeSound, reported: bool) -> None:
    source = listen(sound)
    play(sound, source, 100)
    play(sound, source, 1, late_s=0.1234, overflow=reported)
    blocks = play(sound, source, 100)
    assert sum(block.lost_before for block in blocks) == round(0.1234 * 48_000)
    assert blocks[-1].end_s == pytest.approx(2.01 + 0.1234, abs=1e-4)


def test_a_silent_device_is_gone_and_found_again_under_another_number(sound: FakeSound) -> None:
    source = listen(sound, "usb")
    assert source.name == "USB Piano (Fake)"
    play(sound, source, 100)
    sound.clock.sleep(DEAD_AFTER_S + 0.1)
    with pytest.raises(InputFault, match="USB Piano"):
        source.read(0)
    source.close()
    sound.names = ["Built-in"]
    with pytest.raises(InputFault, match="no sound input 'USB Piano"):
        source.open()
    sound.names, sound.rate = ["USB Piano", "Built-in"], 44_100.0
    sound.clock.sleep(10)
    source.open()
    assert sound.stream is not None and sound.stream.options["device"] == 0
    block = play(sound, source, 1)[0]
    assert block.sample_rate == 44_100
    assert block.end_s == pytest.approx(sound.clock.now() - 1000.0)


def test_the_time_without_the_device_counts_even_if_it_was_busy_when_it_came_back(sound: FakeSound) -> None:
    source = listen(sound)
    play(sound, source, 100)
    source.close()
    sound.refuse = True
    for _ in range(2):
        sound.clock.sleep(10)
        with pytest.raises(InputFault, match="cannot be opened"):
            source.open()
    sound.refuse = False
    source.open()
    assert play(sound, source, 1)[0].end_s == pytest.approx(sound.clock.now() - 1000.0)


def test_a_device_that_alsa_numbers_anew_is_the_same(sound: FakeSound) -> None:
    sound.names = ["Built-in: Audio (hw:0,0)", "USB Piano: Audio (hw:1,0)"]
    source = listen(sound, "usb")
    source.close()
    sound.names = ["Built-in: Audio (hw:0,0)", "Other: Audio (hw:1,0)", "USB Piano: Audio (hw:2,0)"]
    source.open()
    assert source.name == "USB Piano: Audio (hw:2,0) (Fake)"
    with pytest.raises(InputFault, match="no sound input 'piano: audio"):
        listen(sound, "piano: audio (hw:7,0)")  # only a whole name is found without its number


def test_a_device_that_stops_is_a_fault_and_one_that_refuses_one_line(sound: FakeSound) -> None:
    source = listen(sound)
    assert sound.stream is not None
    sound.stream.active = False
    with pytest.raises(InputFault, match="has stopped"):
        source.read(0)
    source.close()
    source.close()
    sound.refuse = True
    with pytest.raises(InputFault, match="cannot be opened: Error opening") as fault:
        source.open()
    assert "\n" not in str(fault.value)


def test_settling_learns_how_the_device_delivers_and_loses_nothing(sound: FakeSound) -> None:
    source = listen(sound)
    for _ in range(20):  # two blocks at a time, as behind a buffer twice as long
        sound.clock.sleep(0.01)
        sound.play(BLOCK)
        sound.clock.sleep(-0.01)
        late = source._queue.get()
        source._queue.put(late)
        sound.play(BLOCK, late_s=-0.01)
    source.settle()
    assert source.block_s >= 0.01
    assert len(source.read(0)) == 40


INPUTS = [
    SoundInput(0, "Mic", "ALSA", 1, 48_000),
    SoundInput(1, "USB Piano", "ALSA", 2, 48_000, is_default=True),
    SoundInput(2, "USB Piano", "JACK", 2, 48_000),
]


@pytest.mark.parametrize(
    ("wanted", "index"), [(None, 1), (2, 2), ("2", 2), ("mic", 0), ("usb", 1), ("piano (jack)", 2)]
)
def test_inputs_are_chosen_by_number_or_part_of_the_name(wanted: int | str | None, index: int) -> None:
    assert choose_input(wanted, INPUTS).index == index


def test_an_input_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InputFault, match="'cello'; choose from 0: Mic"):
        choose_input("cello", INPUTS)
    with pytest.raises(InputFault, match="no sound input found"):
        choose_input(None, [])


def test_a_file_is_played_in_real_time() -> None:
    clock = SimulatedClock(7.0)
    source = FileInput([np.tile(BLOCK, 10)], 48_000, clock=clock)
    source.open()
    blocks = []
    with pytest.raises(InputEnded):
        while True:
            blocks += source.read(1.0)
    assert [block.arrived_s for block in blocks] == pytest.approx([7.01 + i / 100 for i in range(10)])
    assert np.array_equal(np.concatenate([block.samples for block in blocks]), np.tile(BLOCK, 10))


def test_a_reader_that_is_late_finds_what_waits_and_no_more_than_a_device_would_keep() -> None:
    clock = SimulatedClock()
    source = FileInput([np.zeros(48_000 * 20, dtype=np.float32)], 48_000, clock=clock)
    source.open()
    clock.sleep(1.005)
    assert len(source.read(0)) == 100
    clock.sleep(15)
    assert len(source.read(0)) == 400


def test_blocks_join_where_they_follow_each_other() -> None:
    zeros = np.zeros(480, dtype=np.float32)
    blocks = [Block(zeros, 0.0), Block(zeros, 0.01), Block(zeros, 0.5, 100), Block(zeros, 0.51, 0, 44_100)]
    assert [len(block.samples) for block in joined(blocks)] == [960, 480, 480]
    assert joined(blocks)[1].lost_before == 100


def test_clean_keeps_what_is_sound() -> None:
    samples = np.array([0.5, np.nan, np.inf, -np.inf, 1e20, -1e20], dtype=np.float32)
    cleaned, bad = clean(samples)
    assert cleaned.tolist() == [0.5, 0.0, 0.0, 0.0, 4.0, -4.0]
    assert bad == 3
