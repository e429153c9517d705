// The piano roll of the studio: the shared PianoRoll, with bar numbers, a selection, and notes that can be picked and dragged.
import { PianoRoll, makeSvg } from "./shared/piano_roll.js";
import { el } from "./dom.js";
import { EMPTY, barsOf, hasRegion, nameOf, selectedIndices, selectedParts, songOf, state } from "./state.js";

const CLICK = 4; // pixels: a shorter way is a click
const EDGE = 7; // pixels at the end of a note that change its length
const MOST_OUTLINES = 2000;

export class StudioRoll {
  tool = "select"; // or "draw"
  grid = 0.5; // beats
  pen = null; // code of the instrument that is drawn
  heat = null; // surprise of each note, in nats
  arcs = null; // { note, attends: [[note, share], …] }
  #drag = null;

  /** `act` has seek(beat), selectBeats(from, to), selectNotes(indices), clear(), move(…), resize(…), draw(…), hear(note). */
  constructor(element, act) {
    this.act = act;
    this.ruler = el("div", { class: "ruler", "aria-hidden": "true", title: "Drag here to select bars" });
    this.base = new PianoRoll(element, songOf(EMPTY));
    this.element = this.base.roll;
    this.base.view.setAttribute("tabindex", "-1");
    this.element.addEventListener("pointerdown", (event) => this.#down(event));
    this.element.addEventListener("pointermove", (event) => this.#move(event));
    this.element.addEventListener("pointerup", (event) => this.#up(event));
    this.element.addEventListener("pointercancel", () => this.#cancel());
    this.element.addEventListener("keydown", (event) => { if (event.key === "Escape") this.#cancel(); });
  }

  /** Draw the current piece. */
  load() {
    const { score } = state.piece, song = songOf(score);
    song.beats = Math.max(song.beats, Math.ceil(song.end) + 4);
    song.bars = barsOf(score, song.beats);
    this.song = song;
    this.base.draw(song);
    // The shared roll sorts the notes by onset; the sort is stable, so the same sort of the indices goes along.
    const ids = song.parts.flatMap((part) => part.ids.map((id, place) => [part.notes[4 * place], id]));
    ids.sort((a, b) => a[0] - b[0]);
    this.base.notes.forEach((note, place) => { note.id = ids[place][1]; });
    this.byId = new Map(this.base.notes.map((note) => [note.id, note]));
    this.overlay = makeSvg("svg", { viewBox: this.base.svg.getAttribute("viewBox"), preserveAspectRatio: "none", class: "overlay", "aria-hidden": "true" });
    this.#drawRuler();
    this.element.append(this.overlay, this.ruler);
    this.refresh();
  }

  /** Draw selection, colours and arcs again. */
  refresh() {
    if (!this.overlay) return;
    const { high, bottom } = this.base.edges, height = high - bottom, shapes = [];
    if (this.heat) shapes.push(...this.#heatShapes());
    if (hasRegion()) {
      const { from, to } = state.selection;
      shapes.push(makeSvg("rect", { class: "region", x: from, y: 0, width: Math.max(to - from, 0.02), height }));
    }
    const isPartial = !hasRegion() || selectedParts().length < state.piece.score.parts.length;
    const chosen = isPartial ? selectedIndices().slice(0, MOST_OUTLINES) : [];
    shapes.push(makeSvg("path", { class: "chosen", d: chosen.map((id) => this.#outline(this.byId.get(id))).join("") }));
    if (this.arcs) shapes.push(...this.#arcShapes());
    this.overlay.replaceChildren(...shapes);
    this.element.classList.toggle("drawing", this.tool === "draw");
    this.base.svg.classList.toggle("faded", Boolean(this.heat));
    this.ruler.classList.toggle("active", hasRegion());
  }

  #outline(note) {
    if (!note) return "";
    const { x, y, width, height } = this.base.box(note);
    return `M${x} ${y}h${width}v${height}h${-width}z`;
  }

  #drawRuler() {
    const { beats, bars } = this.song, width = this.element.clientWidth || beats * 26;
    const every = 2 ** Math.max(Math.ceil(Math.log2(28 * bars.length / width)), 0);
    this.ruler.replaceChildren(...bars.flatMap((bar, index) =>
      index % every ? [] : [el("span", { style: { left: `${100 * bar / beats}%` } }, String(index + 1))]));
  }

  zoom(factor) {
    this.base.zoom(factor);
    this.#drawRuler();
  }

  /** Make a beat visible. */
  reveal(beat) {
    const view = this.base.view, x = this.element.clientWidth * beat / this.song.beats, room = view.clientWidth - 56;
    if (x < view.scrollLeft || x > view.scrollLeft + room) view.scrollLeft = Math.max(x - 0.2 * room, 0);
  }

  #heatShapes() {
    const sorted = [...this.heat].sort((a, b) => a - b), bins = [[], [], [], [], []];
    const limits = [0.3, 0.6, 0.8, 0.93].map((share) => sorted[Math.floor(share * (sorted.length - 1))] ?? 0);
    for (const note of this.base.notes) bins[limits.filter((limit) => this.heat[note.id] > limit).length].push(this.#outline(note));
    return bins.map((outlines, index) => makeSvg("path", { class: `heat heat-${index}`, d: outlines.join("") }));
  }

  #arcShapes() {
    const middle = (note) => { const box = this.base.box(note); return [box.x + Math.min(box.width / 2, 0.25), box.y + box.height / 2]; };
    const query = this.byId.get(this.arcs.note);
    if (!query) return [];
    const [toX, toY] = middle(query), strongest = Math.max(...this.arcs.attends.map(([, share]) => share), 1e-9);
    return this.arcs.attends.filter(([id]) => this.byId.has(id)).map(([id, share]) => {
      const [x, y] = middle(this.byId.get(id)), lift = Math.min(Math.abs(toX - x) * 0.5 + 1.5, 9), top = Math.min(y, toY) - lift;
      return makeSvg("path", { class: "arc", d: `M${x} ${y}C${x} ${top} ${toX} ${top} ${toX} ${toY}`, "stroke-width": 0.6 + 4.5 * share / strongest, opacity: 0.25 + 0.7 * share / strongest });
    });
  }

  // ---- mouse and touch ----
  #noteAt(event) {
    const svg = this.base.svg.getBoundingClientRect(), { high, bottom } = this.base.edges;
    const x = (event.clientX - svg.left) / svg.width * this.song.beats, y = (event.clientY - svg.top) / svg.height * (high - bottom);
    const slack = 3 * this.song.beats / svg.width;
    const hits = this.base.notes.filter((note) => {
      const box = this.base.box(note);
      return x >= box.x - slack && x <= box.x + box.width + slack && y >= box.y && y <= box.y + box.height;
    });
    if (!hits.length) return null;
    const chosen = hits.find((note) => state.selection.notes.has(note.id)) ?? hits.at(-1), box = this.base.box(chosen);
    const end = svg.left + (box.x + box.width) / this.song.beats * svg.width;
    return { note: chosen, isEnd: !chosen.drums && end - event.clientX < EDGE && box.width / this.song.beats * svg.width > 2 * EDGE };
  }

  #down(event) {
    if (event.button !== 0) return;
    const isRuler = this.ruler.contains(event.target), beat = this.base.beatAt(event.clientX);
    this.element.focus({ preventScroll: true });
    this.#drag = { kind: "none", x: event.clientX, y: event.clientY, beat, moved: false, additive: event.shiftKey };
    if (isRuler) Object.assign(this.#drag, { kind: "bars" });
    else {
      const hit = this.#noteAt(event);
      if (hit) this.#downOnNote(event, hit);
      else if (this.tool === "draw") {
        const from = Math.floor(beat / this.grid) * this.grid, pitch = Math.round(this.base.pitchAt(event.clientY));
        Object.assign(this.#drag, { kind: "draw", from, to: from + this.grid, pitch: Math.min(Math.max(pitch, 0), 127) });
        this.#ghost([[from, this.#drag.to, this.#drag.pitch]]);
      } else Object.assign(this.#drag, { kind: "beats" });
    }
    // A finger scrolls; it selects on the bar numbers only.
    if (event.pointerType === "touch" && ["beats", "move", "resize"].includes(this.#drag.kind)) this.#drag.kind += " touch";
    else this.element.setPointerCapture(event.pointerId);
  }

  #downOnNote(event, { note, isEnd }) {
    const { notes } = state.selection;
    if (event.shiftKey) {
      const next = new Set(notes);
      if (!next.delete(note.id)) next.add(note.id);
      this.act.selectNotes(next);
      return;
    }
    if (!notes.has(note.id)) this.act.selectNotes([note.id]);
    this.act.hear(note);
    Object.assign(this.#drag, { kind: isEnd ? "resize" : "move", note });
  }

  #move(event) {
    const drag = this.#drag;
    if (!drag) { this.#hover(event); return; }
    if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) >= CLICK) drag.moved = true;
    if (!drag.moved) return;
    const beat = this.base.beatAt(event.clientX);
    if (drag.kind === "bars" || drag.kind === "beats") {
      const [from, to] = drag.kind === "bars" ? this.#barsAround(drag.beat, beat) : [Math.floor(Math.min(drag.beat, beat)), Math.ceil(Math.max(drag.beat, beat))];
      this.act.selectBeats(from, to);
    } else if (drag.kind === "draw") {
      drag.to = Math.max(Math.ceil(beat / this.grid) * this.grid, drag.from + this.grid);
      this.#ghost([[drag.from, drag.to, drag.pitch]]);
    } else if (drag.kind === "move" || drag.kind === "resize") {
      drag.beats = Math.round((beat - drag.beat) / this.grid) * this.grid;
      drag.pitches = drag.kind === "resize" || drag.note.drums ? 0 : Math.round(this.base.pitchAt(event.clientY) - this.base.pitchAt(drag.y));
      const chosen = [...state.selection.notes].map((id) => this.byId.get(id)).filter(Boolean);
      this.#ghost(chosen.map((note) => (drag.kind === "move"
        ? [note.from + drag.beats, note.to + drag.beats, note.pitch + drag.pitches]
        : [note.from, Math.max(note.to + drag.beats, note.from + 1 / this.song.resolution), note.pitch])));
    }
  }

  #hover(event) {
    if (event.pointerType !== "mouse") return;
    const hit = this.ruler.contains(event.target) ? null : this.#noteAt(event);
    this.element.style.cursor = hit ? (hit.isEnd ? "ew-resize" : "grab") : this.tool === "draw" ? "crosshair" : "";
  }

  #up(event) {
    const drag = this.#drag;
    this.#drag = null;
    if (!drag) return;
    if (drag.kind === "bars" && !drag.moved) {
      const [from, to] = this.#barsAround(drag.beat, drag.beat);
      if (event.shiftKey && hasRegion()) this.act.selectBeats(Math.min(from, state.selection.from), Math.max(to, state.selection.to));
      else this.act.selectBeats(from, to);
    } else if (drag.kind.startsWith("beats") && !drag.moved) {
      this.act.clear();
      this.act.seek(drag.beat);
    } else if (drag.kind === "draw") this.act.draw(drag.from, drag.to, drag.pitch);
    else if (drag.kind === "move" && (drag.beats || drag.pitches)) this.act.move(drag.beats ?? 0, drag.pitches ?? 0);
    else if (drag.kind === "resize" && drag.beats) this.act.resize(drag.beats);
    else this.refresh();
  }

  #cancel() {
    if (!this.#drag) return;
    this.#drag = null;
    this.refresh();
  }

  #barsAround(one, other) {
    const bars = [...this.song.bars, this.song.beats], from = Math.min(one, other), to = Math.max(one, other);
    const first = bars.filter((bar) => bar <= from + 1e-6).at(-1) ?? 0, last = bars.find((bar) => bar > to + 1e-6) ?? this.song.beats;
    return [first, last];
  }

  #ghost(notes) {
    const { high } = this.base.edges;
    this.refresh();
    const d = notes.map(([from, to, pitch]) => `M${from} ${high - pitch - 0.43}H${to}v.86H${from}z`).join("");
    this.overlay.append(makeSvg("path", { class: "ghost", d }));
  }
}

/** The text that says what is selected. */
export function selectionText() {
  const { selection, piece } = state;
  if (selection.notes.size) return selection.notes.size === 1 ? "1 note" : `${selection.notes.size} notes`;
  if (!hasRegion()) return "";
  const parts = selectedParts(), all = parts.length === piece.score.parts.length;
  return `${nameOf(piece.score, selection.from, selection.to)}, ${all ? "all parts" : parts.join(", ") || "no part"}`;
}
