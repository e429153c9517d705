// The page: reads what the server has, opens a piece by the address, and hears keys and dropped files.
import * as api from "./api.js";
import { addActions } from "./actions.js";
import { selectAll } from "./bars.js";
import { isChoosing, leave, playNumber, resume } from "./choose.js";
import { complain, tell } from "./dom.js";
import { drawNote, moveNotes, removeSelected, resizeNotes, transpose } from "./notes.js";
import { addDownloads, addHistory, addInside, addOriginality } from "./panels.js";
import { StudioRoll } from "./roll.js";
import { openFile, showStart } from "./start.js";
import { canRedo, canUndo, change, changed, clearSelection, hasRegion, on, redo, reload, selectBeats, selectNotes, setPiece, state, undo } from "./state.js";
import { addParts, addTransport, hearNote, loadPiece, player, toggleHeard } from "./transport.js";

const at = (id) => document.getElementById(id);

const roll = new StudioRoll(at("roll"), {
  seek: (beat) => player.seekBeat(beat),
  selectBeats, selectNotes,
  clear: () => clearSelection(),
  move: moveNotes,
  resize: resizeNotes,
  draw: (from, to, pitch) => drawNote(from, to, pitch, roll.pen),
  hear: hearNote,
});
const transport = addTransport(at("transport"), roll);
addParts(at("parts"), roll);
addActions(at("actions"), roll);
addHistory(at("history"));
addInside(at("inside"), roll);
addOriginality(at("originality"));
addDownloads(at("downloads"));

on("piece", () => {
  const { piece } = state;
  if (!piece) return;
  drawPiece();
  const title = at("title");
  if (document.activeElement !== title) title.value = piece.title;
  document.title = `${piece.title} – mmt studio`;
  at("undo").disabled = !canUndo();
  at("redo").disabled = !canRedo();
  document.body.classList.toggle("empty", !piece.score.notes.length);
  at("report").hidden = !piece.report;
  at("report-text").textContent = piece.report;
});

/** Roll and player have one song, into which the sounds are put when they come. */
function drawPiece() {
  roll.load();
  loadPiece(roll.song);
}

on("selection", () => roll.refresh());
on("choosing", () => { if (!isChoosing() && roll.song) loadPiece(roll.song); });
on("sounds", () => {
  for (const part of roll.song?.parts ?? []) part.recordings = state.sounds.get(part.name)?.recordings ?? [];
});

at("undo").addEventListener("click", undo);
at("redo").addEventListener("click", redo);
at("title").addEventListener("change", () => {
  const title = at("title").value.trim();
  if (title) change("details", { revision: state.piece.revision, title });
  else at("title").value = state.piece.title;
});
at("close-report").addEventListener("click", () => { at("report").hidden = true; });

// ---- which page ----
async function route() {
  const id = location.hash.slice(1);
  if (!id) {
    leave();
    if (player.playing) player.pause();
    setPiece(null);
    document.title = "mmt studio";
    document.body.dataset.view = "start";
    await showStart(at("start"));
    return;
  }
  try {
    if (state.piece?.id !== id) { leave(); setPiece(await api.get(`pieces/${id}`)); }
    document.body.dataset.view = "piece";
    drawPiece();
    resume();
  } catch (error) {
    complain(error.status === 404 ? new Error("There is no such piece; it may have been deleted.") : error);
    location.hash = "";
  }
}

async function begin() {
  const [status, instruments] = await Promise.all([api.get("status"), api.get("instruments")]);
  Object.assign(state, { status, ...instruments });
  changed("ready");
  window.addEventListener("hashchange", route);
  if (!location.hash && status.first && !sessionStorage.getItem("opened")) {
    sessionStorage.setItem("opened", status.first);
    location.replace(`#${status.first}`);
  } else await route();
  document.body.classList.add("ready");
  waitForModel();
}

async function waitForModel() {
  for (;;) {
    const { ready, trouble } = state.status;
    at("model").textContent = trouble || (ready ? "" : "The model is being prepared (ten to twenty seconds the first time) …");
    if (ready || trouble) return;
    await new Promise((done) => setTimeout(done, 1000));
    try { state.status = await api.get("status"); } catch { /* the banner tells */ }
  }
}

api.onConnection((isLost) => {
  at("lost").hidden = !isLost;
  if (!isLost) { tell("mmt-studio answers again."); reload().then(resume); }
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !isChoosing()) reload().then(() => state.piece && resume()); });

// ---- files ----
let depth = 0;
const hasFile = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragenter", (event) => { if (hasFile(event)) { depth += 1; document.body.classList.add("dropping"); } });
document.addEventListener("dragleave", (event) => { if (hasFile(event) && --depth <= 0) endDrop(); });
document.addEventListener("dragover", (event) => { if (hasFile(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  if (!hasFile(event)) return;
  event.preventDefault();
  endDrop();
  const [file] = event.dataTransfer.files;
  if (file) openFile(file);
});

function endDrop() {
  depth = 0;
  document.body.classList.remove("dropping");
}

// ---- keys ----
const TYPING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), select, textarea";

document.addEventListener("keydown", (event) => {
  if (!state.piece || document.querySelector("dialog[open]")) return;
  const { target, key } = event, isTyping = target.matches(TYPING);
  if ((event.ctrlKey || event.metaKey) && !event.altKey) {
    if (isTyping && target.matches("[type=text], [type=search], textarea")) return;
    const command = { z: () => (event.shiftKey ? redo() : undo()), y: redo, a: selectAll }[key.toLowerCase()];
    if (command) { event.preventDefault(); command(); }
    return;
  }
  if (isTyping || event.metaKey) return;
  if (target.matches("[type=range]") && key.startsWith("Arrow")) return;
  if (press(event)) event.preventDefault();
});

/** What a key does; returns whether it did something. */
function press(event) {
  const { key, target, shiftKey, altKey } = event, hasNotes = state.selection.notes.size > 0;
  if (key === " ") {
    if (target.matches("button, summary, a, [type=checkbox], [type=radio]")) return false; // they take it themselves
    toggleHeard(roll);
  } else if (/^[1-8]$/.test(key) && isChoosing()) return playNumber(Number(key));
  else if (key === "Delete" || key === "Backspace") removeSelected();
  else if (key === "Escape") clearSelection();
  else if (key === "d" || key === "v") transport.setTool(key === "d" ? "draw" : "select");
  else if (key === "l") transport.toggleLoop();
  else if (key === "Home" || key === "End") player.seekBeat(key === "Home" ? 0 : roll.song.end);
  else if (key === "," || key === ".") stepNote(key === "." ? 1 : -1);
  else if (key === "n") insertAtCursor();
  else if (key === "ArrowUp" || key === "ArrowDown") {
    if (!hasNotes && !hasRegion()) return false;
    transpose((key === "ArrowUp" ? 1 : -1) * (shiftKey ? 12 : 1));
  } else if (key === "ArrowLeft" || key === "ArrowRight") {
    const sign = key === "ArrowRight" ? 1 : -1;
    if (altKey && hasNotes) (shiftKey ? resizeNotes : (beats) => moveNotes(beats, 0))(sign * roll.grid);
    else if (altKey) return false;
    else if (shiftKey) extendSelection(sign);
    else { player.seekBeat(Math.round(player.beat) + sign); roll.reveal(player.beat); }
  } else return false;
  return true;
}

/** Select the next or previous note. */
function stepNote(sign) {
  const order = roll.base.notes, [current] = state.selection.notes;
  const place = order.findIndex((note) => note.id === current);
  const start = order.findIndex((note) => note.from >= player.beat - 1e-6);
  const next = order[place < 0 ? Math.max(start, 0) : Math.min(Math.max(place + sign, 0), order.length - 1)];
  if (!next) return;
  selectNotes([next.id]);
  hearNote(next);
  roll.reveal(next.from);
}

/** Add a note at the cursor: a third above the selected one, or in the middle of the roll. */
function insertAtCursor() {
  const { notes } = state.piece.score, [current] = state.selection.notes, like = notes[current];
  const from = Math.round(player.beat / roll.grid) * roll.grid;
  drawNote(from, from + roll.grid, like ? like[2] : 60, like ? like[3] : roll.pen);
}

let anchor = 0;
function extendSelection(sign) {
  const { from, to } = state.selection;
  if (!hasRegion()) { anchor = Math.floor(player.beat); selectBeats(anchor, anchor + 1); return; }
  if (anchor <= from + 1e-6) selectBeats(from, Math.max(to + sign, from + 1));
  else selectBeats(Math.max(from + sign, 0), to);
  roll.reveal(sign > 0 ? state.selection.to : state.selection.from);
}

begin().catch(complain);
