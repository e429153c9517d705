// How new notes are written: alternatives, boldness, seed, scale and the rest. Kept in the browser for the next time.
import { el, field } from "./dom.js";

const KEY = "mmt-studio-settings";
const DEFAULTS = { alternatives: 4, boldness: 50, beats: 32, more: 16, seed: "", scale: "", ranges: true, use_all: true, top_p: "", top_k: "", min_p: "", temperature: "", allow: "", own: "" };
const KEYS = ["C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"];
const LIMITS = { alternatives: [1, 8], beats: [1, 512], more: [1, 512], seed: [0, Number.MAX_SAFE_INTEGER], temperature: [0.05, 5], top_k: [1, 1000], top_p: [0.01, 1], min_p: [0, 1] };

const settings = { ...DEFAULTS };
try {
  const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
  for (const name of Object.keys(DEFAULTS)) if (typeof kept[name] === typeof DEFAULTS[name]) settings[name] = kept[name];
} catch { /* the defaults do */ }
settings.seed = ""; // a seed is for one time

/** The settings as the body of a request; with `length` for a new piece, with `more` to continue. */
export function requestSettings({ length = false, more = false } = {}) {
  const body = { alternatives: settings.alternatives, boldness: settings.boldness, ranges: settings.ranges };
  for (const name of ["seed", "temperature", "top_k", "top_p", "min_p"]) if (settings[name] !== "") body[name] = Number(settings[name]);
  for (const name of ["scale", "allow"]) if (settings[name].trim()) body[name] = settings[name].trim();
  const own = settings.own.split(/[,\n]/).map((one) => one.split("=").map((word) => word.trim())).filter((pair) => pair.length === 2 && pair[1]);
  if (own.length) body.own_ranges = Object.fromEntries(own);
  if (length) Object.assign(body, { beats: settings.beats, use_all: settings.use_all });
  if (more) body.beats = settings.more;
  return body;
}

/** The form. `length`: with the length of a new piece; `more`: with the length of a continuation; `tempo` is a further field. */
export function settingsForm({ length = false, more = false, tempo = null } = {}) {
  const number = (name, properties = {}) => {
    const [min, max] = LIMITS[name];
    const input = el("input", { type: "number", min, max, value: settings[name], ...properties, onchange: () => {
      if (input.value === "" && DEFAULTS[name] === "") settings[name] = "";
      else if (input.value !== "" && Number(input.value) >= min && Number(input.value) <= max)
        settings[name] = DEFAULTS[name] === "" ? input.value : Math.round(Number(input.value));
      input.value = settings[name];
      keep();
    } });
    return input;
  };
  const text = (name, properties = {}) => {
    const input = el("input", { type: "text", value: settings[name], ...properties, onchange: () => { settings[name] = input.value; keep(); } });
    return input;
  };
  const check = (name, label) => {
    const input = el("input", { type: "checkbox", checked: settings[name], onchange: () => { settings[name] = input.checked; keep(); } });
    return el("label", { class: "check" }, input, label);
  };
  const boldness = el("input", { type: "range", min: 0, max: 100, step: 5, value: settings.boldness, list: "boldness-marks", oninput: () => {
    settings.boldness = Number(boldness.value);
    boldness.setAttribute("aria-valuetext", wordFor(settings.boldness));
    word.textContent = wordFor(settings.boldness);
    keep();
  } });
  const word = el("span", { class: "hint" }, wordFor(settings.boldness));
  const scales = ["", ...KEYS.flatMap((key) => [`${key} major`, `${key} minor`])];
  const known = scales.includes(settings.scale);
  const scale = el("select", { onchange: () => { settings.scale = scale.value; keep(); } },
    (known ? scales : [settings.scale, ...scales]).map((name) => el("option", { value: name, selected: name === settings.scale }, name || "any scale")));
  return el("div", { class: "settings" },
    el("div", { class: "settings-main" },
      length && field("Length (beats)", number("beats"), "4 beats are a bar of 4/4"),
      tempo,
      more && field("Beats to add when continuing", number("more")),
      el("label", { class: "field wide" }, el("span", { class: "field-name" }, "Boldness"), boldness, word),
      field("Alternatives", number("alternatives"))),
    el("details", { class: "more" }, el("summary", {}, "More settings"),
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

function wordFor(boldness) {
  return ["timid", "careful", "normal", "bold", "wild"][Math.min(Math.floor((boldness + 10) / 25), 4)];
}

function keep() {
  try { localStorage.setItem(KEY, JSON.stringify(settings)); } catch { /* then only for this page */ }
}
