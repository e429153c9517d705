// The start page: choose instruments, drop a file, open an example or an earlier piece.
import * as api from "./api.js";
import { begin } from "./choose.js";
import { button, complain, el, field, show, tell } from "./dom.js";
import { picker } from "./picker.js";
import { forgetSeed, newPieceRequest, settingsForm } from "./settings.js";
import { setPiece, state } from "./state.js";

/** Draw the start page. */
export async function showStart(element) {
  const chosen = picker({ change: (names) => {
    write.disabled = !names.length;
    hint.textContent = names.length ? "You get several alternatives. Listen, and keep the one you like." : "Choose an ensemble or instruments first.";
    for (const card of ensembles.children) card.setAttribute("aria-pressed", String(sameNames(card.names, names)));
  } });
  const ensembles = el("div", { class: "ensembles", role: "group", "aria-label": "Ensembles" }, state.ensembles.map((one) => {
    const title = [...one.instruments, ...one.missing.map((name) => `(${name}: unknown to this model)`)].join(", ");
    const card = button("", () => chosen.set(one.instruments), { class: "ensemble", "aria-pressed": "false", title });
    card.names = one.instruments;
    card.append(el("strong", {}, one.name), el("span", { class: "swatches", "aria-hidden": "true" }, one.instruments.map((name) => {
      const { color } = state.instruments.find((instrument) => instrument.name === name);
      return el("span", { class: "swatch", style: { "--color": color } });
    })), el("span", { class: "hint" }, one.missing.length ? `without ${one.missing.join(", ")}, unknown to this model` : one.instruments.join(", ")));
    return card;
  }));
  const tempo = el("input", { type: "number", min: 10, max: 400, value: 100 });
  const write = button("Write music", () => writeNew(chosen.names, Number(tempo.value), write), { class: "primary large", disabled: true });
  const hint = el("span", { class: "hint", role: "status" }, "Choose an ensemble or instruments first.");
  const recent = el("ul", { class: "recent" });
  show(element,
    el("section", { class: "start-main", "aria-labelledby": "who" },
      el("h2", { id: "who" }, "Choose the instruments"), ensembles, chosen.element,
      el("div", { class: "start-settings" }, settingsForm({ length: true, tempo: field("Tempo (♩ per minute)", tempo) })),
      el("div", { class: "start-write" }, write, hint)),
    el("section", { class: "start-side", "aria-label": "Open music" }, dropZone(),
      el("h3", {}, "Examples"), el("ul", { class: "recent" }, state.examples.map((name) => el("li", {}, button(name, () => open(api.post(`examples/${encodeURIComponent(name)}`)), { class: "link" })))),
      el("h3", {}, "Your pieces"), recent));
  await listPieces(recent);
}

async function listPieces(list) {
  try {
    const pieces = await api.get("pieces");
    show(list, pieces.length ? pieces.slice(0, 30).map((piece) => el("li", {},
      el("a", { href: `#${piece.id}` }, piece.title), el("span", { class: "hint" }, new Date(piece.changed * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })),
      button("×", async (event) => {
        if (!confirm(`Delete “${piece.title}” with its history?`)) return;
        try { await api.remove(`pieces/${piece.id}`); event.target.closest("li").remove(); } catch (error) { complain(error); }
      }, { class: "close", "aria-label": `Delete ${piece.title}` }))) : el("li", { class: "hint" }, "Nothing yet."));
  } catch (error) { complain(error); }
}

async function writeNew(names, tempo, control) {
  control.disabled = true;
  try {
    const ensemble = names.length > 3 && state.ensembles.find((one) => sameNames(one.instruments, names));
    const title = ensemble ? ensemble.name : names.length > 4 ? `${names.length} instruments` : names.join(", ").replace(/, ([^,]*)$/, " and $1");
    let piece = await api.post("pieces", { instruments: names, title: title.charAt(0).toUpperCase() + title.slice(1) });
    if (tempo !== 100 && tempo >= 10 && tempo <= 400) piece = await api.post(`pieces/${piece.id}/details`, { revision: piece.revision, tempo });
    const request = newPieceRequest();
    enter(piece);
    if (await begin(...request)) forgetSeed();
  } catch (error) { complain(error); }
  control.disabled = false;
}

function dropZone() {
  const input = el("input", { type: "file", accept: ".mid,.midi,.kar,.rmi,.musicxml,.xml,.mxl,.abc", class: "visually-hidden", id: "file", onchange: () => { if (input.files[0]) openFile(input.files[0]); input.value = ""; } });
  return el("label", { class: "drop", for: "file" }, input, el("strong", {}, "Open a file"), el("span", { class: "hint" }, "or drop it here: MIDI, MusicXML, ABC"));
}

/** Open a file that was chosen or dropped. */
export async function openFile(file) {
  const message = tell(`Reading ${file.name} …`, "wait");
  await open(api.upload(file, state.status.most_upload));
  message.remove();
}

async function open(answer) {
  try {
    enter(await answer);
  } catch (error) { complain(error); }
}

function enter(piece) {
  setPiece(piece);
  location.hash = piece.id;
}

const sameNames = (one, other) => one.length === other.length && one.every((name) => other.includes(name));
