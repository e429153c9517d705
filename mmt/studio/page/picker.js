// Choosing instruments from a list that can be searched.
import { button, el, show } from "./dom.js";
import { state } from "./state.js";

/** A picker of instruments. `many` allows several; `except` are names that cannot be chosen; `change` hears the names. */
export function picker({ many = true, except = [], change }) {
  let names = [];
  const id = `search-${Math.random().toString(36).slice(2)}`;
  const search = el("input", { type: "search", id, placeholder: `Search ${state.instruments.length} instruments`, "aria-label": "Search instruments", autocomplete: "off", oninput: list });
  const found = el("div", { class: "instruments", role: "group", "aria-label": "Instruments" });
  const picked = el("ul", { class: "chips", "aria-label": "Chosen instruments" });
  search.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const first = matches()[0];
    if (first && search.value) { toggle(first.name); search.value = ""; list(); }
  });

  function matches() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    return state.instruments.filter((one) => !except.includes(one.name))
      .filter((one) => words.every((word) => [one.name, ...one.also].some((name) => name.toLowerCase().replaceAll("-", " ").includes(word))));
  }

  function toggle(name) {
    if (names.includes(name)) names = names.filter((one) => one !== name);
    else names = many ? [...names, name].slice(0, 16) : [name];
    draw();
    change(names);
  }

  function list() {
    const ones = matches();
    show(found, ones.length ? ones.map((one) => el("label", { class: "instrument", style: { "--color": one.color } },
      el("input", { type: many ? "checkbox" : "radio", name: id, checked: names.includes(one.name), onchange: () => toggle(one.name) }),
      el("span", { class: "swatch" }), one.name)) : el("p", { class: "hint" }, "No instrument has this name."));
  }

  function chips() {
    const ones = names.map((name) => state.instruments.find((one) => one.name === name)).filter(Boolean);
    show(picked, ones.map((one) => el("li", { style: { "--color": one.color } }, el("span", { class: "swatch" }), one.name,
      button("×", () => toggle(one.name), { class: "close", "aria-label": `Remove ${one.name}` }))));
    picked.hidden = !ones.length;
  }

  function draw() {
    list();
    chips();
  }

  draw();
  const element = el("div", { class: "picker" }, picked, search, found);
  return { element, get names() { return names; }, set(next) { names = [...next]; draw(); change(names); } };
}
