// The player's controls, and the list of parts with volume, mute and solo.
import { Player } from "./shared/player.js";
import { asClock } from "./shared/song.js";
import { post } from "./api.js";
import { button, el, icon, show } from "./dom.js";
import { EMPTY, change, hasRegion, loadSounds, on, songOf, state } from "./state.js";

/** The one player of the page: it plays the piece, or an alternative. */
export const player = new Player(songOf(EMPTY));
let source = "piece"; // what the player has: "piece", or the key of an alternative

/** Load the current piece into the player; an alternative that is loaded stays as long as there are any. */
export function loadPiece(song) {
  if (source === "piece" || !document.body.classList.contains("choosing")) takePiece(song);
}

function takePiece(song) {
  const position = source === "piece" ? player.beat : 0;
  if (source !== "piece" && player.playing) player.pause();
  source = "piece";
  player.load(song);
  player.loop = selectedLoop();
  if (!player.playing) player.seekBeat(Math.min(position, song.end));
  applyMix();
}

/** Play something else from its beginning, or pause it. */
export function toggleOther(key, song) {
  if (source === key && player.playing) { player.pause(); return; }
  if (player.playing) player.pause();
  source = key;
  player.loop = null;
  player.load(song);
  applyMix();
  player.seek(0);
  player.play();
}

/** Sound a note of the piece alone. */
export function hearNote(note) {
  if (source === "piece") player.hear(note);
}

/** Give the player a longer version of what it plays, while it is being written. */
export function grow(key, song) {
  if (source === key) player.extend(song);
}

export const playsOther = (key) => source === key && player.playing;

// ---- mix ----
const mix = { volumes: {}, muted: [], solo: [] };
let saving = 0;

function levelOf(name) {
  const isHeard = mix.solo.length ? mix.solo.includes(name) : !mix.muted.includes(name);
  return isHeard ? (mix.volumes[name] ?? 0.8) / 0.8 : 0;
}

function applyMix() {
  player.song.parts.forEach((part, index) => { if (player.level(index) !== levelOf(part.name)) player.setLevel(index, levelOf(part.name)); });
}

function saveMix() {
  applyMix();
  clearTimeout(saving);
  const id = state.piece?.id;
  saving = setTimeout(() => id && post(`pieces/${id}/mix`, mix).catch(() => {}), 400);
}

// ---- the bar ----
let isLooping = false;
const selectedLoop = () => (isLooping && hasRegion() ? [state.selection.from, state.selection.to] : null);

/** Fill the transport bar; `roll` is the studio's piano roll. */
export function addTransport(element, roll) {
  const play = button(icon("play", "pause"), () => togglePiece(roll), { class: "round play", "aria-label": "Play", title: "Play (space)" });
  const clock = el("output", { class: "clock", "aria-live": "off" });
  const loop = button(icon("loop"), () => setLoop(!isLooping), { class: "round", "aria-label": "Loop the selection", title: "Loop the selection (L)", "aria-pressed": "false" });
  const tempo = el("input", { type: "number", min: 10, max: 400, step: "any", class: "tempo", "aria-label": "Tempo, quarter notes per minute" });
  tempo.addEventListener("change", () => {
    const value = Number(tempo.value);
    if (value >= 10 && value <= 400) change("details", { revision: state.piece.revision, tempo: value });
    else tempo.value = state.piece.score.tempo;
  });
  const volume = el("input", { type: "range", min: 0, max: 100, value: 80, "aria-label": "Main volume", oninput: () => { player.volume = volume.value / 80; } });
  const tools = ["select", "draw"].map((name) => button(name === "select" ? "Select" : "Draw", () => setTool(name), {
    class: "tool", "aria-pressed": String(name === "select"), title: name === "draw" ? "Draw notes (D)" : "Select bars and notes (V)" }));
  const grid = el("select", { "aria-label": "Grid", title: "Notes that you move or draw keep to this grid", onchange: () => { roll.grid = Number(grid.value); } },
    [[1, "quarter"], [0.5, "eighth"], [0.25, "16th"], [1 / 3, "triplet"], [1 / 12, "finest"]].map(([value, text]) => el("option", { value, selected: value === 0.5 }, text)));
  const pen = el("select", { "aria-label": "Instrument to draw", hidden: true, onchange: () => { roll.pen = Number(pen.value); } });
  show(element,
    play, button(icon("rewind"), () => { player.seek(0); roll.base.view.scrollLeft = 0; }, { class: "round", "aria-label": "Back to the beginning", title: "Back to the beginning (Home)" }), loop, clock,
    el("label", { class: "inline" }, "♩ =", tempo), el("label", { class: "inline" }, "Volume", volume),
    el("span", { class: "segments", role: "group", "aria-label": "Tool" }, tools), pen, el("label", { class: "inline" }, "Grid", grid),
    el("span", { class: "segments push", role: "group", "aria-label": "Zoom" },
      button("−", () => roll.zoom(1 / 1.5), { "aria-label": "Zoom out", title: "Zoom out" }), button("+", () => roll.zoom(1.5), { "aria-label": "Zoom in", title: "Zoom in" })));

  function setTool(name) {
    roll.tool = name;
    tools.forEach((one, index) => one.setAttribute("aria-pressed", String((index === 1) === (name === "draw"))));
    pen.hidden = name !== "draw";
    roll.refresh();
  }

  function setLoop(value) {
    isLooping = value;
    loop.setAttribute("aria-pressed", String(value));
    player.loop = selectedLoop();
    if (player.loop && (player.beat < player.loop[0] || player.beat >= player.loop[1])) player.seekBeat(player.loop[0]);
  }

  on("selection", () => { if (isLooping) player.loop = selectedLoop(); });
  on("piece", () => {
    if (!state.piece) return;
    if (document.activeElement !== tempo) tempo.value = state.piece.score.tempo;
    const chosen = Number(pen.value);
    show(pen, state.piece.score.parts.map((part) => el("option", { value: part.code }, part.name)));
    if (state.piece.score.parts.some((part) => part.code === chosen)) pen.value = chosen;
    roll.pen = Number(pen.value) || null;
  });
  follow(element, roll, play, clock);
  return { setTool, toggleLoop: () => setLoop(!isLooping) };
}

/** Play or pause the piece. */
function togglePiece(roll) {
  if (source !== "piece") takePiece(roll.song);
  if (!player.playing && isLooping && player.loop) player.seekBeat(player.loop[0]);
  player.toggle();
}

/** Play or pause what was heard last: an alternative, as long as there are any, or the piece. */
export function toggleHeard(roll) {
  if (source === "piece") togglePiece(roll);
  else player.toggle();
}

/** Move the cursor and mark what sounds while the player plays. */
function follow(element, roll, play, clock) {
  let isDrawing = false;

  function draw() {
    const isPiece = source === "piece", { beat, second, playing } = player, text = `${asClock(second)} / ${asClock(player.end)}`;
    element.classList.toggle("playing", playing && isPiece);
    play.setAttribute("aria-label", playing && isPiece ? "Pause" : "Play");
    document.dispatchEvent(new CustomEvent("playing", { detail: { beat } }));
    if (!isPiece || !roll.song) return;
    if (clock.textContent !== text) clock.textContent = text;
    const live = playing ? player.notes.filter((note) => note.from <= beat && note.to > beat && player.level(note.part)) : [];
    roll.base.show(beat, live, `beat ${Math.floor(beat + 0.001) + 1}, ${asClock(second)}`);
    const sounding = new Set(live.map((note) => player.song.parts[note.part]?.name));
    for (const row of document.querySelectorAll("#parts li")) row.classList.toggle("sounding", sounding.has(row.dataset.name));
  }

  function animate() {
    isDrawing = player.playing;
    draw();
    if (!isDrawing) return;
    if (source === "piece") roll.base.follow(player.beat);
    requestAnimationFrame(animate);
  }

  player.addEventListener("change", () => {
    if (!isDrawing) { isDrawing = true; requestAnimationFrame(animate); } else draw();
  });
}

/** Fill the list of parts. */
export function addParts(list, roll) {
  let drawn = "";

  function draw() {
    if (!state.piece) return;
    const { parts } = state.piece.score, key = `${state.piece.id} ${parts.map((part) => part.name)}`;
    if (key !== drawn) {
      drawn = key;
      Object.assign(mix, { volumes: {}, muted: [], solo: [] }, state.piece.mix);
      show(list, parts.map(row));
    }
    mark();
  }

  function row(part) {
    const { name } = part;
    const toggle = (kind, letter, text) => button(letter, () => {
      mix[kind] = mix[kind].includes(name) ? mix[kind].filter((one) => one !== name) : [...mix[kind], name];
      mark();
      saveMix();
    }, { class: kind, title: `${text} ${name}`, "aria-label": `${text} ${name}`, "aria-pressed": "false" });
    const volume = el("input", { type: "range", min: 0, max: 100, value: Math.round(100 * (mix.volumes[name] ?? 0.8)), "aria-label": `Volume of ${name}`, title: `Volume of ${name}`,
      oninput: () => { mix.volumes[name] = volume.value / 100; saveMix(); } });
    return el("li", { "data-name": name, style: { "--color": part.color } }, el("span", { class: "swatch" }), el("span", { class: "name" }, name),
      toggle("muted", "M", "Mute"), toggle("solo", "S", "Solo"), volume);
  }

  function mark() {
    for (const item of list.children) {
      const { name } = item.dataset, isHeard = levelOf(name) > 0 || (mix.volumes[name] === 0 && !mix.muted.includes(name));
      item.classList.toggle("silent", !isHeard);
      item.classList.toggle("loading", state.sounds.get(name)?.isLoading ?? false);
      for (const kind of ["muted", "solo"]) item.querySelector(`.${kind}`).setAttribute("aria-pressed", String(mix[kind].includes(name)));
      const index = roll.song?.parts.findIndex((part) => part.name === name) ?? -1;
      if (index >= 0) roll.base.setHeard(index, isHeard);
    }
  }

  on("sounds", mark);
  on("piece", () => { draw(); if (state.piece) loadSounds(state.piece.score.parts.map((part) => part.name)); });
}
