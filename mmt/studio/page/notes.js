// Changes of notes by hand: transpose, move, resize, draw, delete.
import { tell } from "./dom.js";
import { changeNotes, changed, selectedIndices, state } from "./state.js";

/** Move the selected notes up or down by semitones; drums stay. */
export function transpose(steps) {
  const { score } = state.piece, drums = new Set(score.parts.filter((part) => part.drums).map((part) => part.code));
  const indices = selectedIndices().filter((index) => !drums.has(score.notes[index][3]));
  const rows = indices.map((index) => { const [onset, duration, pitch, code] = score.notes[index]; return [onset, duration, pitch + steps, code]; });
  if (!rows.length) return null;
  if (rows.some((row) => row[2] < 0 || row[2] > 127)) { tell("Some notes would be too low or too high for MIDI."); return null; }
  return withRegion(() => changeNotes("transposed", indices, rows));
}

/** Move the selected notes in time (beats) and pitch. */
export function moveNotes(beats, pitches) {
  const { score } = state.piece, indices = selectedIndices(), steps = Math.round(beats * score.resolution);
  const rows = indices.map((index) => {
    const [onset, duration, pitch, code] = score.notes[index];
    return [Math.max(onset + steps, 0), duration, Math.min(Math.max(pitch + pitches, 0), 127), code];
  });
  return rows.length && changeNotes("notes moved", indices, rows);
}

/** Change the length of the selected notes by beats. */
export function resizeNotes(beats) {
  const { score } = state.piece, indices = selectedIndices(), steps = Math.round(beats * score.resolution);
  const known = state.status.durations;
  const rows = indices.map((index) => {
    const [onset, duration, pitch, code] = score.notes[index], wanted = Math.max(duration + steps, 1);
    // The model knows certain lengths only; the next one in this direction.
    const next = steps > 0 ? known.find((one) => one >= wanted) ?? known.at(-1) : known.findLast((one) => one <= wanted) ?? known[0];
    return [onset, next, pitch, code];
  });
  return rows.length && changeNotes("length changed", indices, rows);
}

/** Add a note. */
export function drawNote(from, to, pitch, code) {
  const { resolution, parts } = state.piece.score;
  if (!parts.length) { tell("There is no instrument yet: write music, or add a part."); return null; }
  const onset = Math.round(from * resolution), duration = Math.max(Math.round((to - from) * resolution), 1);
  return changeNotes("note added", [], [[onset, duration, pitch, code ?? parts[0].code]]);
}

/** Delete what is selected. */
export function removeSelected() {
  const indices = selectedIndices();
  return indices.length && withRegion(() => changeNotes("notes deleted", indices, []));
}

async function withRegion(edit) {
  const { from, to, parts } = state.selection;
  const worked = await edit();
  // Keep a region selected, so that another step can follow.
  if (worked && from !== null) { Object.assign(state.selection, { from, to, parts, notes: new Set() }); changed("selection"); }
  return worked;
}
