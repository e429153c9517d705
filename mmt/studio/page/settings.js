// How new notes are written: alternatives, form, boldness, seed, scale and the rest. Kept in the browser for the next time.
import { el, field } from "./dom.js";
import { state } from "./state.js";

const KEY = "mmt-studio-settings";
const DEFAULTS = { alternatives: 4, boldness: 50, beats: 32, form: "", section: 16, more: 16, seed: "", scale: "", ranges: true, use_all: true, top_p: "", top_k: "", min_p: "", temperature: "", allow: "", own: "" };
const KEYS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const FORMS = { "": "free", AB: "A B", ABA: "A B A", AABA: "A A B A", ABAC: "A B A C", ABACA: "A B A C A (rondo)" };
const LIMITS = { alternatives: [1, 8], beats: [1, 512], section: [5, 256], more: [1, 512], seed: [0, Number.MAX_SAFE_INTEGER], temperature: [0.05, 5], top_k: [1, 1000], top_p: [0.01, 1], min_p: [0, 1] };

const settings = { ...DEFAULTS };
try {
  const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  for (const name of Object.keys(DEFAULTS)) if (typeof kept[name] === typeof DEFAULTS[name]) settings[name] = kept[name];
} catch { /* the defaults do */ }
settings.seed = ""; // a seed is for one time

/** The settings as the body of a request; with `more` to continue. */
export function requestSettings({ more = false } = {}) {
  const body = { alternatives: settings.alternatives, boldness: settings.boldness, ranges: settings.ranges };
  for (const name of ["seed", "temperature", "top_k", "top_p", "min_p"]) if (settings[name] !== "") body[name] = Number(settings[name]);
  for (const name of ["scale", "allow"]) if (settings[name].trim()) body[name] = settings[name].trim();
  const own = settings.own.split(/[,\n]/).map((one) => one.split("=").map((word) => word.trim())).filter((pair) => pair.length === 2 && pair[1]);
  if (own.length) body.own_ranges = Object.fromEntries(own);
  if (more) body.beats = settings.more;
  return body;
}

/** The operation that writes a new piece, and its body: free, or in a form. */
export function newPieceRequest() {
  const body = { ...requestSettings(), use_all: settings.use_all };
  if (!hasForm()) return ["write", { ...body, beats: settings.beats }];
  return ["compose", { ...body, form: settings.form, section: settings.section }];
}

/** Empty the seed, which is used once: it would bind later edits too. */
export function forgetSeed() {
  settings.seed = "";
  for (const input of document.querySelectorAll("input[data-setting=seed]")) input.value = "";
}

// A model needs given notes and lengths to write in a form.
const canForm = () => state.status.given && state.status.length;
const hasForm = () => canForm() && settings.form !== "";

/** The form. `length`: with the length of a new piece; `more`: with the length of a continuation; `tempo` is a further field. */
export function settingsForm({ length = false, more = false, tempo = null } = {}) {
  const number = (name, properties = {}) => {
    const [min, max] = LIMITS[name];
    const input = el("input", { type: "number", min, max, value: settings[name], "data-setting": name, ...properties, onchange: () => {
      if (input.value === "" && DEFAULTS[name] === "") settings[name] = "";
      else if (input.value !== "" && Number(input.value) >= min && Number(input.value) <= max)
        settings[name] = DEFAULTS[name] === "" ? input.value : Math.round(Number(input.value));
      input.value = settings[name];
      keep();
    } });
    return input;
  };
  const set = (name, value) => { settings[name] = value; keep(); };
  const text = (name, properties) => el("input", { type: "text", value: settings[name], ...properties, onchange: ({ target }) => set(name, target.value) });
  const check = (name, label) => el("label", { class: "check" },
    el("input", { type: "checkbox", checked: settings[name], onchange: ({ target }) => set(name, target.checked) }), label);
  const boldness = el("input", { type: "range", min: 0, max: 100, step: 5, value: settings.boldness, list: "boldness-marks", oninput: () => {
    settings.boldness = Number(boldness.value);
    boldness.setAttribute("aria-valuetext", wordFor(settings.boldness));
    word.textContent = wordFor(settings.boldness);
    keep();
  } });
  const word = el("span", { class: "hint" }, wordFor(settings.boldness));
  const scales = ["", ...KEYS.flatMap((key) => [`${key} major`, `${key} minor`])];
  const known = scales.includes(settings.scale);
  const scale = el("select", { onchange: () => set("scale", scale.value) },
    (known ? scales : [settings.scale, ...scales]).map((name) => el("option", { value: name, selected: name === settings.scale }, name || "any scale")));
  return el("div", { class: "settings" },
    el("div", { class: "settings-main" },
      length && lengthFields(number),
      tempo,
      more && field("Beats to add when continuing", number("more")),
      el("label", { class: "field wide" }, el("span", { class: "field-name" }, "Boldness"), boldness, word),
      field("Alternatives", number("alternatives"))),
    el("details", { class: "more", ontoggle: ({ target }) => target.open && target.scrollIntoView({ block: "nearest" }) }, el("summary", {}, "More settings"),
      el("div", { class: "settings-main" },
        field("Scale", scale), field("Seed", number("seed", { placeholder: "random" })),
        field("Allowed pitches", text("allow", { placeholder: "C3..C6" })),
        check("ranges", "Keep each instrument in its range"),
        field("Your own ranges", text("own", { placeholder: "violin=G3..E6" })),
        length && check("use_all", "Use every instrument"),
        field("Temperature", number("temperature", { step: "any", placeholder: "auto" })),
        field("Top-k", number("top_k", { placeholder: "off" })), field("Top-p", number("top_p", { step: "any", placeholder: "off" })),
        field("Min-p", number("min_p", { step: "any", placeholder: "auto" })))));
}

/** The form of a new piece, and its length in beats: of the whole, or of a section. */
function lengthFields(number) {
  const whole = field("Length (beats)", number("beats"), "4 beats are a bar of 4/4");
  if (!canForm()) return whole;
  const beats = number("section"), sum = el("span", { class: "hint", role: "status" });
  const section = el("label", { class: "field" }, el("span", { class: "field-name" }, "Beats per section"), beats, sum);
  const own = el("input", { type: "text", value: settings.form, maxlength: 26, size: 8, "aria-label": "Letters of the sections", placeholder: "ABAB", autocomplete: "off", spellcheck: "false" });
  const choice = el("select", { "aria-label": "Form" }, Object.entries({ ...FORMS, own: "own …" }).map(([value, text]) => el("option", { value, selected: value === settings.form }, text)));
  if (!(settings.form in FORMS)) choice.value = "own";
  const draw = () => {
    const { form } = settings, count = form.length, total = count * settings.section;
    own.hidden = choice.value !== "own";
    whole.hidden = Boolean(form);
    section.hidden = !form;
    sum.textContent = `${count} sections: ${total} beats, ${Math.ceil(total / 4)} bars of 4/4`;
  };
  choice.addEventListener("change", () => {
    if (choice.value !== "own") settings.form = choice.value;
    else { settings.form ||= "ABAB"; own.value = settings.form; }
    keep();
    draw();
    if (choice.value === "own") own.select();
  });
  own.addEventListener("input", () => {
    own.value = own.value.toUpperCase().replace(/[^A-Z]/g, "");
    settings.form = own.value || "A";
    keep();
    draw();
  });
  own.addEventListener("change", () => { own.value = settings.form; });
  beats.addEventListener("change", draw);
  draw();
  const name = el("label", { class: "field" }, el("span", { class: "field-name" }, "Form"), choice);
  return [el("div", { class: "form-fields" }, name, own), whole, section];
}

function wordFor(boldness) {
  return ["timid", "careful", "normal", "bold", "wild"][Math.min(Math.floor((boldness + 10) / 25), 4)];
}

function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(settings)); } catch { /* then only for this page */ }
}
