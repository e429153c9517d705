// The piano roll of a song (song.js), as SVG. x is in beats, y in semitones below the upper edge.
import { notesOf } from "./song.js";

const PIXELS_PER_BEAT = 26, MOST_PIXELS = 1e6, MOST_PIXELS_PER_BEAT = 160;
const MOST_LINES = 3000;
const GAP = 0.04; // beats between notes that follow each other on one pitch
const HEIGHT = 0.86; // of a note, in semitones
const BLACK = [1, 3, 6, 8, 10];
const SVG = "http://www.w3.org/2000/svg";

/** A piano roll with a keyboard, beat numbers and a cursor, in an element. */
export class PianoRoll {
  #parts = [];

  constructor(element, song) {
    this.view = make("div", { class: "view" });
    this.keys = make("div", { class: "keys", "aria-hidden": "true" });
    this.roll = make("div", { class: "roll", role: "slider", tabindex: "0", "aria-label": "Position in the piano roll" });
    this.view.append(this.keys, this.roll);
    element.append(this.view);
    this.draw(song);
  }

  /** Draw a song, or another version of it. */
  draw(song) {
    this.song = song;
    this.notes = notesOf(song);
    const edges = this.edges = findEdges(this.notes), { high, bottom } = edges;
    const height = high - bottom;
    const frame = { viewBox: `0 0 ${song.beats} ${height}`, preserveAspectRatio: "none" };
    this.svg = makeSvg("svg", { ...frame, role: "img", "aria-label": "Piano roll" });
    this.svg.append(...background(song, edges));
    this.#parts = song.parts.map((part, index) => {
      const path = makeSvg("path", { class: "part", "data-part": index, fill: part.color });
      path.append(makeSvg("title", {}, part.name));
      return path;
    });
    const lanes = lanesOf(this.notes);
    const boxes = song.parts.map(() => []);
    for (const note of this.notes) boxes[note.part].push(pathOf(boxOf(note, edges, lanes)));
    this.#parts.forEach((path, index) => path.setAttribute("d", boxes[index].join("")));
    this.sounding = makeSvg("path", { class: "sounding" });
    this.svg.append(...this.#parts, this.sounding);
    this.cursor = make("div", { class: "cursor" });
    this.roll.setAttribute("aria-valuemin", 0);
    this.roll.setAttribute("aria-valuemax", song.beats);
    const width = this.width ?? Math.floor(Math.min(song.beats * PIXELS_PER_BEAT, MOST_PIXELS));
    this.roll.style.width = `${width}px`;
    this.roll.replaceChildren(this.svg, this.cursor, ...labels(song, width));
    this.keys.replaceChildren(...keyboard(edges));
  }

  /** Where a note is drawn: { x, y, width, height } in the SVG's units. */
  box(note) {
    return boxOf(note, this.edges, new Map());
  }

  /** Move the cursor to a beat, and mark notes as sounding. */
  show(beat, sounding = [], text = `beat ${Math.floor(beat + 0.001)}`) {
    this.cursor.style.left = `${100 * Math.min(beat / this.song.beats, 1)}%`;
    this.sounding.setAttribute("d", sounding.filter((note) => !note.drums).map((note) =>
      `M${note.from} ${this.edges.high - note.pitch - HEIGHT / 2}H${note.to}v${HEIGHT}H${note.from}z`).join(""));
    this.roll.setAttribute("aria-valuenow", beat.toFixed(2));
    this.roll.setAttribute("aria-valuetext", text);
  }

  /** Draw a part strongly if it is heard, else faintly. */
  setHeard(part, isHeard) {
    this.#parts[part].classList.toggle("silent", !isHeard);
  }

  /** Scroll by a page if a beat is near the edge. */
  follow(beat) {
    const room = this.#room(), x = this.roll.clientWidth * Math.min(beat / this.song.beats, 1) - this.view.scrollLeft;
    if (x > 0.92 * room || x < 0) this.view.scrollLeft += x - 0.08 * room;
  }

  /** Make the roll wider by a factor; the middle of the view stays. */
  zoom(factor) {
    const room = this.#room(), middle = (this.view.scrollLeft + room / 2) / this.roll.clientWidth;
    const most = Math.min(this.song.beats * MOST_PIXELS_PER_BEAT, 4 * MOST_PIXELS);
    this.width = Math.max(Math.min(this.roll.clientWidth * factor, most), room);
    this.roll.style.width = `${this.width}px`;
    this.view.scrollLeft = middle * this.roll.clientWidth - room / 2;
  }

  /** The beat at a place of the window. */
  beatAt(clientX) {
    const box = this.roll.getBoundingClientRect();
    return Math.min(Math.max((clientX - box.left) / box.width, 0), 1) * this.song.beats;
  }

  /** The pitch (a fraction) at a place of the window. */
  pitchAt(clientY) {
    const box = this.svg.getBoundingClientRect(), { high, bottom } = this.edges;
    return high - (clientY - box.top) / box.height * (high - bottom);
  }

  #room() {
    return this.view.clientWidth - this.keys.offsetWidth;
  }
}

/** Create an element with attributes; `style` is an object. */
export function make(tag, attributes = {}, text = "") {
  return fill(document.createElement(tag), attributes, text);
}

/** Create an SVG element with attributes. */
export function makeSvg(tag, attributes = {}, text = "") {
  return fill(document.createElementNS(SVG, tag), attributes, text);
}

function fill(element, { style = {}, ...attributes }, text) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  // Not as an attribute, which a strict Content-Security-Policy forbids.
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, value);
  if (text) element.textContent = text;
  return element;
}

/** The pitches at the edges: at least two octaves, with a margin; drums have a band below, with a row for each. */
function findEdges(notes) {
  const pitches = notes.filter((note) => !note.drums).map((note) => note.pitch);
  const drums = [...new Set(notes.filter((note) => note.drums).map((note) => note.pitch))].sort((a, b) => a - b);
  let low = 47.5, high = 72.5;
  if (pitches.length) {
    const [least, most] = pitches.reduce(([a, b], pitch) => [Math.min(a, pitch), Math.max(b, pitch)], [Infinity, 0]);
    const missing = Math.max(20 - (most - least), 0);
    low = least - 2.5 - Math.floor(missing / 2);
    high = most + 2.5 + Math.ceil(missing / 2);
  }
  return { low, high, drums, bottom: low - (drums.length ? 3 + Math.min(drums.length, 12) : 0) };
}

/** For each beat and pitch where several parts begin together, these parts: they share the row. */
function lanesOf(notes) {
  const lanes = new Map();
  for (const note of notes) {
    if (note.drums) continue;
    const key = `${note.from} ${note.pitch}`, parts = lanes.get(key);
    if (!parts) lanes.set(key, [note.part]);
    else if (!parts.includes(note.part)) parts.push(note.part);
  }
  return lanes;
}

function boxOf(note, { low, high, bottom, drums }, lanes) {
  if (note.drums) {
    // Drum hits are ticks, since the duration of a drum note has no meaning.
    const row = (low - 1.5 - bottom) / drums.length, middle = bottom + (drums.indexOf(note.pitch) + 0.5) * row;
    return { x: note.from, y: high - middle - 0.38 * row, width: 0.08, height: 0.76 * row };
  }
  const sharing = lanes.get(`${note.from} ${note.pitch}`) ?? [note.part], height = HEIGHT / sharing.length;
  const duration = note.to - note.from, width = Math.max(duration - GAP, Math.min(Math.max(duration / 2, 0.025), 0.05));
  const lane = sharing.filter((part) => part < note.part).length;
  return { x: note.from, y: high - note.pitch - HEIGHT / 2 + lane * height, width, height };
}

function pathOf({ x, y, width, height }) {
  const [left, top, right, down] = [x, y, width, height].map((value) => Math.round(value * 1000) / 1000);
  return `M${left} ${top}h${right}v${down}h${-right}z`;
}

/** Rows of black keys, the drum band, the prompt, and the lines of beats, bars and octaves. */
function background({ beats, bars, prompt }, { low, high, bottom, drums }) {
  const tall = high - bottom, pitches = range(Math.ceil(low), high);
  const path = (d, attributes) => makeSvg("path", { ...attributes, d });
  const rows = pitches.filter(isBlack).map((pitch) => `M0 ${high - pitch - 0.5}h${beats}v1H0z`).join("");
  const octaves = pitches.filter((pitch) => pitch % 12 === 0).map((pitch) => `M0 ${high - pitch + 0.5}h${beats}`).join("");
  const thin = range(1, Math.min(beats, MOST_LINES)).map((beat) => `M${beat} 0V${high - low}`).join("");
  const thick = bars.map((bar) => `M${bar} 0V${tall}`).join("");
  const found = [path(rows, { fill: "#f6f6f8" })];
  if (drums.length) found.push(path(`M0 ${high - low + 1.5}h${beats}V${tall}H0z`, { fill: "#f1f1f4" }));
  if (prompt) found.push(path(`M0 0h${prompt}v${tall}H0z`, { class: "prompt" }));
  found.push(path(thin, { stroke: "#ececf1" }), path(thick + octaves, { stroke: "#d0d0d9" }));
  if (prompt) found.push(path(`M${prompt} 0v${tall}`, { class: "seam", fill: "none" }));
  return found;
}

/** The beat numbers below the bars, and the labels of prompt and continuation above. */
function labels({ beats, bars, prompt }, width) {
  const apart = width / beats * (bars.length > 1 ? bars[1] - bars[0] : beats);
  const step = 2 ** Math.max(Math.ceil(Math.log2(60 / apart)), 0);
  const place = (kind, beat, text) => make("span", { class: kind, style: { left: `${100 * beat / beats}%` } }, text);
  const found = bars.filter((_, index) => index % step === 0).map((bar) => place("label", bar, String(Math.round(bar * 1000) / 1000)));
  if (!prompt) return found;
  // If the prompt is too narrow for its label, both labels are to the right of its end.
  const isShort = prompt / beats * width < 70;
  if (!isShort) found.push(place("mark before", prompt, "← prompt"));
  found.push(place("mark after", prompt, `${isShort ? "← prompt, " : ""}continuation →`));
  return found;
}

/** The keyboard to the left of the roll, with the names of the Cs. */
function keyboard({ low, high, bottom, drums }) {
  const tall = high - bottom, pitches = range(Math.ceil(low), Math.floor(high) + 1);
  const svg = makeSvg("svg", { viewBox: `0 0 56 ${tall}`, preserveAspectRatio: "none" });
  // Borders of white keys: in the middle of a black key, or where two white keys touch.
  const borders = pitches.filter((p) => isBlack(p) || p % 12 === 0 || p % 12 === 5)
    .map((p) => `M0 ${high - (isBlack(p) ? p : p - 0.5)}h56`).join("");
  const black = pitches.filter(isBlack).map((pitch) => `M0 ${high - pitch - 0.5}h34v1H0z`).join("");
  svg.append(makeSvg("path", { fill: "none", stroke: "#c9c9d2", "vector-effect": "non-scaling-stroke", d: borders }));
  svg.append(makeSvg("path", { fill: "#44444e", d: black }));
  const name = (kind, y, text) => make("span", { class: kind, style: { top: `${100 * y / tall}%` } }, text);
  const names = pitches.filter((pitch) => pitch % 12 === 0).map((p) => name("", high - p, `C${p / 12 - 1}`));
  if (drums.length) names.push(name("band", tall - (low - 1.5 - bottom) / 2, "drums"));
  return [svg, ...names];
}

const isBlack = (pitch) => BLACK.includes(pitch % 12);

const range = (from, to) => Array.from({ length: Math.max(Math.ceil(to - from), 0) }, (_, index) => from + index);
