// The controls of a player (player.js) and its piano roll (piano_roll.js): buttons, a row for each part, mouse and keyboard.
import { PianoRoll, make, makeSvg } from "./piano_roll.js";
import { Player } from "./player.js";
import { asClock } from "./song.js";

const ICONS = {
  play: "M7 4v16l13-8z",
  pause: "M6 4h4.5v16H6zM13.5 4H18v16h-4.5z",
  rewind: "M5 4h3v16H5zM20 4v16L9 12z",
};

/** Fill an element with controls, parts and piano roll of a song; `keys` is where key presses are heard. */
export function mount(element, song, keys = element) {
  element.classList.add("music");
  const player = new Player(song);
  const transport = make("div", { class: "transport", role: "group", "aria-label": "Player" });
  const list = make("ul", { class: "parts", "aria-label": "Instruments" });
  element.append(transport, list);
  const roll = new PianoRoll(element, song);
  const { play, clock } = addTransport(transport, player, roll);
  const rows = addParts(list, player, roll);
  listen(player, roll, keys);

  function show() {
    const { beat, second, playing } = player, text = `${asClock(second)} / ${asClock(player.end)}`;
    element.classList.toggle("playing", playing);
    play.setAttribute("aria-label", playing ? "Pause" : "Play");
    if (clock.textContent !== text) clock.textContent = text;
    const live = playing ? player.notes.filter((note) => note.from <= beat && note.to > beat && player.level(note.part)) : [];
    roll.show(beat, live, `beat ${Math.floor(beat + 0.001)}, ${asClock(second)}`);
    rows.forEach((row, index) => row.classList.toggle("sounding", live.some((note) => note.part === index)));
  }

  let drawing = false;
  function animate() {
    drawing = player.playing;
    if (!drawing) return;
    show();
    roll.follow(player.beat);
    requestAnimationFrame(animate);
  }

  player.addEventListener("change", () => {
    show();
    if (player.playing && !drawing) { drawing = true; requestAnimationFrame(animate); }
  });
  show();
  return { player, roll };
}

function addTransport(transport, player, roll) {
  const button = (kind, label, content, press) => {
    const made = make("button", { class: kind, type: "button", "aria-label": label });
    made.append(content);
    made.addEventListener("click", press);
    return made;
  };
  const icon = (...names) => {
    const svg = makeSvg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" });
    svg.append(...names.map((name) => makeSvg("path", { class: `to-${name}`, d: ICONS[name] })));
    return svg;
  };
  const play = button("play", "Play", icon("play", "pause"), () => player.toggle());
  const rewind = button("rewind", "Back to the beginning", icon("rewind"), () => { player.seek(0); roll.view.scrollLeft = 0; });
  const clock = make("output", { class: "clock", "aria-live": "off" });
  const label = make("label", {}, "Volume "), volume = make("input", { class: "volume", type: "range", min: 0, max: 100, value: 80 });
  volume.addEventListener("input", () => { player.volume = volume.value / 80; });
  label.append(volume);
  const group = make("span", { class: "group" });
  group.append(
    button("narrower", "Show more of the music", "−", () => roll.zoom(1 / 1.5)),
    button("wider", "Show it larger", "+", () => roll.zoom(1.5)),
  );
  transport.append(play, rewind, clock, label, group);
  return { play, clock };
}

/** A row for each part, with buttons that mute it or let it play alone. */
function addParts(list, player, roll) {
  const isPressed = (row, kind) => row.querySelector("." + kind).getAttribute("aria-pressed") === "true";

  function setLevels() {
    const isSolo = rows.some((row) => isPressed(row, "solo"));
    rows.forEach((row, index) => {
      const isHeard = isSolo ? isPressed(row, "solo") : !isPressed(row, "mute");
      row.classList.toggle("silent", !isHeard);
      roll.setHeard(index, isHeard);
      player.setLevel(index, isHeard ? 1 : 0);
    });
  }

  const rows = player.song.parts.map(({ name, color }) => {
    const row = make("li", { style: { "--color": color } });
    row.append(make("span", { class: "swatch" }), make("span", { class: "name" }, name));
    for (const what of ["Mute", "Solo"]) {
      const text = `${what} ${name}`;
      const attributes = { class: what.toLowerCase(), type: "button", "aria-pressed": "false", "aria-label": text, title: text };
      const button = make("button", attributes, what[0]);
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        setLevels();
      });
      row.append(button);
    }
    return row;
  });
  list.append(...rows);
  return rows;
}

/** Let clicks in the roll and keys move the player. */
function listen(player, roll, keys) {
  let isHeld = false;
  const seekTo = (event) => player.seekBeat(roll.beatAt(event.clientX));
  roll.roll.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    isHeld = event.pointerType === "mouse";
    if (isHeld) roll.roll.setPointerCapture(event.pointerId);
    seekTo(event);
  });
  roll.roll.addEventListener("pointermove", (event) => { if (isHeld) seekTo(event); });
  roll.roll.addEventListener("lostpointercapture", () => { isHeld = false; });
  keys.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, a")) return;
    const step = event.shiftKey ? 4 : 1;
    const moves = { ArrowLeft: player.beat - step, ArrowRight: player.beat + step, Home: 0, End: player.song.end };
    if (event.key === " ") {
      if (event.target.matches("button")) return; // the button handles it
      player.toggle();
    } else if (event.key in moves) player.seekBeat(moves[event.key]);
    else return;
    event.preventDefault();
  });
}
