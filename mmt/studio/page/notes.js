// Changes of notes by hand: transpose, move, resize, draw, delete.
import { tell } from "./dom.js";
import { changeNotes, changed, selectedIndices, state } from "./state.js";

/** Move the selected notes up or down by semitones; drums stay. */
export function transpose(steps) {
  const { score } = state.piece, drums = new Set(score.parts.filter((part) => part.drums).map((part) => part.code));
  const indices = selectedIndices().filter((index) => !drums.has(score.notes[index][3]));
  const pitches = indices.map((index) => score.notes[index][2] + steps);
  if (pitches.some((pitch) => pitch < 0 || pitch > 127)) { tell("Some notes would be too low or too high for MIDI."); return null; }
  return withRegion(() => editNotes("transposed", (onset, duration, pitch, code) => [onset, duration, pitch + steps, code], indices));
}

/** Change notes, by default the selected ones: `edit` makes a new row of each (onset, duration, pitch, code). */
export function editNotes(what, edit, indices = selectedIndices()) {
  const { notes } = state.piece.score;
  return indices.length && changeNotes(what, indices, indices.map((index) => edit(...notes[index])));
}

/** Move the selected notes in time (beats) and pitch. */
export function moveNotes(beats, pitches) {
  const steps = Math.round(beats * state.piece.score.resolution);
  return editNotes("notes moved", (onset, duration, pitch, code) =>
    [Math.max(onset + steps, 0), duration, Math.min(Math.max(pitch + pitches, 0), 127), code]);
}

/** Change the length of the selected notes by beats. */
export function resizeNotes(beats) {
  const steps = Math.round(beats * state.piece.score.resolution), known = state.status.durations;
  return editNotes("length changed", (onset, duration, pitch, code) => {
    const wanted = Math.max(duration + steps, 1);
    // The model knows certain lengths only; the next one in this direction.
    const next = steps > 0 ? known.find((one) => one >= wanted) ?? known.at(-1) : known.findLast((one) => one <= wanted) ?? known[0];
    return [onset, next, pitch, code];
  });
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
