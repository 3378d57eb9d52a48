"""What a user does beside listening: plays takes back, names and deletes them, drops files, presses keys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .children import wait_until
from .needs import module
from .page_host import Host, browsing, hosted, written_page, written_take
from .page_probes import HINTS
from .test_web_browser import MIDI_PORT, choose, page_of, shown

playwright = module("playwright.sync_api", "dev")
pytestmark = pytest.mark.needs("chromium", "page runtime")

#: Makes takes without the engine: a note a second, and silence or no sound at all as their sound.
TAKES = """
window.made = async (seconds, kept) => {
    const [{ Take }, { Recording }] = await Promise.all([import("./take.js"), import("./recording.js")]);
    const take = new Take("made");
    for (let s = 0; s < seconds; s++) {
        take.notes.add({ type: "on", pitch: 60 + s, velocity: 80, time_s: s });
        take.notes.add({ type: "off", pitch: 60 + s, time_s: s + 0.9 });
    }
    const recording = new Recording(48000);
    recording.add(new Float32Array(48000 * seconds));
    Object.assign(take, { duration_s: seconds, rate: 48000, audio: recording.blob() });
    if (kept) await hppnet.page.store.put(take).then(() => hppnet.page.list.refresh());
    return take;
};
window.open_made = async (seconds, kept) => hppnet.page.openTake(await made(seconds, kept));
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_page(tmp_path_factory.mktemp("static"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    recording = written_take(tmp_path_factory.mktemp("sound"))
    flags = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={recording}")
    with playwright.sync_playwright() as found, browsing(found.chromium, *flags) as chromium:
        yield chromium


@pytest.fixture
def host(folder: Path) -> Iterator[Host]:
    with hosted(folder) as found:
        yield found


@pytest.fixture
def page(browser: Any, host: Host) -> Iterator[Any]:
    with page_of(browser, host.url, HINTS + TAKES + MIDI_PORT) as found:
        wait_until(lambda: shown(found, "#state") == "Ready", "the network")
        yield found


def test_a_take_that_played_to_its_end_stays_there_and_plays_again_from_the_start(page: Any) -> None:
    page.evaluate("open_made(3)")
    page.evaluate("hppnet.page.transport.go(2)")
    page.click("#play")
    wait_until(lambda: page.evaluate("hppnet.page.transport.player.ended"), "the end")
    assert page.evaluate("hppnet.page.transport.now_s") == 3
    wait_until(lambda: page.evaluate("Number(document.querySelector('#position').value)") == 3)
    page.click("#play")
    wait_until(lambda: 0 < page.evaluate("hppnet.page.transport.now_s") < 2, "the start")


def test_a_pause_by_the_browser_keeps_the_place(page: Any) -> None:
    page.evaluate("open_made(5)")
    page.evaluate("hppnet.page.transport.go(1)")
    page.click("#play")
    wait_until(lambda: page.evaluate("hppnet.page.transport.now_s") > 1.2)
    page.evaluate("hppnet.page.transport.player.pause()")  # as a headset's key or a phone call does
    wait_until(lambda: shown(page, "#play") == "Play")
    assert page.evaluate("hppnet.page.transport.now_s") > 1.2


def test_a_sound_that_cannot_be_played_is_said(page: Any) -> None:
    page.evaluate("made(3).then((take) => hppnet.page.openTake({ ...take, audio: new Blob(['no sound']) }))")
    page.click("#play")
    wait_until(lambda: "cannot play" in page.inner_text("#problem"))


def test_moving_a_silent_take_sends_nothing_to_the_midi_port(page: Any) -> None:
    page.evaluate("open_made(5)")
    choose(page, "#output", "midi")
    page.evaluate("sent.length = 0")
    page.evaluate(
        """async () => {
            const { transport } = hppnet.page;
            for (let s = 0; s < 5; s += 0.5) {
                const sought = new Promise((go) => (transport.player.onseeked = go));
                transport.go(s);
                await sought;
            }
        }"""
    )
    assert page.evaluate("sent.filter(([status]) => status === 0xb0).length") == 0
    page.evaluate("hppnet.page.transport.go(0.1)")
    page.click("#play")
    wait_until(lambda: page.evaluate("sent.some(([status]) => status === 0x90)"), "a note")
    page.evaluate("hppnet.page.transport.player.pause()")
    wait_until(lambda: page.evaluate("sent.at(-1)[0] === 0x80"), "its end")


def test_a_still_page_draws_nothing_and_a_key_wakes_it(page: Any) -> None:
    page.evaluate("open_made(5)")
    page.evaluate(
        """() => {
            window.asked = 0;
            const ask = window.requestAnimationFrame.bind(window);
            window.requestAnimationFrame = (draw) => (window.asked++, ask(draw));
        }"""
    )
    later = "new Promise((go) => setTimeout(() => go(asked), 200))"
    wait_until(lambda: page.evaluate("asked") == page.evaluate(later), "a still page")
    still = page.evaluate("asked")
    page.focus("#roll")
    page.keyboard.press("ArrowUp")
    wait_until(lambda: page.evaluate("Number(document.querySelector('#position').value)") == 4)
    assert page.evaluate("asked") > still


def test_the_browser_keeps_its_own_keys_on_the_roll(page: Any) -> None:
    page.focus("#roll")
    taken = page.evaluate(
        """() => [{key: "+"}, {key: "+", ctrlKey: true}, {key: "0", metaKey: true}, {key: "0", altKey: true}]
            .map((wish) => new KeyboardEvent("keydown", {...wish, bubbles: true, cancelable: true}))
            .map((event) => !document.querySelector("#roll").dispatchEvent(event))"""
    )
    assert taken == [True, False, False, False]


def test_what_is_announced_can_be_heard_while_the_settings_are_closed(page: Any) -> None:
    assert not page.evaluate("document.querySelector('#settings').open")
    page.evaluate("hppnet.page.announcer.note(60), hppnet.page.announcer.sayLast()")
    assert "C 4" in page.locator("body").aria_snapshot()


def test_a_name_given_in_the_list_is_the_name_of_the_take_on_screen(page: Any) -> None:
    page.evaluate("open_made(3, true)")
    page.click("#takes summary")
    page.fill("#takes-list input", "Clara")
    page.press("#takes-list input", "Enter")
    wait_until(lambda: page.evaluate("hppnet.page.store.list().then(([row]) => row.name)") == "Clara")
    with page.expect_download() as midi:
        page.evaluate("hppnet.page.saveMidi()")
    assert midi.value.suggested_filename == "Clara.mid"


def test_a_take_of_another_tab_is_in_the_list(page: Any) -> None:
    page.evaluate("made(3).then((take) => hppnet.page.store.put(take))")  # without a word to this tab
    page.click("#takes summary")
    page.wait_for_selector("#takes-list li")


def test_a_take_is_deleted_at_the_second_press_and_the_page_goes_on_meanwhile(page: Any) -> None:
    page.evaluate("made(3, true)")
    page.click("#takes summary")
    page.click("#takes-list button:has-text('Delete')")
    assert page.evaluate("hppnet.page.store.list().then((rows) => rows.length)") == 1
    page.focus("#takes-list input")
    assert page.locator("#takes-list button:has-text('Delete')").inner_text() == "Delete"
    page.click("#takes-list button:has-text('Delete')")
    page.click("#takes-list button:has-text('Delete “made”?')")
    wait_until(lambda: page.evaluate("hppnet.page.store.list().then((rows) => rows.length)") == 0)
    page.wait_for_selector("#takes-none", state="visible")


def test_a_failing_storage_is_said(page: Any) -> None:
    page.evaluate("made(3, true)")
    page.click("#takes summary")
    page.wait_for_selector("#takes-list li")
    page.evaluate("() => { hppnet.page.store.run = () => Promise.reject(new Error('it is broken')); }")
    page.click("#takes-list button:has-text('Open')")
    wait_until(lambda: any("it is broken" in hint for hint in page.evaluate("hints")))


def test_a_take_stays_on_screen_if_the_next_one_does_not_begin(page: Any, tmp_path: Path) -> None:
    page.evaluate("open_made(3)")
    (tmp_path / "letter.txt").write_text("Dear Clara")
    page.set_input_files("#file", str(tmp_path / "letter.txt"))
    wait_until(lambda: "cannot read that file as sound" in page.inner_text("#problem"))
    assert page.evaluate("hppnet.notes.length") == 3 and page.is_enabled("#save-midi")
    page.evaluate(
        """() => {
            const refused = () => Promise.reject(new DOMException("no", "NotReadableError"));
            navigator.mediaDevices.getUserMedia = refused;
        }"""
    )
    page.click("#listen")
    wait_until(lambda: "does not respond" in page.inner_text("#problem"))
    assert page.evaluate("hppnet.notes.length") == 3 and page.is_enabled("#play")
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => new Promise(() => {}); }")
    page.click("#listen")
    wait_until(lambda: shown(page, "#state") == "Opening the microphone …")
    page.click("#listen")
    assert page.evaluate("hppnet.notes.length") == 3 and page.is_enabled("#play")


def test_the_page_says_which_of_two_dropped_files_it_takes(page: Any) -> None:
    drop = """() => {
        const data = new DataTransfer();
        for (const name of ["one.wav", "two.wav"]) data.items.add(new File(["no sound at all"], name));
        document.dispatchEvent(new DragEvent("drop", {dataTransfer: data}));
    }"""
    page.evaluate(drop)
    wait_until(lambda: any("one.wav" in hint for hint in page.evaluate("hints")))
    page.click("#listen")
    wait_until(lambda: shown(page, "#state") == "Listening")
    page.evaluate(drop)
    wait_until(lambda: any("Stop it first" in hint for hint in page.evaluate("hints")))
    page.click("#listen")


def test_loading_the_engine_with_a_take_on_screen_ends(page: Any) -> None:
    page.evaluate("open_made(3)")
    page.evaluate(
        """() => {
            hppnet.page.engines.own.onPrepared = () => {};
            document.querySelector("#engine").dispatchEvent(new Event("change"));
        }"""
    )
    wait_until(lambda: shown(page, "#state") == "Ready")


def test_the_synthesiser_plays_again_after_the_system_suspended_it(page: Any) -> None:
    page.click("#roll", position={"x": 40, "y": 40})
    choose(page, "#output", "synth")
    wait_until(lambda: page.evaluate("hppnet.player.context.state") == "running")
    page.evaluate("hppnet.player.context.suspend()")
    page.keyboard.press("Shift")
    wait_until(lambda: page.evaluate("hppnet.player.context.state") == "running")


def test_a_late_answer_about_midi_does_not_replace_a_later_choice(page: Any) -> None:
    page.evaluate(
        """() => {
            const ask = navigator.requestMIDIAccess;
            navigator.requestMIDIAccess = () => new Promise((go) => (window.allow = () => go(ask())));
        }"""
    )
    choose(page, "#output", "midi")
    choose(page, "#output", "synth")
    page.evaluate("allow(), new Promise((go) => setTimeout(go))")
    assert page.input_value("#output") == "synth"
    assert page.evaluate("Boolean(hppnet.player.context)")


def test_another_microphone_counts_at_once_and_one_that_was_pulled_comes_back(page: Any) -> None:
    page.evaluate(
        """() => {
            window.devices = ["one", "two"];
            const { mediaDevices } = navigator;
            const ask = mediaDevices.getUserMedia.bind(mediaDevices);
            mediaDevices.enumerateDevices = async () =>
                devices.map((name) => ({ kind: "audioinput", deviceId: name, label: name }));
            mediaDevices.getUserMedia = async ({ audio: { deviceId, ...rest } }) => {
                const there = !deviceId || devices.includes(deviceId.exact);
                if (!there) throw new DOMException("", "OverconstrainedError");
                window.opened = deviceId?.exact ?? "";
                return ask({ audio: rest });
            };
            mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )
    page.wait_for_selector("#microphone option[value=two]", state="attached")
    choose(page, "#microphone", "one")
    page.click("#listen")
    wait_until(lambda: shown(page, "#state") == "Listening")
    assert page.evaluate("opened") == "one"
    choose(page, "#microphone", "two")
    wait_until(lambda: page.evaluate("opened") == "two", "the other microphone")
    wait_until(lambda: any("Listening goes on with" in hint for hint in page.evaluate("hints")))
    page.evaluate(
        """() => {
            devices.pop();
            navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
            hppnet.page.listening.capture.stream.getAudioTracks()[0].onended();
        }"""
    )
    wait_until(lambda: page.evaluate("opened") == "", "the default microphone")
    wait_until(lambda: page.input_value("#microphone") == "")
    before = page.evaluate("hppnet.page.listening.recording.duration_s")
    wait_until(lambda: page.evaluate("hppnet.page.listening.recording.duration_s") > before, "sound")
    page.evaluate("devices.push('two'), navigator.mediaDevices.dispatchEvent(new Event('devicechange'))")
    wait_until(lambda: page.input_value("#microphone") == "two", "the chosen one in the list")
    wait_until(lambda: page.evaluate("opened") == "two", "the chosen one")
    page.click("#listen")
