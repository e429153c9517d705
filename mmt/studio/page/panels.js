// History, a look inside the model, originality, and downloads.
import * as api from "./api.js";
import { button, complain, el, field, show, tell } from "./dom.js";
import { change, instrumentOf, on, round, state } from "./state.js";

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
const DOWNLOADS = [["mid", "MIDI", "audio/midi"], ["musicxml", "MusicXML", "application/xml"], ["wav", "Audio (WAV)", "audio/wav"], ["html", "Web page with player", "text/html"]];

// ---- history ----
export function addHistory(element) {
  const list = el("ol", { class: "history" });
  element.append(list);
  on("piece", () => {
    if (!state.piece) return;
    const { history, current } = state.piece;
    show(list, history.map((version, index) => item(version, index, current)).reverse());
  });

  function item(version, index, current) {
    const isCurrent = index === current, seed = "seed" in version ? `seed ${version.seed}` : version.file ?? "";
    const go = button(`${index + 1}. ${version.what}`, () => change("go", { version: index }), { class: "link", "aria-current": isCurrent ? "step" : null, disabled: isCurrent });
    const origin = version.command !== undefined && el("details", {}, el("summary", { "aria-label": `How version ${index + 1} was made` }, "details"),
      el("dl", {}, el("dt", {}, "Model"), el("dd", {}, version.model), el("dt", {}, "Seed"), el("dd", {}, String(version.seed)),
        el("dt", {}, "Settings"), el("dd", {}, Object.entries(version.settings).map(([name, value]) => `${name.replaceAll("_", " ")} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(", "))),
      version.command ? [el("pre", { tabindex: "0" }, version.command), button("Copy the command", () => copy(version.command)),
        version.command.includes("piece.mid") && el("p", { class: "hint" }, "piece.mid is the version before this one, downloaded as MIDI.")]
        : el("p", { class: "hint" }, "No single mmt-generate command does this."));
    return el("li", { class: isCurrent ? "current" : index > current ? "undone" : "" }, go, el("span", { class: "hint" }, seed), origin);
  }
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied.");
  } catch { tell("The browser does not allow copying; select the text instead.", "error"); }
}

// ---- a look inside ----
export function addInside(element, roll) {
  const heat = toggle("Colour the notes by surprise", (isOn) => (isOn ? showHeat() : hide("heat")));
  const arcs = toggle("Show which notes the model looks at", (isOn) => (isOn ? showArcs() : hide("arcs")));
  const layer = el("select", { "aria-label": "Layer", onchange: () => isOn(arcs) && showArcs() });
  const legend = el("p", { class: "legend", hidden: true }, [0, 1, 2, 3, 4].map((bin) => el("span", { class: `swatch heat-swatch-${bin}` })), " expected … surprising");
  const text = el("p", { class: "hint", role: "status" });
  element.append(el("p", { class: "hint" }, "How surprising each note was to the model, and which notes it looks at before it writes the next one."),
    el("div", { class: "inside-row" }, heat, legend), el("div", { class: "inside-row" }, arcs, field("Layer", layer)), text);

  const isOn = (one) => one.getAttribute("aria-pressed") === "true";
  const off = (one) => one.setAttribute("aria-pressed", "false");

  async function showHeat() {
    const { id, revision } = state.piece;
    text.textContent = "The model reads the piece …";
    try {
      const { nats } = await api.get(`pieces/${id}/surprise`);
      if (state.piece?.revision !== revision) return;
      roll.heat = nats;
      legend.hidden = false;
      text.textContent = `Average surprise: ${round(nats.reduce((sum, one) => sum + one, 0) / Math.max(nats.length, 1))} nats per note.`;
      roll.refresh();
    } catch (error) { complain(error); off(heat); text.textContent = ""; }
  }

  async function showArcs() {
    const [note] = state.selection.notes;
    roll.arcs = null;
    if (note === undefined) { text.textContent = "Click a note: arcs show which notes the model looks at after it."; roll.refresh(); return; }
    const { id, revision } = state.piece;
    try {
      const { attends } = await api.get(`pieces/${id}/attention/${note}${layer.value ? `?layer=${layer.value}` : ""}`);
      if (state.piece?.revision !== revision || !state.selection.notes.has(note)) return;
      roll.arcs = { note, attends };
      const top = attends.slice(0, 3).map(([index, share]) => `${describe(index)} (${Math.round(100 * share)} %)`);
      text.textContent = attends.length ? `After ${describe(note)} the model looks most at ${top.join(", ")}.` : "There are no notes before it.";
      roll.refresh();
    } catch (error) { complain(error); }
  }

  function hide(what) {
    roll[what] = null;
    if (what === "heat") legend.hidden = true;
    text.textContent = "";
    roll.refresh();
  }

  on("ready", () => show(layer, el("option", { value: "" }, "all"), Array.from({ length: state.status.layers }, (_, index) => el("option", { value: index + 1 }, String(index + 1)))));
  on("selection", () => { if (isOn(arcs)) showArcs(); });
  on("piece", () => {
    roll.heat = roll.arcs = null;
    if (state.piece && isOn(heat)) showHeat();
  });
}

function describe(index) {
  const [onset, , pitch, code] = state.piece.score.notes[index];
  return `${instrumentOf(code)?.name ?? ""} ${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1} at beat ${round(onset / state.piece.score.resolution) + 1}`;
}

function toggle(text, press) {
  const made = button(text, () => {
    const isOn = made.getAttribute("aria-pressed") !== "true";
    made.setAttribute("aria-pressed", String(isOn));
    press(isOn);
  }, { "aria-pressed": "false" });
  return made;
}

// ---- originality ----
export function addOriginality(element) {
  const text = el("pre", { class: "result", role: "status" });
  const check = button("Check the piece", async () => {
    check.disabled = true;
    text.textContent = "Comparing with the training music …";
    const { id, revision } = state.piece;
    let answer;
    try { answer = await api.post(`pieces/${id}/originality`); } catch (error) { answer = { text: error.message }; }
    check.disabled = false;
    if (state.piece?.id !== id || state.piece.revision !== revision) return;
    text.textContent = answer.text;
    text.classList.toggle("stands-out", Boolean(answer.stands_out));
  });
  element.append(el("p", { class: "hint" }, "The longest passages that this version of the piece shares with the music that the model was trained on, in any key. Beats are counted from 0."), check, text);
  on("piece", () => {
    text.textContent = "";
    text.classList.remove("stands-out");
  });
}

// ---- downloads ----
export function addDownloads(element) {
  on("piece", () => {
    if (!state.piece) return;
    const name = state.piece.title.replace(/[^\p{L}\p{N}\s.,()-]/gu, "").replace(/\s+/g, " ").trim().slice(0, 80) || "piece";
    show(element, DOWNLOADS.map(([kind, label, type]) => {
      const href = api.downloadUrl(state.piece.id, kind);
      return el("a", { href, download: `${name}.${kind}`, draggable: "true", class: "download", title: kind === "mid" ? "Click to download, or drag it into another program" : "Click to download",
        ondragstart: (event) => {
          event.dataTransfer.setData("DownloadURL", `${type}:${name}.${kind}:${href}`);
          event.dataTransfer.effectAllowed = "copy";
        } }, label);
    }), el("p", { class: "hint" }, "In Chrome and Edge you can drag MIDI from here into another program."));
  });
}

