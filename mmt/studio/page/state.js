// What the page knows: the piece, the selection, the instruments; and changes of the piece through the API.
import * as api from "./api.js";
import { complain, tell } from "./dom.js";

export const state = {
  status: null, // the model (GET status)
  instruments: [], // of the model
  ensembles: [],
  examples: [],
  piece: null, // as the API gives it
  selection: { from: null, to: null, parts: null, notes: new Set() }, // beats; parts: null for all, else names; note indices
  sounds: new Map(), // recordings by the name of the instrument
};

const bus = new EventTarget();

/** Call a function after changes of "piece", "selection" or "ready". */
export function on(what, listener) {
  bus.addEventListener(what, listener);
}

export function changed(what) {
  bus.dispatchEvent(new Event(what));
}

export const instrumentOf = (code) => state.instruments.find((one) => one.code === code);

/** Show another state of the piece. The selected notes are forgotten, since indices change. */
export function setPiece(piece, keepNotes = []) {
  if (state.piece?.id !== piece?.id) clearSelection(false);
  state.piece = piece;
  state.selection.notes = new Set(keepNotes);
  changed("piece");
  changed("selection");
}

/** Change the piece through the API: `path` below the piece's address. Returns whether it worked. */
export async function change(path, body = {}, keepNotes = undefined) {
  const { id } = state.piece;
  try {
    const piece = await api.post(`pieces/${id}/${path}`, body);
    if (state.piece?.id === id) setPiece(piece, keepNotes ? keepNotes(piece) : []);
    return true;
  } catch (error) {
    complain(error);
    if (error.status === 409 || error.status === 0) await reload();
    return false;
  }
}

/** Read the piece again, for example after a change in another tab. */
export async function reload() {
  const id = state.piece?.id;
  if (!id) return;
  try {
    const piece = await api.get(`pieces/${id}`);
    if (state.piece?.id !== id) return;
    const isNew = piece.revision !== state.piece.revision || Boolean(piece.job) !== Boolean(state.piece.job);
    if (isNew) setPiece(piece);
  } catch (error) {
    if (error.status === 404) { location.hash = ""; tell("This piece was deleted."); }
  }
}

/** Change notes: remove indices, add rows of (onset, duration, pitch, code). The added notes are selected afterwards. */
export function changeNotes(what, remove, add) {
  const rows = new Set(add.map(String));
  const find = (piece) => piece.score.notes.flatMap((row, index) => (rows.has(String(row)) ? [index] : []));
  return change("notes", { revision: state.piece.revision, remove, add, what }, find);
}

export const canUndo = () => Boolean(state.piece) && state.piece.current > 0;
export const canRedo = () => Boolean(state.piece) && state.piece.current < state.piece.history.length - 1;
export const undo = () => canUndo() && change("go", { version: state.piece.current - 1 });
export const redo = () => canRedo() && change("go", { version: state.piece.current + 1 });

// ---- selection ----
export function clearSelection(say = true) {
  state.selection = { from: null, to: null, parts: null, notes: new Set() };
  if (say) changed("selection");
}

/** Select beats of all parts that are chosen. */
export function selectBeats(from, to) {
  Object.assign(state.selection, { from: Math.min(from, to), to: Math.max(from, to), notes: new Set() });
  changed("selection");
}

export function selectNotes(indices) {
  Object.assign(state.selection, { from: null, to: null, notes: new Set(indices) });
  changed("selection");
}

export const hasRegion = () => state.selection.from !== null;

/** The names of the selected parts; all parts of the piece if none was chosen. */
export function selectedParts() {
  const names = state.piece.score.parts.map((part) => part.name);
  return state.selection.parts ? names.filter((name) => state.selection.parts.has(name)) : names;
}

/** The indices of the selected notes: those that were clicked, or all that begin in the selected beats and parts. */
export function selectedIndices() {
  const { selection, piece } = state;
  if (!piece) return [];
  if (selection.notes.size) return [...selection.notes];
  if (!hasRegion()) return [];
  const { resolution, notes, parts } = piece.score;
  const chosen = new Set(selectedParts()), codes = new Set(parts.filter((part) => chosen.has(part.name)).map((part) => part.code));
  return notes.flatMap(([onset, , , code], index) => {
    const beat = onset / resolution;
    return beat >= selection.from && beat < selection.to && codes.has(code) ? [index] : [];
  });
}

// ---- music ----
/** A score without notes. */
export const EMPTY = { resolution: 12, notes: [], parts: [], bars: [], tempos: [[0, 0, 0.6]] };

/** The number of beats of notes: the end of the last beat in which one begins. */
export function lengthOf(score) {
  const last = score.notes.reduce((most, [onset]) => Math.max(most, onset), -1);
  return last < 0 ? 0 : Math.floor(last / score.resolution) + 1;
}

/** The beats at which bars begin, up to a beat; every four beats where the piece has no time signature. */
export function barsOf(score, beats) {
  const signatures = score.bars.length && score.bars[0][0] === 0 ? score.bars : [[0, 4], ...score.bars], bars = [];
  signatures.forEach(([start, length], index) => {
    const stop = Math.min(signatures[index + 1]?.[0] ?? Infinity, beats);
    for (let beat = start; beat < stop - 1e-6 && bars.length < 20000; beat += Math.max(length, 0.25)) bars.push(beat);
  });
  return bars;
}

/** A song for the piano roll and the player (shared/song.js); from `from` beats on, if not the whole. */
export function songOf(score, { notes = score.notes, from = 0, to = Infinity, least = 16 } = {}) {
  const step = score.resolution, first = from * step, last = to * step;
  const kept = notes.map((row, index) => [...row, index]).filter(([onset]) => onset >= first && onset < last);
  const codes = new Set([...score.parts.map((part) => part.code), ...kept.map((row) => row[3])]);
  const parts = state.instruments.filter((one) => codes.has(one.code)).map((one) => ({ ...one, notes: [], ids: [] }));
  const byCode = new Map(parts.map((part) => [part.code, part]));
  let end = 0, busiest = 1;
  const moments = new Map();
  for (const [onset, duration, pitch, code, index] of kept) {
    const part = byCode.get(code);
    if (!part) continue;
    part.notes.push(onset - first, duration, pitch, 90);
    part.ids.push(index);
    end = Math.max(end, (onset - first + duration) / step);
    moments.set(onset, (moments.get(onset) ?? 0) + 1);
    busiest = Math.max(busiest, moments.get(onset));
  }
  for (const part of parts) part.recordings = state.sounds.get(part.name)?.recordings ?? [];
  const beats = Math.max(Math.ceil(end), least), bars = barsOf(score, beats + from);
  return {
    resolution: step, parts, beats, end, prompt: 0, rate: 22050, level: 0.7 / Math.sqrt(busiest + 3) / (90 / 127) ** 2,
    bars: bars.filter((bar) => bar >= from).map((bar) => bar - from),
    firstBar: bars.filter((bar) => bar < from).length,
    tempos: tempoFrom(score.tempos, from),
  };
}

function tempoFrom(tempos, from) {
  const before = tempos.filter(([beat]) => beat <= from).at(-1) ?? tempos[0];
  const start = before[1] + (from - before[0]) * before[2];
  return [[0, 0, before[2]], ...tempos.filter(([beat]) => beat > from).map(([beat, second, rate]) => [beat - from, second - start, rate])];
}

/** "bars 5 to 8" for beats. */
export function nameOf(score, from, to) {
  const bars = barsOf(score, Math.max(to, 1));
  const first = bars.filter((bar) => bar <= from).length, last = bars.filter((bar) => bar < to).length;
  const isWhole = bars[first - 1] === from && (bars.includes(to) || barsOf(score, to + 0.001).includes(to));
  const text = first === last ? `bar ${first}` : `bars ${first} to ${last}`;
  return isWhole ? text : `${text} (${to - from > 1 ? `beats ${round(from) + 1} to` : "beat"} ${round(to)})`;
}

export const round = (value) => Math.round(value * 100) / 100;

/** Load the recordings of instruments that are not loaded yet; listeners of "sounds" are called after each. */
export async function loadSounds(names) {
  const wanted = names.filter((name) => !state.sounds.has(name));
  for (const name of wanted) state.sounds.set(name, { recordings: [], isLoading: true });
  if (wanted.length) changed("sounds");
  for (const name of wanted) {
    try {
      state.sounds.set(name, await api.get(`sounds/${encodeURIComponent(name)}`));
    } catch (error) {
      state.sounds.delete(name);
    }
    changed("sounds");
  }
}
