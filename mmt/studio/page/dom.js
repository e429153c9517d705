// Making elements. Text is always set as text, never as markup.
import { makeSvg } from "./shared/piano_roll.js";

/** An element with properties ("class", "aria-…", "onclick", …; false and null are left out) and children. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") made[name] = value;
    else if (name === "style") for (const [key, one] of Object.entries(value)) made.style.setProperty(key, one);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const ICONS = {
  play: "M7 4v16l13-8z",
  pause: "M6 4h4.5v16H6zM13.5 4H18v16h-4.5z",
  rewind: "M5 4h3v16H5zM20 4v16L9 12z",
  loop: "M7 6h9V3l5 4.500-5 4.500V9H8v4H5V8a2 2 0 0 1 2-2zm10 12H8v3l-5-4.500 5-4.500v3h8v-4h3v5a2 2 0 0 1-2 2z",
  undo: "M8 4v4h6a5.500 5.500 0 0 1 0 12H7v-3h7a2.500 2.500 0 0 0 0-6H8v4L2 9.500z",
  redo: "M16 4v4h-6a5.500 5.500 0 0 0 0 12h7v-3h-7a2.500 2.500 0 0 1 0-6h6v4l6-5.500z",
  stop: "M6 6h12v12H6z",
};

/** An icon; `names` are drawn on each other, with classes to show one of them. */
export function icon(...names) {
  const svg = makeSvg("svg", { viewBox: "0 0 24 24", "aria-hidden": "true", class: "icon" });
  svg.append(...names.map((name) => makeSvg("path", { class: `to-${name}`, d: ICONS[name] })));
  return svg;
}

/** A button with a text or icon. */
export function button(content, press, properties = {}) {
  return el("button", { type: "button", onclick: press, ...properties }, content);
}

/** A labelled field. */
export function field(text, input, hint = "") {
  return el("label", { class: "field" }, el("span", { class: "field-name" }, text), input, hint && el("span", { class: "hint" }, hint));
}

const spoken = () => document.getElementById("messages");

/** Tell something in a corner of the page, and to a screen reader. Of kind "wait" it stays until it is removed. Returns the message. */
export function tell(text, kind = "info") {
  const message = el("p", { class: `message ${kind}` }, text, button("×", () => message.remove(), { class: "close", "aria-label": "Close this message" }));
  spoken().append(message);
  while (spoken().children.length > 3) spoken().firstChild.remove();
  if (kind === "info") setTimeout(() => message.remove(), 6000);
  return message;
}

/** Say what went wrong. */
export function complain(error) {
  if (error?.name !== "AbortError") tell(error?.message ?? String(error), "error");
}

/** Replace an element's content. */
export function show(element, ...children) {
  element.replaceChildren(...children.flat().filter(Boolean));
  return element;
}

/** A dialog that closes by its button, by Escape, and by a click outside. */
export function openDialog(title, ...children) {
  const dialog = el("dialog", { "aria-label": title, class: "dialog" });
  const close = button("×", () => dialog.close(), { class: "close", "aria-label": "Close" });
  dialog.append(el("div", { class: "dialog-head" }, el("h2", {}, title), close), ...children.flat());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
