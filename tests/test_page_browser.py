"""The page without a server: files of a static host, in Chromium with a recording for a microphone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from hppnet.model.transcriber import Transcriber
from hppnet.realtime.bench_notes import onset_f1
from hppnet.realtime.web.static_page import NOT_KEPT

from .children import PATIENCE_S, wait_until
from .needs import module
from .page_host import BELOW, SMALL, Host, browsing, hosted, written_page, written_take
from .page_probes import HINTS, PITCH
from .test_web_browser import choose, onsets, page_of, shown

playwright = module("playwright.sync_api", "dev")
pytestmark = pytest.mark.needs("chromium", "page runtime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_page(tmp_path_factory.mktemp("static"), *SMALL)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_take(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def browser(recording: Path) -> Iterator[Any]:
    flags = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={recording}")
    with playwright.sync_playwright() as found, browsing(found.chromium, *flags) as chromium:
        yield chromium


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    with hosted(folder) as found:
        yield found


def test_a_recording_gives_the_notes_of_a_streamed_file(
    browser: Any, host: Host, recording: Path, transcriber: Transcriber
) -> None:
    sound, rate = soundfile.read(recording, dtype="float32")
    wanted = sorted(transcriber.transcribe(sound, rate, latency_ms=132))
    with page_of(browser, host.url) as page:
        page.evaluate(
            """async (bytes) => {
                await hppnet.page.openFile(new File([new Uint8Array(bytes)], "take.wav"), 132);
            }""",
            list(recording.read_bytes()),
        )
        found = sorted(
            page.evaluate("hppnet.notes"), key=lambda note: (note["onset_s"], note["offset_s"], note["pitch"])
        )
        assert [(note["pitch"], note["velocity"]) for note in found] == [
            (note.pitch, note.velocity) for note in wanted
        ]
        for one, other in zip(found, wanted, strict=True):
            assert one["onset_s"] == pytest.approx(other.onset_s, abs=0.001)
            assert one["offset_s"] == pytest.approx(other.offset_s, abs=0.001)


def test_a_take_is_heard_kept_and_there_after_a_reload(
    browser: Any, host: Host, transcriber: Transcriber, tmp_path: Path
) -> None:
    with page_of(browser, host.url) as page:
        wait_until(lambda: shown(page, "#state") == "Ready", "the network")
        page.click("#listen")
        wait_until(lambda: page.evaluate("hppnet.notes.length") >= 8, "notes")
        dropped, said = page.evaluate("hppnet.droppedBlocks"), shown(page, "#hint")
        page.click("#listen")
        page.wait_for_selector("#save-audio:not([disabled])")
        found = onsets(page)
        with page.expect_download() as audio:
            page.click("#save-audio")
        audio.value.save_as(tmp_path / "take.wav")
        sound, rate = soundfile.read(tmp_path / "take.wav", dtype="float32")
        notes = transcriber.transcribe(sound, rate, latency_ms=132)
        if dropped:  # a machine too busy for it: never in silence
            assert "left out" in said
        else:
            assert onset_f1([(note.onset_s, note.pitch) for note in notes], found) >= 98

        page.reload()
        page.click("#takes summary")
        page.wait_for_selector("#takes-list li")
        page.click("#takes-list button:has-text('Open')")
        page.wait_for_selector("#save-audio:not([disabled])")
        assert onsets(page) == found
        page.evaluate("hppnet.page.transport.go(1)")
        page.click("#play")
        wait_until(lambda: page.evaluate("hppnet.lit.length"), "playing back")

        page.click("#takes summary")
        page.fill("#takes-list input", "My take: 1")
        page.press("#takes-list input", "Enter")
        wait_until(
            lambda: page.evaluate("hppnet.page.store.list().then(([row]) => row.name)") == "My take: 1"
        )
        with page.expect_download() as midi:
            page.click("#takes-list button:has-text('Save MIDI')")
        assert midi.value.suggested_filename == "My-take-1.mid"


def test_a_take_whose_end_the_page_does_not_see_is_kept_with_its_sound(browser: Any, host: Host) -> None:
    with page_of(browser, host.url) as page:
        wait_until(lambda: shown(page, "#state") == "Ready", "the network")
        page.click("#listen")
        wait_until(lambda: page.evaluate("hppnet.notes.length") >= 8, "notes")
        wait_until(lambda: page.evaluate("hppnet.page.listening.recording.chunks.length"), "a full chunk")
        page.evaluate("hppnet.page.keepUnfinished(), hppnet.page.keeping")
        found = onsets(page)
        page.reload()
        page.click("#takes summary")
        page.click("#takes-list button:has-text('Open')")
        page.wait_for_selector("#save-audio:not([disabled])")
        assert len(onsets(page)) >= 8 and set(onsets(page)) <= set(found)
        assert page.is_hidden("#empty") and page.is_enabled("#position")
        assert all(note["offset_s"] is not None for note in page.evaluate("hppnet.notes"))
        with page.expect_download() as audio:
            page.click("#save-audio")
        sound = soundfile.info(audio.value.path())
        assert sound.duration > 10 and sound.duration <= page.evaluate("hppnet.page.take.duration_s") + 0.1


def test_a_take_without_sound_offers_none(browser: Any, host: Host) -> None:
    with page_of(browser, host.url) as page:
        page.evaluate("hppnet.page.store.putNotes(hppnet.page.take).then(() => hppnet.page.list.refresh())")
        page.click("#takes summary")
        page.wait_for_selector("#takes-list li")
        assert page.is_disabled("#takes-list button:has-text('Save sound')")
        assert page.is_enabled("#takes-list button:has-text('Save MIDI')")


def test_stop_counts_while_the_browser_still_asks_for_the_microphone(browser: Any, host: Host) -> None:
    with page_of(browser, host.url) as page:
        wait_until(lambda: shown(page, "#state") == "Ready", "the network")
        page.evaluate(
            """() => {
                const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
                navigator.mediaDevices.getUserMedia = async (wish) => {
                    await new Promise((go) => (window.allow = go));
                    return (window.stream = await ask(wish));
                };
            }"""
        )
        page.click("#listen")
        wait_until(lambda: page.evaluate("Boolean(window.allow)"), "the question")
        page.click("#listen")
        assert shown(page, "#state") == "Not listening." and shown(page, "#listen") == "Listen"
        page.evaluate("allow()")
        wait_until(
            lambda: page.evaluate("window.stream?.getTracks()[0].readyState") == "ended",
            "a closed microphone",
        )
        assert page.evaluate("hppnet.page.listening") is None and shown(page, "#state") == "Not listening."


def test_it_works_without_a_network_once_it_was_loaded(browser: Any, folder: Path, recording: Path) -> None:
    with hosted(folder) as host:
        context = browser.new_context()
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        page.goto(host.url)
        wait_until(lambda: shown(page, "#offline") == "Works offline", "the service worker")
        host.asked.clear()
        page.reload()
        wait_until(lambda: shown(page, "#offline") == "Works offline", "the second load")
        assert set(host.asked) <= {"/music/piano/service_worker.js"}  # the rest was in the cache
    page.reload()
    page.set_input_files("#file", str(recording))
    page.wait_for_selector("#save-midi:not([disabled])")
    assert page.evaluate("hppnet.notes.length") >= 8
    kept = page.evaluate(
        "(async () => (await (await caches.open((await caches.keys())[0])).keys()).map((one) => one.url))()"
    )
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} - set(NOT_KEPT)
    files = {name for name in files if not name.startswith("samples/")}
    assert set(kept) == {host.url + name for name in files}  # no sound, no token
    context.close()


def test_the_piano_is_loaded_when_it_is_chosen_and_kept(browser: Any, folder: Path) -> None:
    with hosted(folder) as host:
        context = browser.new_context()
        context.set_default_timeout(1000 * PATIENCE_S)
        page = context.new_page()
        page.add_init_script(HINTS)
        page.goto(host.url)
        wait_until(lambda: shown(page, "#offline") == "Works offline", "the service worker")
        assert not [path for path in host.asked if "/samples/" in path]
        choose_piano(page, "The piano is loaded")
        assert len({path for path in host.asked if "/samples/" in path}) == 15
        for pitch in (45, 60, 72):  # recorded, and three keys beside a recording
            partial = page.evaluate(PITCH, pitch) / (440 * 2 ** ((pitch - 69) / 12))
            assert partial == pytest.approx(round(partial), rel=0.03) and 1 <= round(partial) <= 6
    page.reload()  # no host any more
    wait_until(lambda: shown(page, "#state") == "Ready", "the page")
    choose_piano(page, "The piano is loaded")
    context.close()


def test_without_its_recordings_the_synthesiser_plays(browser: Any, folder: Path, tmp_path: Path) -> None:
    # Removed from the page: a route of Playwright's would not apply to what the service worker fetches.
    own = shutil.copytree(folder, tmp_path / "page")
    for recording in (own / "samples").glob("*.mp3"):
        recording.unlink()
    with hosted(own) as host, page_of(browser, host.url, HINTS) as page:
        choose_piano(page, "The piano could not be loaded")
        assert page.evaluate(PITCH, 69) == pytest.approx(440, rel=0.02)


def choose_piano(page: Any, until: str) -> None:
    page.click("#roll", position={"x": 40, "y": 40})  # sound needs a gesture first
    choose(page, "#output", "piano")
    wait_until(lambda: any(until in hint for hint in page.evaluate("hints")), until)


def test_a_newer_page_is_announced_and_used_at_the_next_start(
    browser: Any, folder: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(folder, tmp_path / "page")
    with hosted(own) as host:
        context = browser.new_context()
        context.set_default_timeout(1000 * PATIENCE_S)
        context.add_init_script(HINTS)
        page = context.new_page()
        page.goto(host.url)
        wait_until(lambda: shown(page, "#offline") == "Works offline", "the service worker")
        for name, old, new in (
            ("service_worker.js", 'BUILD = "', 'BUILD = "newer'),
            ("language/en.js", "Works offline", "Runs offline"),
        ):
            (own / name).write_text((own / name).read_text().replace(old, new))
        page.reload()
        wait_until(lambda: "newer version" in " ".join(page.evaluate("hints")), "word of the newer page")
        assert shown(page, "#offline") != "Runs offline"
        page.close()
        # The newer worker waits until the browser has put the closed page away: a page opened before that
        # is still the old one's. A page of the same host, outside its scope, sees when that is over.
        page = context.new_page()
        page.goto(host.url.removesuffix(f"{BELOW}/"))
        waiting = (
            "(url) => navigator.serviceWorker.getRegistration(url).then((found) => Boolean(found.waiting))"
        )
        wait_until(lambda: not page.evaluate(waiting, host.url), "the newer page's turn")
        page.goto(host.url)
        wait_until(lambda: shown(page, "#offline") == "Runs offline", "the newer page")
        assert page.evaluate("caches.keys()") == [f"hppnet {host.url} {_build(own)}"]
        context.close()


def _build(folder: Path) -> str:
    found = re.search(r'BUILD = "(\w+)"', (folder / "service_worker.js").read_text())
    assert found is not None
    return found[1]


def test_a_microphone_that_is_pulled_ends_notes_and_listening_goes_on(browser: Any, host: Host) -> None:
    with page_of(browser, host.url, HINTS) as page:
        wait_until(lambda: shown(page, "#state") == "Ready", "the network")
        page.click("#listen")
        wait_until(lambda: page.evaluate("hppnet.notes.length") >= 2, "notes")
        before = page.evaluate("""() => {
            const { capture } = hppnet.page.listening;
            const before = hppnet.notes.length;
            capture.stream.getAudioTracks()[0].stop();
            capture.stream.getAudioTracks()[0].onended();
            return before;
        }""")
        wait_until(lambda: "Listening goes on" in "".join(page.evaluate("hints")), "the microphone")
        wait_until(lambda: page.evaluate("hppnet.notes.length") > before + 2, "more notes")
        assert shown(page, "#state") == "Listening"
        page.click("#listen")
        page.wait_for_selector("#save-midi:not([disabled])")


@pytest.mark.parametrize("width", [360, 2560])
def test_everything_fits_and_keys_are_wide_enough(browser: Any, host: Host, width: int) -> None:
    with page_of(browser, host.url) as page:
        page.set_viewport_size({"width": width, "height": 800})
        wait_until(lambda: page.evaluate("hppnet.page.screen.roll.width") == width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("hppnet.page.screen.roll.range.unit") >= 12
        page.focus("#roll")
        page.keyboard.press("+")
        page.keyboard.press("ArrowRight")
        wait_until(lambda: page.is_visible("#fit"))
        page.click("#fit")
        wait_until(lambda: not page.evaluate("hppnet.page.screen.roll.range.byHand"))
