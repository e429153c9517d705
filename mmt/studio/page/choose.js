// Alternatives side by side: they appear while they are written, each can be played, one is kept.
import * as api from "./api.js";
import { button, complain, el, icon, show } from "./dom.js";
import { PianoRoll, makeSvg } from "./shared/piano_roll.js";
import { change, changed, loadSounds, nameOf, on, reload, songOf, state } from "./state.js";
import { grow, playsOther, toggleOther } from "./transport.js";

const AROUND = 4; // beats that are shown before and after what was written
const REDRAW = 120; // milliseconds between two drawings of a card
const TITLES = { Write: "New music", Compose: "New music", Continue: "Continuation", Rewrite: "Rewritten", AddPart: "New part", Give: "Other instruments" };

let current = null; // { piece, job, about, cards: Map, isOver }
let unfollow = () => {};

/** Ask for alternatives: `path` is an operation on the piece ("write", "rewrite", …). */
export async function begin(path, body) {
  try {
    const job = await api.post(`pieces/${state.piece.id}/${path}`, body);
    followJob(job);
    return true;
  } catch (error) { complain(error); }
  return false;
}

export const isChoosing = () => Boolean(current);

/** Show the alternatives of the piece that was opened: those on disk, or those that are being written. */
export function resume() {
  const { piece } = state;
  if (current?.piece === piece?.id) return;
  leave();
  if (piece?.job) followJob(piece.job);
  else if (piece?.alternatives.length) {
    start(piece.alternatives[0].made, null);
    for (const one of piece.alternatives) addCard(one.number, one.made.seed, { notes: one.notes, isDone: true });
    finish();
  }
}

function followJob(job) {
  leave();
  start(job, job.id);
  unfollow = api.follow(job.id, (message) => hear(job, message));
}

function start(about, job) {
  const score = state.piece.score;
  current = { piece: state.piece.id, job, about, score, cards: new Map(), isOver: false };
  const { settings } = about, section = document.getElementById("choose");
  const where = settings.form ? ` in the form ${settings.form}` : "from_beat" in settings && settings.to_beat ? `, ${nameOf(score, settings.from_beat, settings.to_beat)}` : "";
  current.list = el("ol", { class: "cards" });
  current.stop = button([icon("stop"), "Stop"], stop, { class: "with-icon" });
  current.note = el("p", { class: "hint", role: "status" }, "Waiting for the model …");
  show(section,
    el("div", { class: "choose-head" }, el("h2", { id: "choose-title", tabindex: "-1" }, `${TITLES[about.kind] ?? "Alternatives"}${where}`), current.note,
      el("span", { class: "push" }), current.stop, button("Discard all", discard, { class: "discard" })),
    current.list);
  section.hidden = false;
  document.body.classList.add("choosing");
  section.querySelector("h2").focus({ preventScroll: true });
  section.scrollIntoView({ block: "nearest" });
  changed("choosing");
}

function hear(job, message) {
  if (current?.job !== job.id) return;
  if (message.type === "begin") {
    message.seeds.forEach((seed, number) => addCard(number, seed, { notes: [], isDone: false }));
    current.note.textContent = "Writing …";
  } else if (message.type === "notes") {
    const card = current.cards.get(message.alternative);
    for (const note of message.notes) card.notes.push(note);
    redraw(card);
  } else if (message.type === "alternative") {
    const card = current.cards.get(message.alternative);
    if (message.notes) card.notes = message.notes;
    card.isDone = true;
    redraw(card, 0);
    const done = [...current.cards.values()].filter((one) => one.isDone).length;
    current.note.textContent = done < current.cards.size ? `${done} of ${current.cards.size} written …` : "";
  } else end(message);
}

async function end(message) {
  if (message.type === "failed") complain(new Error(message.text));
  const mine = current;
  mine.isOver = true;
  await reload();
  if (current !== mine) return;
  for (const [number, card] of mine.cards) if (!card.notes.length || !card.isDone) { card.element.remove(); mine.cards.delete(number); }
  if (mine.cards.size) finish(message.type === "stopped");
  else leave();
}

function finish(isStopped = false) {
  current.isOver = true;
  current.stop.hidden = true;
  current.note.textContent = `${isStopped ? "Stopped. " : ""}Listen, and keep the one you like.`;
}

// ---- cards ----
function addCard(number, seed, card) {
  const play = button(icon("play", "pause"), () => listen(card), { class: "round", "aria-label": `Play alternative ${number + 1}`, title: `Play (${number + 1})` });
  const keeping = button("Keep", () => keep(number), { class: "primary", "aria-label": `Keep alternative ${number + 1}` });
  const picture = el("div", { class: "music mini", "aria-hidden": "true" }), count = el("span", { class: "hint" });
  const element = el("li", { class: "card" }, el("div", { class: "card-head" }, el("strong", {}, `${number + 1}`), play, count, el("span", { class: "push" }), keeping), picture);
  Object.assign(card, { number, seed, element, play, keeping, picture, count, key: `${current.piece} ${current.job} ${number}`, drawn: 0, timer: 0 });
  current.cards.set(number, card);
  current.list.append(element);
  redraw(card, 0);
}

/** The beats that an edit replaces, [start, stop]; null for a whole piece. */
function newBeats({ kind, settings }) {
  if (kind === "Continue") return [settings.beat, Infinity];
  return settings.to_beat ? [settings.from_beat, settings.to_beat] : null;
}

/** The song of an alternative: what was written and a little around it. */
function songOfCard(card) {
  const { settings, kind } = current.about, [start, stop] = newBeats(current.about) ?? [0, Infinity];
  const from = Math.max(start - AROUND, 0);
  const least = { Write: settings.beats, Compose: settings.form?.length * settings.section, Continue: settings.beat + settings.beats - from }[kind] ?? 8;
  return songOf(current.score, { notes: card.notes, from, to: stop + AROUND, least });
}

function redraw(card, delay = REDRAW) {
  if (card.timer && delay) return;
  clearTimeout(card.timer);
  card.timer = setTimeout(() => {
    card.timer = 0;
    if (!current || current.cards.get(card.number) !== card) return;
    const song = songOfCard(card);
    if (card.roll) card.roll.draw(song);
    else card.roll = new PianoRoll(card.picture, song);
    for (const one of card.picture.querySelectorAll("[tabindex]")) one.removeAttribute("tabindex");
    markRegion(card, song);
    card.count.textContent = `${card.notes.length ? `${card.notes.length} notes` : ""}${card.isDone ? "" : " …"}`;
    card.play.disabled = !card.notes.length;
    card.element.classList.toggle("writing", !card.isDone);
    card.keeping.disabled = !card.notes.length;
    loadSounds(song.parts.map((part) => part.name));
    grow(card.key, song);
  }, delay);
}

function markRegion(card, song) {
  const beats = newBeats(current.about), { high, bottom } = card.roll.edges;
  if (!beats) return;
  const x = Math.min(beats[0], AROUND), width = Math.min(beats[1] - beats[0], song.beats - x);
  card.roll.svg.append(makeSvg("rect", { class: "region", x, y: 0, width, height: high - bottom }));
}

function listen(card) {
  toggleOther(card.key, songOfCard(card));
}

/** Play an alternative by its number from 1. */
export function playNumber(number) {
  const card = current?.cards.get(number - 1);
  if (card) listen(card);
  return Boolean(card);
}

document.addEventListener("playing", ({ detail }) => {
  for (const card of current?.cards.values() ?? []) {
    const isMine = playsOther(card.key);
    card.play.classList.toggle("playing", isMine);
    card.element.classList.toggle("heard", isMine);
    card.play.setAttribute("aria-label", `${isMine ? "Pause" : "Play"} alternative ${card.number + 1}`);
    if (card.roll && (isMine || card.wasMine)) {
      card.roll.show(detail.beat);
      if (isMine) card.roll.follow(detail.beat);
    }
    card.wasMine = isMine;
  }
});

// New sounds are used by an alternative that plays already.
on("sounds", () => {
  for (const card of current?.cards.values() ?? []) if (playsOther(card.key)) grow(card.key, songOfCard(card));
});

// ---- what can be done ----
async function stop() {
  try { await api.post(`jobs/${current.job}/stop`); } catch (error) { complain(error); }
}

async function keep(number) {
  const mine = current;
  for (const card of mine.cards.values()) card.keeping.disabled = true;
  if (await change("keep", { alternative: number })) { if (current === mine) leave(); } else {
    for (const card of mine.cards.values()) card.keeping.disabled = false;
  }
}

async function discard() {
  const mine = current;
  unfollow();
  await change("discard");
  if (current === mine) leave();
}

/** Hide the alternatives. */
export function leave() {
  unfollow();
  unfollow = () => {};
  if (!current) return;
  current = null;
  const section = document.getElementById("choose");
  section.hidden = true;
  section.replaceChildren();
  document.body.classList.remove("choosing");
  changed("choosing");
}
