"use strict";
// Times are in beats (picture), in seconds of the music, or in seconds of the audio clock, which runs while the page is open.
(() => {
  const song = JSON.parse(document.getElementById("song").textContent);
  const element = (id) => document.getElementById(id);
  const [play, clock, view, roll, cursor, volume] = ["play", "clock", "view", "roll", "cursor", "volume"].map(element);
  const SVG = "http://www.w3.org/2000/svg";
  const AHEAD = 0.4, AHEAD_WHEN_HIDDEN = 2.5; // seconds by which notes are scheduled in advance
  const RELEASE = 0.07; // time constant of the release in seconds

  // ---- time ----
  // song.tempos: rows of (beat, second, seconds per beat from there on).
  const rowBefore = (value, column) => {
    let found = song.tempos[0];
    for (const row of song.tempos) if (row[column] <= value) found = row;
    return found;
  };
  const toSeconds = (beat) => { const [b, s, rate] = rowBefore(beat, 0); return s + (beat - b) * rate; };
  const toBeats = (second) => { const [b, s, rate] = rowBefore(second, 1); return b + (second - s) / rate; };
  const end = toSeconds(song.end);
  const asClock = (second) => {
    const whole = Math.round(second);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
  };

  // ---- notes: one row each, in order of onset ----
  const notes = [];
  song.parts.forEach((part, index) => {
    for (let i = 0; i < part.notes.length; i += 5) {
      const [onset, duration, pitch, velocity, recording] = part.notes.slice(i, i + 5);
      const from = onset / song.resolution, to = (onset + duration) / song.resolution;
      notes.push({ part: index, from, to, start: toSeconds(from), stop: toSeconds(to), pitch, velocity, recording });
    }
  });
  notes.sort((a, b) => a.start - b.start);

  // ---- sound ----
  let audio = null, master = null, gains = [], buffers = [], sources = new Set();

  function decode(text) {
    const bytes = atob(text), samples = new Float32Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) {
      // ITU-T G.711 mu-law: sign, exponent, mantissa.
      const code = ~bytes.charCodeAt(i), size = ((2 * (code & 15) + 33) << (code >> 4 & 7)) - 33;
      samples[i] = (code & 128 ? -size : size) * 4 / 32767;
    }
    return samples;
  }

  function openAudio() {
    if (audio || !window.AudioContext) return;
    audio = new AudioContext();
    master = audio.createGain();
    const limiter = audio.createDynamicsCompressor();
    limiter.threshold.value = -6;
    limiter.ratio.value = 20;
    limiter.attack.value = 0.002;
    const hall = audio.createConvolver(), wet = audio.createGain();
    hall.buffer = answerOfAHall();
    wet.gain.value = 0.22;
    master.connect(limiter).connect(audio.destination);
    master.connect(hall).connect(wet).connect(limiter);
    gains = song.parts.map(() => { const gain = audio.createGain(); gain.connect(master); return gain; });
    buffers = song.recordings.map((recording) => {
      const samples = decode(recording.data), buffer = audio.createBuffer(1, Math.max(samples.length, 1), song.rate);
      buffer.getChannelData(0).set(samples);
      return buffer;
    });
    setVolume();
    setGains();
  }

  function answerOfAHall() {
    const length = Math.floor(1.2 * audio.sampleRate), buffer = audio.createBuffer(2, length, audio.sampleRate);
    for (let channel = 0; channel < 2; channel++) {
      const samples = buffer.getChannelData(channel);
      for (let i = Math.floor(0.012 * audio.sampleRate); i < length; i++)
        samples[i] = (Math.random() * 2 - 1) * Math.exp(-6.3 * i / audio.sampleRate);
    }
    return buffer;
  }

  function sound(note, second, at) {
    // Schedules a note from a second of the music on, at a time of the audio clock.
    const recording = song.recordings[note.recording];
    if (!recording) return;
    const source = audio.createBufferSource(), envelope = audio.createGain();
    source.buffer = buffers[note.recording];
    const speed = recording.drum ? 1 : Math.pow(2, (note.pitch - recording.pitch) / 12);
    source.playbackRate.value = speed;
    const level = song.level * Math.pow(note.velocity / 127, 2), begun = Math.max(second - note.start, 0);
    let offset = begun * speed;
    envelope.gain.setValueAtTime(level, at);
    if (recording.loop) {
      const [first, last] = recording.loop;
      Object.assign(source, { loop: true, loopStart: first, loopEnd: last });
      if (recording.decay) {
        const fading = Math.max(offset - first, 0);
        envelope.gain.setValueAtTime(level * Math.exp(-fading / recording.decay), at);
        envelope.gain.setTargetAtTime(0, at + Math.max(first - offset, 0) / speed, recording.decay / speed);
      }
      if (offset > last) offset = first + (offset - first) % (last - first);
    }
    const release = envelope.context.createGain(), stops = at + Math.max(note.stop - note.start - begun, recording.drum ? 1 : 0.03);
    release.gain.setValueAtTime(1, stops);
    release.gain.setTargetAtTime(0, stops, RELEASE);
    source.connect(envelope).connect(release).connect(gains[note.part]);
    source.start(at, offset);
    source.stop(stops + 6 * RELEASE);
    sources.add(source);
    source.onended = () => sources.delete(source);
  }

  function silence() {
    for (const source of sources) { source.onended = null; source.stop(); source.disconnect(); }
    sources.clear();
  }

  const setVolume = () => { if (master) master.gain.setTargetAtTime(Math.pow(volume.value / 80, 2), audio.currentTime, 0.02); };

  // ---- mute and solo ----
  const rows = [...document.querySelectorAll("#parts li")];
  const shapes = song.parts.map((_, index) => roll.querySelector(`.part[data-part="${index}"]`));
  const pressed = (row, kind) => row.querySelector("." + kind).getAttribute("aria-pressed") === "true";

  const isHeard = (index) =>
    rows.some((row) => pressed(row, "solo")) ? pressed(rows[index], "solo") : !pressed(rows[index], "mute");

  function setGains() {
    rows.forEach((row, index) => {
      const heard = isHeard(index);
      row.classList.toggle("silent", !heard);
      shapes[index].classList.toggle("silent", !heard);
      if (audio) gains[index].gain.setTargetAtTime(heard ? 1 : 0, audio.currentTime, 0.01);
    });
  }

  rows.forEach((row) => row.querySelectorAll("button").forEach((button) => button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
    setGains();
  })));

  // ---- playing ----
  let playing = false, position = 0, from = 0, fromClock = 0, next = 0, timer = 0;
  const now = () => (audio && audio.state === "running" ? audio.currentTime : performance.now() / 1000);
  let clockOfAudio = false;

  const current = () => (playing ? Math.min(Math.max(from + now() - fromClock, from), end) : position);

  function begin(second) {
    // (Re)starts the clock and the notes that sound now.
    silence();
    clockOfAudio = Boolean(audio && audio.state === "running");
    from = second;
    fromClock = now() + 0.05;
    next = notes.findIndex((note) => note.start >= second);
    if (next < 0) next = notes.length;
    if (clockOfAudio) for (let i = 0; i < next; i++) if (notes[i].stop > second) sound(notes[i], second, fromClock);
    feed();
  }

  function feed() {
    // Audio may start, or be refused, only after the start of playing.
    if (clockOfAudio !== Boolean(audio && audio.state === "running")) { begin(position); return; }
    position = current();
    const until = position + (document.hidden ? AHEAD_WHEN_HIDDEN : AHEAD);
    for (; next < notes.length && notes[next].start < until; next++)
      if (clockOfAudio) sound(notes[next], notes[next].start, fromClock + notes[next].start - from);
    if (position >= end) stop();
  }

  async function start() {
    openAudio();
    if (position >= end) position = 0;
    playing = true;
    show();
    // Never resolves if the browser refuses sound; the cursor moves nevertheless.
    if (audio && audio.state !== "running") await Promise.race([audio.resume(), new Promise((done) => setTimeout(done, 300))]);
    if (!playing || timer) return;
    begin(position);
    timer = setInterval(feed, 100);
    requestAnimationFrame(draw);
  }

  function stop() {
    position = Math.min(timer ? current() : position, end);
    playing = false;
    clearInterval(timer);
    timer = 0;
    silence();
    show();
  }

  function seek(second) {
    position = Math.min(Math.max(second, 0), end);
    if (timer) begin(position);
    show();
  }

  // ---- display ----
  const sounding = document.createElementNS(SVG, "path");
  sounding.setAttribute("class", "sounding");
  roll.querySelector("svg").append(sounding);

  function show() {
    const second = timer ? current() : position, beat = toBeats(second);
    document.body.classList.toggle("playing", playing);
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    cursor.style.left = `${100 * Math.min(beat / song.beats, 1)}%`;
    const text = `${asClock(second)} / ${asClock(end)}`;
    if (clock.textContent !== text) clock.textContent = text;
    roll.setAttribute("aria-valuenow", beat.toFixed(2));
    roll.setAttribute("aria-valuetext", `beat ${Math.floor(beat + 0.001)}, ${asClock(second)}`);
    const live = notes.filter((note) => playing && note.from <= beat && note.to > beat && isHeard(note.part));
    sounding.setAttribute("d", live.map((n) => song.parts[n.part].drums ? "" :
      `M${n.from} ${song.top - n.pitch - 0.43}H${n.to}v.86H${n.from}z`).join(""));
    rows.forEach((row, index) => row.classList.toggle("sounding", live.some((note) => note.part === index)));
  }

  function draw() {
    if (!playing) return;
    show();
    // Scroll by a page when the cursor is near the edge.
    const keys = element("keys").offsetWidth, room = view.clientWidth - keys;
    const x = roll.clientWidth * Math.min(toBeats(current()) / song.beats, 1) - view.scrollLeft;
    if (x > 0.92 * room || x < 0) view.scrollLeft += x - 0.08 * room;
    requestAnimationFrame(draw);
  }

  function zoom(factor) {
    const room = view.clientWidth - element("keys").offsetWidth;
    const middle = (view.scrollLeft + room / 2) / roll.clientWidth;
    roll.style.width = `${Math.max(Math.min(roll.clientWidth * factor, song.beats * 160, 4e6), room)}px`;
    view.scrollLeft = middle * roll.clientWidth - room / 2;
  }

  // ---- mouse and keyboard ----
  const toggle = () => (playing ? stop() : start());
  const seekTo = (event) => {
    const box = roll.getBoundingClientRect();
    seek(toSeconds(Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * song.beats));
  };
  let held = false;
  roll.addEventListener("pointerdown", (event) => { if (event.button === 0) { held = event.pointerType === "mouse"; seekTo(event); } });
  window.addEventListener("pointermove", (event) => { if (held) seekTo(event); });
  window.addEventListener("pointerup", () => { held = false; });
  play.addEventListener("click", toggle);
  element("rewind").addEventListener("click", () => { seek(0); view.scrollLeft = 0; });
  element("wider").addEventListener("click", () => zoom(1.5));
  element("narrower").addEventListener("click", () => zoom(1 / 1.5));
  volume.addEventListener("input", setVolume);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const beat = toBeats(timer ? current() : position), step = event.shiftKey ? 4 : 1;
    const moves = { ArrowLeft: beat - step, ArrowRight: beat + step, Home: 0, End: song.end };
    if (event.key === " ") {
      if (event.target.matches("button")) return; // the button handles it
      toggle();
    } else if (event.key in moves) {
      seek(toSeconds(Math.max(moves[event.key], 0)));
    } else return;
    event.preventDefault();
  });
  show();
})();
