"""Scripts that look at the page, and listen to it, from within."""

from __future__ import annotations

#: Keeps every hint that a page shows, in order, in ``hints``: one may be gone before a test looks.
HINTS = """
window.hints = [];
new MutationObserver(() => {
    const line = document.getElementById("hint")?.textContent;
    if (line && line !== hints.at(-1)) hints.push(line);
}).observe(document, {subtree: true, childList: true, characterData: true});
"""

#: Whether the pedal's bar is drawn at these moments, when the recording's end is at the keyboard.
EDGE = """async (groups) => {
    await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
    const { SPEED } = await import("./roll.js");
    const { roll } = hppnet.page.screen;
    const ratio = roll.canvas.width / roll.width;
    const probe = document.createElement("canvas").getContext("2d");
    probe.fillStyle = roll.palette.pedal;
    probe.fillRect(0, 0, 1, 1);
    const wanted = String(probe.getImageData(0, 0, 1, 1).data);
    const y = (s) => roll.bottom - (hppnet.page.take.duration_s - s) * SPEED;
    const at = (s) => roll.context.getImageData(8 * ratio, y(s) * ratio, 1, 1);
    return groups.map((times) => times.filter((s) => y(s) > 0).map((s) => String(at(s).data) === wanted));
}"""

#: Another output than the page's own, whose pedal goes down before there is a port to play on.
CHOOSES_LATE = """async () => {
    const { Output } = await import("./output.js");
    window.output = new Output(document.createElement("select"), () => {});
    window.pick = (value) => output.choose((output.picker.value = value));
    output.play({ type: "pedal", down: true, time_s: 0 }, 0);
    await pick("midi");
}"""

#: Plays a key and finds the loudest frequency in Hz.
PITCH = """async (pitch) => {
    const { player } = hppnet;
    const ear = new AnalyserNode(player.context, {fftSize: 16384, smoothingTimeConstant: 0});
    player.out.connect(ear);
    player.on(pitch, 100, 0);
    const until_s = player.context.currentTime + 0.5;
    while (player.context.currentTime < until_s) await new Promise((go) => setTimeout(go, 20));
    const levels = new Float32Array(ear.frequencyBinCount);
    ear.getFloatFrequencyData(levels);
    player.panic();
    return levels.indexOf(Math.max(...levels)) * player.context.sampleRate / ear.fftSize;
}"""

#: What the synthesiser sounds like (the loudest sample of 40 ms) after each step.
SYNTH = """async () => {
    const synth = hppnet.player;
    const ear = new AnalyserNode(synth.context, {fftSize: 2048});
    synth.out.connect(ear);
    const found = {};
    const wait = (ms) => new Promise((go) => setTimeout(go, ms));
    const hear = async (what) => {
        const until_s = synth.context.currentTime + 0.4;
        while (synth.context.currentTime < until_s) await wait(20);
        const samples = new Float32Array(ear.fftSize);
        ear.getFloatTimeDomainData(samples);
        found[what] = Math.max(...samples.map(Math.abs));
    };
    synth.on(60, 100, 0);
    await hear("held");
    synth.pedal(true, 0);
    synth.off(60, 0);
    await hear("released, pedal down");
    synth.pedal(false, 0);
    await hear("pedal up");
    synth.on(60, 100, 0);
    synth.off(60, 0);
    await hear("released, no pedal");
    synth.on(64, 100, 0);
    synth.pedal(true, 0);
    synth.pedal(false, 0);
    await hear("key held, pedal up");
    synth.off(64, 0);
    synth.pedal(true, 0);
    synth.on(67, 100, 0);
    synth.off(67, 0);
    const first = synth.voices.get(67).source;
    first.onended = () => { found["the first one has ended"] = true; };
    synth.on(67, 100, 0);
    found["voices after a second stroke"] = synth.voices.size;
    await hear("struck again");
    synth.off(67, 0);
    synth.panic();
    await hear("panic");
    found["pedal after panic"] = synth.pedalDown;
    return found;
}"""
