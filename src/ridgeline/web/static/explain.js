// Numbers that open: formula, values put in, sources, interval, and when not to trust it.
import { ask, Refused } from "./api.js";
import { el, html, said } from "./dom.js";
import { show } from "./format.js";

const FLOOR = "A bound of physics: no engine is faster, and real ones are slower. Do not promise it to anybody.";
const ESTIMATE = "What an engine like those that were measured takes; four of five held-out measurements lie in the interval. Trust it less for chips, engines, models or lengths unlike those measured (the Accuracy page says which), and where the provenance says so.";
const FACT = "As good as its sources: makers round, and prices and drivers change. Each source has its date in the Catalogue.";

// `of` says where a number comes from: a name that `explain` knows at `params`, {number, params} of another point, or
// what the page itself knows: {text, formula, inputs: [[name, value shown, source]], interval, trust, see: {number, params}},
// or {load()}, which tells it later.
export function number(text, of, params) {
  if (!of) return html("span", {}, text);
  const point = typeof of === "string" ? { number: of, params } : of.number ? of : null;
  return html("button", { class: "number", type: "button", title: "Where this comes from", "data-number": point?.number ?? of.name, onclick: () => (point ? open(point.number, point.params) : of.load ? of.load() : told({ value: text, ...of })) }, text);
}

// Two numbers as an interval; each opens.
export function between(low, high, of) {
  return html("span", {}, number(low, { ...of, name: `${of.name}, low` }), " – ", number(high, { ...of, name: `${of.name}, high` }));
}

export async function open(name, params) {
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
    return [input, show(given.value, given.unit), below ? el("button", { type: "button", onclick: () => open(below[1], params) }, `${below[1]}: open`) : given.source];
  });
  drawn({ name: answer.number, value: show(answer.value, answer.unit), text: answer.text, formula: answer.formula, substituted: answer.substituted, inputs, trust: trust(answer.number) });
}

export function told({ name, value, text, formula, inputs = [], interval, trust: doubt, see }) {
  const values = Object.fromEntries(inputs.map(([input, shown]) => [input, shown]));
  const substituted = formula && inputs.length ? formula.replace(/[A-Za-z_]\w*/g, (word) => values[word] ?? word) : null;
  const more = see ? [el("button", { type: "button", onclick: () => open(see.number, see.params) }, `${see.number}: open`)] : [];
  drawn({ name, value, text, formula, substituted, inputs, interval, trust: doubt ?? trust(name), more });
}

function drawn({ name, value, text, formula, substituted, inputs, interval, trust: doubt, more = [] }) {
  const dialog = document.getElementById("explain"), close = el("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const head = el("tr", {}, ["Input", "Value", "Source"].map((each) => el("th", { scope: "col" }, each)));
  const rows = inputs.map(([input, given, source]) => el("tr", {}, el("th", { scope: "row" }, input), el("td", { class: "n" }, given), el("td", {}, source ?? "")));
  dialog.replaceChildren(
    ...[
      el("h2", { tabindex: "-1" }, `${name}: ${value}`),
      text ? el("p", {}, text) : null,
      formula ? el("pre", { tabindex: "0" }, `${name}\n  = ${formula}\n${substituted && substituted !== formula ? `  = ${substituted}\n` : ""}  = ${value}`) : null,
      rows.length ? el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Inputs" }, el("table", {}, el("thead", {}, head), el("tbody", {}, rows))) : el("p", { class: "note" }, "It has no inputs: it is given."),
      interval ? el("p", {}, `Interval: ${interval}`) : null,
      el("p", { class: "note" }, el("b", {}, "When not to trust it: "), doubt),
      el("div", { class: "row" }, ...more, close),
    ].filter(Boolean),
  );
  if (!dialog.open) dialog.showModal();
  close.focus();
}

function trust(name) {
  if (/estimate|_low_s|_high_s/.test(name)) return ESTIMATE;
  if (/floor|upper|_s$|per_s|tok|request|joules/.test(name)) return FLOOR;
  return FACT;
}
export { ESTIMATE, FACT, FLOOR };
