"""The port: two notes of one key never overlap, and nothing is left sounding."""

from __future__ import annotations

import threading
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hppnet.model.notes import NoteOff, NoteOn, Pedal
from hppnet.realtime import midi_ports
from hppnet.realtime.midi_output import MidiOutput
from hppnet.realtime.midi_ports import MidiPort, PortFault, choose_port, lasting_name

from .live_fakes import FakeWire, sounding_after

SILENCE = [[0xB0, 64, 0], [0xB0, 123, 0]]


def opened(wire: FakeWire, channel: int = 1) -> MidiOutput:
    port = MidiOutput("fake", channel=channel, wire=lambda: wire)
    port.open()
    return port


def test_messages_are_on_their_channel() -> None:
    wire = FakeWire()
    port = opened(wire, channel=16)
    port.send(NoteOn(0.0, 60, 100))
    port.send(NoteOff(0.5, 60))
    assert wire.messages == [[0x9F, 60, 100], [0x8F, 60, 64]]


def test_closing_ends_each_note_then_sustain_then_all() -> None:
    wire = FakeWire()
    with opened(wire) as port:
        port.note_on(60, 80)
        port.note_on(64, 80)
        assert port.sounding == {60, 64}
    assert wire.messages[2:] == [[0x80, 60, 64], [0x80, 64, 64], *SILENCE]
    assert wire.closed
    port.close()
    assert len(wire.messages) == 6


def test_an_exception_silences_the_port_too() -> None:
    wire = FakeWire()
    with pytest.raises(ZeroDivisionError), opened(wire) as port:
        port.note_on(60, 80)
        raise ZeroDivisionError
    assert sounding_after(wire.messages) == set()
    assert wire.messages[-2:] == SILENCE


@given(st.lists(st.tuples(st.booleans(), st.integers(60, 63))))
def test_notes_of_one_key_never_overlap(moves: list[tuple[bool, int]]) -> None:
    wire = FakeWire()
    with opened(wire) as port:
        for on, pitch in moves:
            port.send(NoteOn(0.0, pitch, 80) if on else NoteOff(0.0, pitch))
            assert port.sounding == sounding_after(wire.messages)
    assert sounding_after(wire.messages) == set()


def test_what_sounded_when_the_port_failed_is_ended_when_it_is_back() -> None:
    broken, whole = FakeWire(), FakeWire()
    both = iter([broken, whole])
    port = MidiOutput("fake", wire=lambda: next(both))
    port.open()
    port.note_on(60, 80)

    def fail() -> None:
        raise OSError("cable pulled")

    broken.trouble = fail
    with pytest.raises(PortFault, match="cable pulled"):
        port.note_off(60)
    port.drop()
    with pytest.raises(PortFault, match="not open"):
        port.note_on(62, 80)
    port.open()
    assert whole.messages == [[0x80, 60, 64], [0x80, 62, 64], *SILENCE]
    assert not port.sounding


def test_the_pedal_is_controller_64_and_said_once() -> None:
    wire = FakeWire()
    with opened(wire, channel=2) as port:
        for down in (False, True, True, False, False, True):
            port.send(Pedal(0.0, down))
        assert port.pedal_down
    assert wire.messages[:3] == [[0xB1, 64, 127], [0xB1, 64, 0], [0xB1, 64, 127]]
    assert wire.messages[3:] == [[0xB1, 64, 0], [0xB1, 123, 0]]  # and it ends up


def test_a_pedal_that_may_be_down_comes_up_when_the_port_is_back() -> None:
    broken, whole = FakeWire(), FakeWire()
    both = iter([broken, whole])
    port = MidiOutput("fake", wire=lambda: next(both))
    port.open()
    port.pedal(True)

    def fail() -> None:
        raise OSError("cable pulled")

    broken.trouble = fail
    for lift in (lambda: port.pedal(False), port.panic):
        with pytest.raises(PortFault, match="cable pulled"):
            lift()
        assert port.pedal_down
    port.drop()
    port.open()
    assert whole.messages == SILENCE and not port.pedal_down


def test_a_port_that_cannot_be_opened_is_a_fault_whatever_the_library_raises() -> None:
    """python-rtmidi raises OSError where the system fails, as for a port that another program holds."""

    def taken() -> FakeWire:
        raise OSError("the port is in use")

    with pytest.raises(PortFault, match="fake: the port is in use"):
        MidiOutput("fake", wire=taken).open()


def test_closing_tries_a_port_that_failed_once_more() -> None:
    wires = [FakeWire(), FakeWire(), FakeWire()]
    left = iter(wires)
    port = MidiOutput("fake", wire=lambda: next(left))
    port.open()
    port.note_on(60, 80)
    port.pedal(True)
    port.drop()
    port.close()
    assert wires[1].messages == [[0x80, 60, 64], *SILENCE] and wires[1].closed
    port.close()
    assert wires[2].messages == [] and not wires[2].closed


@given(st.lists(st.tuples(st.booleans(), st.integers(59, 63), st.integers(0, 3))), st.randoms())
def test_whatever_sends_fail_nothing_stays_down(moves: list[tuple[bool, int, int]], dice: Random) -> None:
    wire, failures = FakeWire(), 0

    def send(message: list[int]) -> None:
        nonlocal failures
        failures -= 1
        if failures < 0 or dice.random() < 0.5:  # it may have got through all the same
            wire.messages.append(message)
        if failures >= 0:
            raise OSError("cable pulled")

    wire.send = send  # type: ignore[method-assign]
    port = opened(wire)
    for down, key, failing in moves:
        failures = failing
        event = Pedal(0.0, down) if key == 59 else NoteOn(0.0, key, 80) if down else NoteOff(0.0, key)
        try:
            port.open()
            port.send(event)
        except PortFault:
            port.drop()
    failures = 0
    port.close()
    assert sounding_after(wire.messages, before=True) == set()


def test_a_port_whose_other_end_has_gone_is_a_fault() -> None:
    wire = FakeWire()
    port = opened(wire)
    port.check()
    wire.gone = True
    with pytest.raises(PortFault, match="has gone"):
        port.check()


def test_closing_does_not_wait_for_a_send_that_blocks() -> None:
    wire, free, sending = FakeWire(), threading.Event(), threading.Event()

    def block() -> None:
        sending.set()
        free.wait()

    wire.trouble = block
    port = opened(wire)
    thread = threading.Thread(target=port.note_on, args=(60, 80), daemon=True)
    thread.start()
    sending.wait()
    port.close()  # returns although the other thread holds the port
    free.set()
    thread.join()


PORTS = [
    MidiPort("Midi Through:Midi Through Port-0 14:0", "alsa"),
    MidiPort("FLUID Synth (4711):Synth input port (4711:0) 128:0", "alsa"),
    MidiPort("fluid:midi_00", "jack"),
]


def test_ports_are_chosen_by_part_of_the_name() -> None:
    assert choose_port(None, PORTS) == PORTS[1]
    assert choose_port("through", PORTS) == PORTS[0]
    assert choose_port("(jack)", PORTS) == PORTS[2]
    assert choose_port(None, PORTS[:1]) == PORTS[0]
    with pytest.raises(PortFault, match="'organ'; choose from Midi Through"):
        choose_port("organ", PORTS)
    with pytest.raises(PortFault, match="no MIDI port found"):
        choose_port(None, [])


def test_a_synthesiser_that_started_again_has_the_same_lasting_name() -> None:
    again = MidiPort("FLUID Synth (9):Synth input port (9:0) 129:0", "alsa")
    assert lasting_name(PORTS[1]) == lasting_name(again) == "FLUID Synth:Synth input port"
    assert choose_port(lasting_name(again), PORTS) == PORTS[1]
    assert choose_port(again.name, PORTS) == choose_port(str(again), PORTS) == PORTS[1]


def test_windows_is_told_of_loopmidi(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def delete(self) -> None: ...

    monkeypatch.setattr(midi_ports, "_clients", lambda system, client="": iter([("winmm", Client())]))
    with pytest.raises(PortFault, match="loopMIDI"):
        midi_ports.open_virtual("piano")


class HeldClient:
    """A client of a system whose port another program holds; rtmidi.SystemError is an OSError."""

    def get_ports(self) -> list[str]:
        return ["Synth"]

    def open_port(self, number: int, name: str) -> None:
        raise OSError("MidiOutWinMM::openPort: error creating Windows MM MIDI output port.")

    def open_virtual_port(self, name: str) -> None:
        raise OSError("MidiOutAlsa::openVirtualPort: error creating ALSA virtual port.")

    def delete(self) -> None: ...


def test_a_port_that_another_program_holds_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(midi_ports, "_clients", lambda system, client="": iter([("alsa", HeldClient())]))
    with pytest.raises(PortFault, match="cannot be opened"):
        midi_ports.open_port(None)
    with pytest.raises(PortFault, match="'piano' cannot be made"):
        midi_ports.open_virtual("piano")


@pytest.mark.parametrize("channel", [0, 17])
def test_channels_are_1_to_16(channel: int) -> None:
    with pytest.raises(ValueError, match="1 to 16"):
        MidiOutput("x", channel=channel)
