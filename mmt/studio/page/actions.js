// What can be done with the selection: rewrite, continue, add a part, change instruments, transpose, delete.
import { barAt, barFields } from "./bars.js";
import { begin } from "./choose.js";
import { button, el, openDialog, show } from "./dom.js";
import { editNotes, removeSelected, transpose } from "./notes.js";
import { picker } from "./picker.js";
import { selectionText } from "./roll.js";
import { forgetSeed, newPieceRequest, requestSettings, settingsForm } from "./settings.js";
import { changed, hasRegion, lengthOf, nameOf, on, selectedIndices, selectedParts, state } from "./state.js";

/** Fill the panel of actions; `roll` is the studio's piano roll. */
export function addActions(element, roll) {
  const title = el("h2", { id: "selection" }), hint = el("p", { class: "hint" }, "Drag over the bar numbers or the roll to select bars, or click a note."), status = el("span", { class: "visually-hidden", role: "status" });
  const parts = el("div", { class: "chips", role: "group", "aria-label": "Parts that are selected" });
  const bars = barFields(roll);
  const row = el("div", { class: "action-row" });
  const form = el("details", { class: "more" }, el("summary", {}, "Settings for new music"), el("div"));
  let formOf = "";
  show(element, el("div", { class: "action-head" }, title, bars.element, hint, el("span", { class: "push" }), parts), row, form, status);
  let timer = 0;

  function draw() {
    if (!state.piece) return;
    const { score } = state.piece, text = selectionText(), indices = selectedIndices(), length = lengthOf(score);
    title.textContent = text ? `Selected: ${text}` : length ? "Nothing is selected" : "There is no music yet";
    hint.hidden = Boolean(text) || !length;
    bars.element.hidden = !length;
    clearTimeout(timer);
    timer = setTimeout(() => { status.textContent = text ? `Selected: ${text}` : ""; }, 400);
    bars.draw();
    drawParts(score);
    drawForm(length);
    const inPiece = hasRegion() && state.selection.from < length, hasNotes = indices.length > 0;
    const from = hasRegion() ? state.selection.from : length;
    show(row,
      length > 0 && button("Rewrite", rewrite, { class: "primary", disabled: !inPiece || !selectedParts().length, title: inPiece ? "Write the selected bars and parts again" : "Select bars first" }),
      length > 0 && button(hasRegion() && from > 0 && from < length ? `Continue from bar ${barAt(score, from)}` : "Continue from the end", continueFrom, { title: "Keep what comes before, and write new music from there on" }),
      length > 0 && button("Add a part …", addPart),
      length === 0 && button("Write music", writeMusic, { class: "primary" }),
      length > 0 && button("Change instruments …", give, { disabled: !hasNotes }),
      length > 0 && el("span", { class: "segments", role: "group", "aria-label": "Transpose" }, [[-12, "8vb", "down an octave"], [-1, "−1", "down a semitone"], [1, "+1", "up a semitone"], [12, "8va", "up an octave"]].map(([steps, label, how]) =>
        button(label, () => transpose(steps), { disabled: !hasNotes, "aria-label": `Transpose ${how}`, title: `Transpose ${how}` }))),
      length > 0 && button("Delete", removeSelected, { disabled: !hasNotes, title: "Delete (Del)" }));
  }

  async function writeMusic() {
    if (await begin(...newPieceRequest())) forgetSeed();
  }

  /** The settings, read again for each piece, since the start page changes them too. */
  function drawForm(length) {
    const key = `${state.piece.id} ${length > 0}`;
    if (key === formOf) return;
    formOf = key;
    form.lastChild.replaceWith(settingsForm(length ? { more: true } : { length: true }));
    form.open = !length;
  }

  function drawParts(score) {
    const chosen = new Set(selectedParts());
    const focused = parts.contains(document.activeElement) ? document.activeElement.textContent : null;
    parts.hidden = score.parts.length < 2 || !hasRegion();
    show(parts, score.parts.map((part) => button(part.name, () => {
      const next = new Set(chosen);
      // The first click among all parts chooses one; further clicks add and remove.
      if (chosen.size === score.parts.length) { next.clear(); next.add(part.name); } else if (!next.delete(part.name)) next.add(part.name);
      state.selection.parts = next.size && next.size < score.parts.length ? next : null;
      changed("selection");
    }, { class: "chip", style: { "--color": part.color }, "aria-pressed": String(chosen.has(part.name)) })));
    for (const chip of parts.children) chip.prepend(el("span", { class: "swatch" }));
    if (focused) [...parts.children].find((one) => one.textContent === focused)?.focus();
  }

  const region = () => ({ from_beat: Math.floor(state.selection.from), to_beat: Math.ceil(state.selection.to) });
  const chosenParts = () => (state.selection.parts ? { parts: selectedParts() } : {});

  function rewrite() {
    return begin("rewrite", { ...requestSettings(), ...region(), ...chosenParts() });
  }

  function continueFrom() {
    const beat = hasRegion() && state.selection.from > 0 ? Math.floor(state.selection.from) : lengthOf(state.piece.score);
    return begin("continue", { ...requestSettings({ more: true }), beat: Math.min(beat, lengthOf(state.piece.score)) });
  }

  function addPart() {
    const { score } = state.piece, isPart = hasRegion() && state.selection.from < lengthOf(score);
    const playing = playingIn(score, isPart ? region() : null);
    const where = isPart ? nameOf(score, state.selection.from, state.selection.to) : "the whole piece";
    ask("Add a part", `The model writes a part for ${where}; all other notes stay.`, "Write the part", { many: false, except: playing }, ([instrument]) =>
      begin("add-part", { ...requestSettings(), instrument, ...(isPart ? region() : {}) }));
  }

  function give() {
    const { notes } = state.selection;
    const text = notes.size ? `Choose the instrument for the selection (${selectionText()}).`
      : `The notes stay; the model chooses which of these instruments plays each. Selected: ${selectionText()}.`;
    ask("Change instruments", text, "Change", { many: !notes.size }, (instruments) => {
      if (!notes.size) return begin("give", { ...requestSettings(), instruments, ...region(), ...chosenParts() });
      const code = state.instruments.find((one) => one.name === instruments[0]).code;
      return editNotes("instruments changed", (onset, duration, pitch) => [onset, duration, pitch, code]);
    });
  }

  function ask(heading, text, action, options, done) {
    const go = button(action, () => { dialog.close(); done(choice.names); }, { class: "primary", disabled: true });
    const choice = picker({ ...options, change: (names) => { go.disabled = !names.length; } });
    const dialog = openDialog(heading, el("p", { class: "hint" }, text), choice.element, el("div", { class: "dialog-foot" }, go));
    dialog.querySelector("input").focus();
  }

  on("piece", draw);
  on("selection", draw);
}

/** The names of the instruments that play in beats, or at all. */
function playingIn(score, beats) {
  const first = (beats?.from_beat ?? 0) * score.resolution, stop = (beats?.to_beat ?? Infinity) * score.resolution;
  const codes = new Set(score.notes.filter(([onset]) => onset >= first && onset < stop).map((row) => row[3]));
  return score.parts.filter((part) => codes.has(part.code)).map((part) => part.name);
}
