// The bars of the selection as two numbers that can be typed.
import { button, el, tell } from "./dom.js";
import { barsOf, clearSelection, hasRegion, lengthOf, round, selectBeats, state } from "./state.js";

/** The fields, as an element, and a function that shows the selection in them; `roll` makes the bars visible. */
export function barFields(roll) {
  const first = el("input", { type: "number", min: 1, "aria-label": "First bar" }), last = el("input", { type: "number", min: 1, "aria-label": "Last bar" });
  const none = button("None", () => clearSelection(), { title: "Select nothing (Escape)" });
  for (const input of [first, last]) {
    // Both wait until the focus has moved, for `draw`.
    input.addEventListener("change", () => setTimeout(() => read(input === last)));
    input.addEventListener("blur", () => setTimeout(() => state.piece && draw()));
    input.addEventListener("click", () => input.select());
  }

  /** The field with the focus is left alone: who clicks from one into the other must find what is typed there. */
  function draw() {
    const { from, to } = state.selection, { score } = state.piece;
    const shown = hasRegion() ? [barAt(score, from), barAt(score, Math.max(to - 0.001, from))] : ["", ""];
    [first, last].forEach((input, index) => { if (document.activeElement !== input) input.value = shown[index]; });
    none.hidden = !hasRegion() && !state.selection.notes.size;
  }

  /** Select the bars; the number that was typed last moves the other one if they cross. */
  function read(isLast) {
    const [one, two] = [first.value, last.value].map(Number);
    const [low, high] = isLast ? [Math.min(one || two, two), two] : [one, Math.max(one, two)];
    const { score } = state.piece, length = lengthOf(score), starts = barsOf(score, Math.max(length, 1));
    if (!(low >= 1) || low > starts.length) {
      if (low > starts.length) tell(`The piece has ${starts.length} bars.`);
      draw();
      return;
    }
    selectBeats(starts[low - 1], [...starts, barsEnd(score, length)][Math.min(high, starts.length)]);
    roll.reveal(starts[low - 1]);
  }

  const element = el("div", { class: "bars" }, el("span", {}, "Bars"), first, el("span", {}, "to"), last,
    button("All", selectAll, { title: "Select everything (Ctrl-A)" }), none);
  return { element, draw };
}

/** Select all bars. */
export function selectAll() {
  const { score } = state.piece;
  selectBeats(0, Math.max(barsEnd(score, lengthOf(score)), 1));
}

/** The number, from 1, of the bar in which a beat is. */
export function barAt(score, beat) {
  return barsOf(score, Math.max(beat, 0) + 0.001).filter((bar) => bar <= beat + 1e-6).length || 1;
}

/** The beat at which the last bar ends. */
function barsEnd(score, length) {
  return barsOf(score, length + 64).find((bar) => bar >= length) ?? round(length);
}
