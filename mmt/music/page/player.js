// The player: a song (song.js) to sound, through Web Audio. It knows nothing of the display.
// Times are in seconds of the music, or in seconds of the audio clock, which runs while the page is open.
import { notesOf, toBeats, toSeconds } from "./song.js";

const AHEAD = 0.4, AHEAD_WHEN_HIDDEN = 2.5; // seconds by which notes are scheduled in advance
const RELEASE = 0.07; // time constant of the release in seconds

/** Plays a song. Sends the event "change" after each start, stop and jump, and when the song or a volume changes. */
export class Player extends EventTarget {
  playing = false;
  loop = null; // [from, to] in beats: a section that is repeated
  #position = 0; // where it stands, in seconds of the music
  #from = 0; // where playing began, and the time of the clock then
  #fromClock = 0;
  #next = 0; // index of the next note to schedule
  #timer = 0;
  #usesAudioClock = false;
  #audio = null;
  #master = null;
  #gains = [];
  #levels = [];
  #buffers = new Map(); // of recordings
  #sources = new Set();
  #volume = 1;

  constructor(song) {
    super();
    this.load(song);
  }

  /** Take another song, or another version of it; playing goes on from the same second. */
  load(song) {
    const isPlaying = Boolean(this.#timer);
    if (isPlaying) this.#position = this.second;
    this.song = song;
    this.notes = notesOf(song);
    this.end = toSeconds(song, song.end);
    this.#levels = song.parts.map((_, index) => this.#levels[index] ?? 1);
    if (this.#audio) this.#connectParts();
    if (isPlaying) this.#begin(Math.min(this.#position, this.end));
    this.#changed();
  }

  /** Take a longer version of the song, which has more notes at its end, without a break in the sound. */
  extend(song) {
    if (!this.#timer) return this.load(song);
    this.song = song;
    this.notes = notesOf(song);
    this.end = toSeconds(song, song.end);
    this.#levels = song.parts.map((_, index) => this.#levels[index] ?? 1);
    if (this.#audio) this.#connectParts();
  }

  /** Where it stands, in seconds of the music. */
  get second() {
    if (!this.#timer) return this.#position;
    return Math.min(Math.max(this.#from + this.#now() - this.#fromClock, this.#from), this.end);
  }

  /** Where it stands, in beats. */
  get beat() {
    return toBeats(this.song, this.second);
  }

  /** The volume of everything, 1 for normal. */
  get volume() {
    return this.#volume;
  }

  set volume(value) {
    this.#volume = value;
    this.#master?.gain.setTargetAtTime(value ** 2, this.#audio.currentTime, 0.02);
  }

  /** The volume of a part, by its index: 0 for silence, 1 for normal. */
  level(part) {
    return this.#levels[part];
  }

  setLevel(part, level) {
    this.#levels[part] = level;
    this.#gains[part]?.gain.setTargetAtTime(level, this.#audio.currentTime, 0.01);
    this.#changed();
  }

  async play() {
    if (this.#position >= this.end) this.#position = 0;
    this.playing = true;
    this.#changed();
    await this.#openAudio();
    if (!this.playing || this.#timer) return;
    this.#timer = setInterval(() => this.#feed(), 100);
    this.#begin(this.#position);
  }

  pause() {
    this.#position = Math.min(this.second, this.end);
    this.playing = false;
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#silence();
    this.#changed();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  /** Sound one of the notes alone, for a second at most; not while the song plays. */
  async hear(note) {
    await this.#openAudio();
    if (this.playing || !this.#hasSound()) return;
    this.#silence();
    this.#sound({ ...note, stop: Math.min(note.stop, note.start + 1) }, note.start, this.#audio.currentTime);
  }

  /** Go to a second of the music. */
  seek(second) {
    this.#position = Math.min(Math.max(second, 0), this.end);
    if (this.#timer) this.#begin(this.#position);
    this.#changed();
  }

  /** Go to a beat. */
  seekBeat(beat) {
    this.seek(toSeconds(this.song, Math.max(beat, 0)));
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #hasSound() {
    return Boolean(this.#audio && this.#audio.state === "running");
  }

  #now() {
    return this.#usesAudioClock ? this.#audio.currentTime : performance.now() / 1000;
  }

  #begin(second) {
    // (Re)starts the clock, and the notes that sound now.
    this.#silence();
    this.#usesAudioClock = this.#hasSound();
    this.#from = second;
    this.#fromClock = this.#now() + 0.05;
    const next = this.notes.findIndex((note) => note.start >= second);
    this.#next = next < 0 ? this.notes.length : next;
    if (this.#usesAudioClock)
      for (const note of this.notes.slice(0, this.#next)) if (note.stop > second) this.#sound(note, second, this.#fromClock);
    this.#feed();
  }

  #feed() {
    // Audio may start, or be refused, only after the start of playing.
    if (this.#usesAudioClock !== this.#hasSound()) return this.#begin(this.#position);
    const position = this.#position = this.second;
    const [loopStart, loopEnd] = (this.loop ?? [0, Infinity]).map((beat) => toSeconds(this.song, beat));
    const until = Math.min(position + (document.hidden ? AHEAD_WHEN_HIDDEN : AHEAD), loopEnd);
    for (; this.#next < this.notes.length && this.notes[this.#next].start < until; this.#next++) {
      const note = this.notes[this.#next];
      if (this.#usesAudioClock) this.#sound(note, note.start, this.#fromClock + note.start - this.#from);
    }
    if (position >= Math.min(loopEnd, this.end)) {
      if (this.loop && loopStart < Math.min(loopEnd, this.end)) this.#begin(loopStart);
      else this.pause();
    }
  }

  #sound(note, second, at) {
    // Schedules a note from a second of the music on, at a time of the audio clock.
    const recording = nearest(this.song.parts[note.part].recordings ?? [], note);
    if (!recording) return;
    const audio = this.#audio, source = audio.createBufferSource(), envelope = audio.createGain();
    source.buffer = this.#buffer(recording);
    const speed = note.drums ? 1 : 2 ** ((note.pitch - recording.pitch) / 12);
    source.playbackRate.value = speed;
    const level = this.song.level * (note.velocity / 127) ** 2, begun = Math.max(second - note.start, 0);
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
    const release = audio.createGain(), stops = at + Math.max(note.stop - note.start - begun, note.drums ? 1 : 0.03);
    release.gain.setValueAtTime(1, stops);
    release.gain.setTargetAtTime(0, stops, RELEASE);
    source.connect(envelope).connect(release).connect(this.#gains[note.part]);
    source.start(at, offset);
    source.stop(stops + 6 * RELEASE);
    this.#sources.add(source);
    source.onended = () => this.#sources.delete(source);
  }

  #silence() {
    for (const source of this.#sources) { source.onended = null; source.stop(); source.disconnect(); }
    this.#sources.clear();
  }

  async #openAudio() {
    if (!this.#audio && window.AudioContext) this.#makeAudio();
    // Never resolves if the browser refuses sound; the cursor moves nevertheless.
    if (this.#audio && this.#audio.state !== "running")
      await Promise.race([this.#audio.resume(), new Promise((done) => setTimeout(done, 300))]);
  }

  #makeAudio() {
    const audio = this.#audio = new AudioContext();
    this.#master = audio.createGain();
    const limiter = audio.createDynamicsCompressor(), hall = audio.createConvolver(), wet = audio.createGain();
    limiter.threshold.value = -6;
    limiter.ratio.value = 20;
    limiter.attack.value = 0.002;
    hall.buffer = hallResponse(audio);
    wet.gain.value = 0.22;
    this.#master.connect(limiter).connect(audio.destination);
    this.#master.connect(hall).connect(wet).connect(limiter);
    this.volume = this.#volume;
    this.#connectParts();
  }

  #connectParts() {
    while (this.#gains.length < this.song.parts.length) {
      const gain = this.#audio.createGain();
      gain.gain.value = this.#levels[this.#gains.length];
      gain.connect(this.#master);
      this.#gains.push(gain);
    }
  }

  #buffer(recording) {
    if (!this.#buffers.has(recording.data)) {
      const samples = decode(recording.data);
      const buffer = this.#audio.createBuffer(1, Math.max(samples.length, 1), this.song.rate);
      buffer.getChannelData(0).set(samples);
      this.#buffers.set(recording.data, buffer);
    }
    return this.#buffers.get(recording.data);
  }
}

/** The recording whose pitch is nearest to the note's; a drum has one of its own. */
function nearest(recordings, note) {
  let best = null;
  for (const recording of recordings) {
    const distance = Math.abs(recording.pitch - note.pitch);
    if (note.drums ? distance === 0 : !best || distance < Math.abs(best.pitch - note.pitch)) best = recording;
  }
  return best;
}

/** The samples of a recording: base64 of ITU-T G.711 mu-law (sign, exponent, mantissa). */
function decode(text) {
  const bytes = atob(text), samples = new Float32Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const code = ~bytes.charCodeAt(i), size = ((2 * (code & 15) + 33) << (code >> 4 & 7)) - 33;
    samples[i] = (code & 128 ? -size : size) * 4 / 32767;
  }
  return samples;
}

/** The impulse response of a small hall: noise that fades by 60 dB in 1.1 seconds. */
function hallResponse(audio) {
  const length = Math.floor(1.2 * audio.sampleRate), buffer = audio.createBuffer(2, length, audio.sampleRate);
  for (let channel = 0; channel < 2; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = Math.floor(0.012 * audio.sampleRate); i < length; i++)
      samples[i] = (Math.random() * 2 - 1) * Math.exp(-6.3 * i / audio.sampleRate);
  }
  return buffer;
}
