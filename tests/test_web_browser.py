"""The page in a real browser: Chromium with a recording for a microphone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hppnet.model.notes import presses_from, read_midi
from hppnet.model.transcriber import Transcriber
from hppnet.realtime.bench_notes import onset_f1
from hppnet.realtime.web.protocol import Limits

from .children import PATIENCE_S, wait_until
from .live_fakes import PEDAL, sounding_after
from .needs import module
from .page_host import SMALL, browsing
from .page_probes import CHOOSES_LATE, EDGE, SYNTH
from .pedal_parts import saved, with_moving_pedal
from .sounds import piano_like, three_notes
from .test_live_recording import pedal_at
from .web_server import Running, serving, serving_apart

playwright = module("playwright.sync_api", "dev")
pytestmark = pytest.mark.needs("chromium")

RATE = 48_000
TAKE_S = 8.0
LEAD_S = 1.0  #: the page opens its ears a moment after the microphone began
#: In place of a MIDI port, which no test machine has; the page asks for it as for a real one.
MIDI_PORT = """
window.sent = [];
const send = (bytes, at) => window.sent.push([...bytes]);
const port = {id: "one", name: "Test <b>port</b>", state: "connected", send};
navigator.requestMIDIAccess = async () => ({outputs: new Map([["one", port]])});
"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, int]:
    """A WAV file, its samples and their rate: a moment of silence, then notes. The browser repeats it."""
    onsets = {LEAD_S + 0.31 * i: 48 + (7 * i) % 36 for i in range(round((TAKE_S - 0.7) / 0.31))}
    sound = piano_like(onsets, LEAD_S + TAKE_S, RATE)
    path = tmp_path_factory.mktemp("microphone") / "take.wav"
    soundfile.write(path, sound, RATE, subtype="PCM_16")
    return path, sound, RATE


@pytest.fixture(scope="module")
def moving(
    transcriber: Transcriber,
    microphone: tuple[Path, np.ndarray, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A checkpoint whose pedal moves often."""
    _, sound, rate = microphone
    moves = with_moving_pedal(transcriber, sound[:: rate // 16_000])
    return saved(moves, tmp_path_factory.mktemp("moving") / "moving.safetensors")


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    with playwright.sync_playwright() as found:
        yield found.chromium


@pytest.fixture(scope="module")
def browser(engine: Any, microphone: tuple[Path, np.ndarray, int]) -> Iterator[Any]:
    flags = ["--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone[0]}"]
    with browsing(engine, *flags, "--host-resolver-rules=MAP piano.example 127.0.0.1") as found:
        yield found


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving_apart(*SMALL) as found:
        yield found


@pytest.fixture
def patient(transcriber: Transcriber) -> Iterator[Running]:
    """Computes all that it receives: whether a machine keeps up is not for a test."""
    with serving(transcriber, Limits(backlog_s=PATIENCE_S)) as found:
        yield found


@contextmanager
def page_of(browser: Any, url: str, script: str = "") -> Iterator[Any]:
    """The page, ready. Errors in its scripts fail the test, and so does any request to another host."""
    with browser.new_context(accept_downloads=True) as context:
        if script:
            context.add_init_script(script)
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if strange(request.url, url) else None)
        page.goto(url)
        page.wait_for_selector("#latency option[value='212']", state="attached")
        yield page
        assert not wrong, wrong


def strange(asked: str, url: str) -> bool:
    return not asked.startswith((url.split("#")[0], "blob:", "data:"))


def onsets(page: Any) -> list[tuple[float, int]]:
    return [(note["onset_s"], note["pitch"]) for note in page.evaluate("hppnet.notes")]


def is_whole_take(page: Any) -> bool:
    """Listens for ten notes. Held up for a second by a busy machine, the page drops sound and says so."""
    page.click("#listen")
    wait_until(lambda: page.evaluate("hppnet.notes.length") >= 10, "notes")
    assert re.fullmatch(r"\d+ ms", shown(page, "#round-trip"))
    assert shown(page, "#algorithmic") == "133 ms"
    dropped = page.evaluate("hppnet.droppedBlocks")
    page.click("#listen")
    page.wait_for_selector("#save-midi:not([disabled])")
    return dropped == 0 and not shown(page, "#hint")


def shown(page: Any, element: str) -> str:
    """Its text, also where it stands in a panel that is closed."""
    return page.text_content(element)


def state(page: Any) -> str:
    return shown(page, "#state")


def panel(page: Any, element: str) -> None:
    """Opens Settings, Takes or Details."""
    page.evaluate("(id) => { document.querySelector(id).open = true; }", element)


def choose(page: Any, picker: str, value: str) -> None:
    panel(page, "#settings")
    page.select_option(picker, value)


def test_the_page_shows_what_transcribe_gives(
    browser: Any,
    patient: Running,
    transcriber: Transcriber,
    microphone: tuple[Path, np.ndarray, int],
    tmp_path: Path,
) -> None:
    with page_of(browser, patient.page) as page:
        wait_until(lambda: is_whole_take(page), "a take of which no sound is missing")
        found = onsets(page)

        # The take as files, and played back.
        with page.expect_download() as midi:
            page.click("#save-midi")
        midi.value.save_as(tmp_path / "take.mid")
        written = read_midi(tmp_path / "take.mid")
        of_file = np.array(sorted((note.pitch, note.onset_s) for note in written))
        np.testing.assert_allclose(of_file, sorted((pitch, onset_s) for onset_s, pitch in found), atol=0.002)
        with page.expect_download() as audio:
            page.click("#save-audio")
        audio.value.save_as(tmp_path / "take.wav")
        sound, rate = soundfile.read(tmp_path / "take.wav", dtype="float32")
        assert len(sound) / rate > max(onset_s for onset_s, _ in found) and np.abs(sound).max() > 0.1
        notes = transcriber.transcribe(sound, rate, latency_ms=132)
        f1 = onset_f1([(note.onset_s, note.pitch) for note in notes], found)
        assert f1 >= 97, (found, notes)
        page.evaluate(
            "document.querySelector('audio').currentTime = 3; document.querySelector('audio').play()"
        )
        wait_until(lambda: page.evaluate("hppnet.lit.length"))

        # In words, for those who do not see it.
        panel(page, "#settings")
        page.click("#say")
        assert re.fullmatch(r"([A-G]( sharp)? \d(, )?){8}", shown(page, "#spoken"))


@pytest.mark.slow
def test_the_server_restarts_while_listening(browser: Any, moving: Path) -> None:
    """Notes and pedal end, also on the MIDI port; the page says so, comes back, and the take goes on."""
    with serving_apart("--checkpoint", str(moving)) as first:
        context = page_of(browser, first.page, MIDI_PORT)
        page = context.__enter__()
        choose(page, "#output", "midi")
        assert page.input_value("#output") == "port:one"
        page.click("#listen")
        wait_until(lambda: page.evaluate("hppnet.lit.length > 0 && hppnet.notes.length > 5"))
        wait_until(lambda: PEDAL in still_down(page.evaluate("sent")) and shown(page, "#pedal") == "down")
    wait_until(lambda: "connection is lost" in state(page))
    assert page.evaluate("hppnet.lit") == []
    assert page.evaluate("hppnet.presses.every((press) => press.up_s !== null)")
    assert still_down(page.evaluate("sent")) == set()
    before = page.evaluate("hppnet.notes.length")
    with serving_apart("--checkpoint", str(moving), port=first.port):
        wait_until(lambda: state(page) == "Listening")
        wait_until(lambda: page.evaluate("hppnet.notes.length") > before + 3)
        times = [onset_s for onset_s, _ in onsets(page)]
        assert times[before] > times[before - 1] and times[before] > 2
        choose(page, "#latency", "52")  # a new stream in the same take
        wait_until(lambda: state(page) == "Listening" and shown(page, "#algorithmic") == "53 ms")
        wait_until(lambda: page.evaluate("sent.length") > 150)
        sent = page.evaluate("window.dispatchEvent(new Event('pagehide')) && [...sent]")
        assert still_down(sent) == set()
        page.click("#listen")
        page.wait_for_selector("#save-midi:not([disabled])")
        context.__exit__(None, None, None)


def still_down(messages: list[list[int]]) -> set[int]:
    return sounding_after(messages, before=True)


def test_the_pedal_of_a_recording(browser: Any, moving: Path, tmp_path: Path) -> None:
    """Drawn under the notes where it is down, in the file that is downloaded, and played."""
    sound = np.tile(piano_like({0.1: 60, 0.7: 64, 1.3: 67}, 2.0), 2)
    soundfile.write(tmp_path / "sound.wav", sound, 16_000)
    stream = Transcriber.load(moving, device="cpu").stream(212, 16_000)
    wanted = [(p.down_s, p.up_s) for p in presses_from(stream.feed(sound) + stream.flush())]
    assert len(wanted) > 1
    with (
        serving_apart("--checkpoint", str(moving)) as found,
        page_of(browser, found.page, MIDI_PORT) as page,
    ):
        assert not page.is_visible("#pedal")
        page.set_input_files("#file", str(tmp_path / "sound.wav"))
        page.wait_for_selector("#save-midi:not([disabled])")
        presses = [(p["down_s"], p["up_s"]) for p in page.evaluate("hppnet.presses")]
        assert len(presses) == pytest.approx(len(wanted), abs=2)  # the browser has another resampler
        wait_until(lambda: shown(page, "#pedal") == "up", "the pedal's end")
        inside = [(down + up) / 2 for down, up in presses if up - down > 0.08]
        between = [(a[1] + b[0]) / 2 for a, b in pairwise(presses) if b[0] - a[1] > 0.08]
        drawn = page.evaluate(EDGE, [inside, between])
        assert all(drawn) and all(drawn[0]) and not any(drawn[1]), drawn
        with page.expect_download() as midi:
            page.click("#save-midi")
        midi.value.save_as(tmp_path / "take.mid")
        moves = [time_s for time_s, _ in pedal_at(tmp_path / "take.mid")]
        np.testing.assert_allclose(moves, np.ravel(presses), atol=0.002)
        assert [value for _, value in pedal_at(tmp_path / "take.mid")] == [127, 0] * len(presses)

        choose(page, "#output", "midi")
        page.evaluate("document.querySelector('audio').play()")
        wait_until(lambda: PEDAL in still_down(page.evaluate("sent")))
        page.evaluate("document.querySelector('audio').pause()")
        wait_until(lambda: still_down(page.evaluate("sent")) == set())


def test_an_output_chosen_while_the_pedal_is_down_has_it_down(browser: Any, running: Running) -> None:
    with page_of(browser, running.page, MIDI_PORT) as page:
        page.evaluate(CHOOSES_LATE)
        assert PEDAL in still_down(page.evaluate("sent"))
        page.evaluate("output.panic(); pick('midi')")
        wait_until(lambda: still_down(page.evaluate("sent")) == set())


def test_the_synthesiser_obeys_the_pedal(browser: Any, running: Running) -> None:
    with page_of(browser, running.page) as page:
        page.click("#roll", position={"x": 40, "y": 40})  # sound needs a gesture first
        choose(page, "#output", "synth")
        level = page.evaluate(SYNTH)
        assert level["held"] > 0.01
        assert level["released, pedal down"] > 0.01
        assert level["pedal up"] < 0.001
        assert level["released, no pedal"] < 0.001
        assert level["key held, pedal up"] > 0.01
        assert level["voices after a second stroke"] == 1 and level["the first one has ended"]
        assert level["panic"] < 0.001 and level["pedal after panic"] is False


@pytest.mark.parametrize(
    "name", ["song.flac", '<img src=x onerror="window.hacked=1">.wav', "../../etc/passwd.ogg"]
)
def test_a_dropped_recording(
    browser: Any, running: Running, transcriber: Transcriber, tmp_path: Path, name: str
) -> None:
    kind = name.rsplit(".", 1)[1]
    source = tmp_path / f"sound.{kind}"
    soundfile.write(source, three_notes(48_000), 48_000)
    wanted = [
        (n.onset_s, n.pitch) for n in transcriber.transcribe(source_samples(source), 48_000, latency_ms=212)
    ]
    with page_of(browser, running.page) as page:
        page.evaluate(
            """([bytes, name]) => {
                const data = new DataTransfer();
                data.items.add(new File([new Uint8Array(bytes)], name));
                document.dispatchEvent(new DragEvent("dragover", {dataTransfer: data}));
                document.dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
            }""",
            [list(source.read_bytes()), name],
        )
        page.wait_for_selector("#save-midi:not([disabled])")
        assert onset_f1(wanted, onsets(page)) >= 85  # the browser has another resampler
        assert name in state(page) or name.split("/")[-1] in state(page)
        assert page.locator("img:not([src='icon.svg'])").count() == 0 and not page.evaluate("window.hacked")
        with page.expect_download() as midi:
            page.click("#save-midi")
        assert re.fullmatch(r"[\w-]+\.mid", midi.value.suggested_filename)


def source_samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="float32")[0]


def test_what_is_no_sound_is_said_to_be_none(browser: Any, running: Running, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Clara")
    with page_of(browser, running.page) as page:
        page.set_input_files("#file", str(tmp_path / "letter.txt"))
        wait_until(lambda: "cannot read that file as sound" in page.inner_text("#problem"))
        assert page.is_enabled("#listen")


def test_refused_permission_is_explained(engine: Any, running: Running) -> None:
    with browsing(engine) as browser, page_of(browser, running.page) as page:
        page.click("#listen")
        wait_until(lambda: "may not use the microphone" in page.inner_text("#problem"))
        assert page.inner_text("#listen") == "Listen" and state(page) == "Not listening."


@pytest.mark.slow
def test_another_machine_needs_the_token_and_https(browser: Any) -> None:
    with serving_apart(*SMALL, "--host", "0.0.0.0", "--token", "correct horse") as found:
        url = f"http://piano.example:{found.port}/"
        with page_of(browser, url) as page:
            assert page.is_visible("#token-form")
            page.click("#listen")
            assert "https://" in page.inner_text("#problem")
            page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": wav()})
            wait_until(lambda: "token is missing or wrong" in page.inner_text("#problem"))
        with page_of(browser, f"{url}#token=another") as page:
            assert not page.is_visible("#token-form")
            page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": wav()})
            page.fill("#token", "correct horse")
            page.press("#token", "Enter")
            page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": wav()})
            wait_until(lambda: page.evaluate("hppnet.notes.length") >= 3)
        with page_of(browser, f"{url}#token=correct%20horse") as page:
            assert not page.is_visible("#token-form") and "token" not in page.url
            page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": wav()})
            wait_until(lambda: page.evaluate("hppnet.notes.length") >= 3)


def wav() -> bytes:
    import io

    file = io.BytesIO()
    soundfile.write(file, three_notes(), 16_000, format="WAV")
    return file.getvalue()


@pytest.mark.slow
def test_all_places_taken_is_said(browser: Any) -> None:
    with serving_apart(*SMALL, "--max-streams", "1") as found, page_of(browser, found.page) as one:
        one.click("#listen")
        wait_until(lambda: state(one) == "Listening")
        with page_of(browser, found.page) as two:
            two.click("#listen")
            wait_until(lambda: "The server is full" in state(two))
            one.click("#listen")
            wait_until(lambda: state(two) == "Listening")  # by itself


def test_everything_has_a_name_and_a_place_in_the_tab_order(browser: Any, running: Running) -> None:
    with page_of(browser, running.page) as page:
        panel(page, "#settings")
        for role, name in (
            ("button", "Listen"),
            ("combobox", "Microphone"),
            ("combobox", "Channel"),
            ("combobox", "Latency"),
            ("combobox", "Play notes on"),
            ("combobox", "Computed"),
            ("button", "End all notes"),
            ("button", "Read the last notes"),
            ("checkbox", "Announce notes as they come"),
            ("img", "Piano roll: no notes"),
            ("button", "Transcribe a recording"),
        ):
            assert page.get_by_role(role, name=name).count() == 1, name
        page.keyboard.press("Escape")
        assert not page.evaluate("document.querySelector('#settings').open")
        page.evaluate("document.activeElement.blur()")
        for _ in range(6):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == "listen":
                break
        page.keyboard.press("Enter")
        wait_until(lambda: state(page) == "Listening")
        page.keyboard.press("Enter")
        wait_until(lambda: page.inner_text("#listen") == "Listen")
