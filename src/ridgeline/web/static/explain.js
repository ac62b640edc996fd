// Numbers that open: formula, values put in, sources, interval, and when not to trust it.
import { ask, Refused } from "./api.js";
import { el, said } from "./dom.js";
import { show } from "./format.js";

const FLOOR = "A bound of physics: no engine is faster, and real ones are slower. Do not promise it to anybody.";
const ESTIMATE = "What an engine like those that were measured takes; four of five held-out measurements lie in the interval. Trust it less for chips, engines, models or lengths unlike those measured (the Accuracy page says which), and where the provenance says so.";
const FACT = "As good as its sources: makers round, and prices and drivers change. Each source has its date in the Catalogue.";

export function number(text, name, params) {
  if (!name) return el("span", {}, text);
  return el("button", { class: "number", type: "button", title: "Where this comes from", "data-number": name, onclick: () => open(name, params) }, text);
}

export async function open(name, params) {
  const dialog = document.getElementById("explain");
  let answer;
  try {
    answer = (await ask("explain", { ...params, numbers: name })).numbers[0];
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    said(error.message);
    return;
  }
  const inputs = Object.entries(answer.inputs).map(([input, given]) => {
    const below = /^see (\S+)$/.exec(given.source);
    return el("tr", {}, el("th", { scope: "row" }, input), el("td", { class: "n" }, show(given.value, given.unit)), el("td", {}, below ? el("button", { type: "button", onclick: () => open(below[1], params) }, `${below[1]}: open`) : given.source));
  });
  const close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  dialog.replaceChildren(
    el("h2", { tabindex: "-1" }, `${answer.number}: ${show(answer.value, answer.unit)}`),
    el("p", {}, answer.text),
    el("pre", { tabindex: "0" }, `${answer.number}\n  = ${answer.formula}\n  = ${answer.substituted}\n  = ${show(answer.value, answer.unit)}`),
    inputs.length ? el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Inputs" }, el("table", {}, el("thead", {}, el("tr", {}, ["Input", "Value", "Source"].map((text) => el("th", { scope: "col" }, text)))), el("tbody", {}, inputs))) : el("p", { class: "note" }, "It has no inputs: it is given."),
    el("p", { class: "note" }, el("b", {}, "When not to trust it: "), trust(answer.number)),
    close,
  );
  if (!dialog.open) dialog.showModal();
  close.focus();
}

function trust(name) {
  if (/estimate|_low_s|_high_s/.test(name)) return ESTIMATE;
  if (/floor|upper|_s$|per_s|tok|request|joules/.test(name)) return FLOOR;
  return FACT;
}
