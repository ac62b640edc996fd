// Prices backwards: what a price sheet says of the model behind it, and how sure that is.
import { el, html, table } from "../dom.js";
import { number } from "../explain.js";
import { digits, show } from "../format.js";
import { plot, span } from "../plot.js";
import { facts, figure, pictures } from "../view.js";

const fields = [
  { name: "sheet", label: "Price sheet", value: "claude-opus-4.5", options: [["", "none: the prices below"]], from: "sheets" },
  { label: "Or prices of your own, $/Mtok", group: [{ name: "input", label: "input" }, { name: "output", label: "output" }, { name: "cached", label: "cached" }] },
  { name: "above", label: "Long requests", empty: "200k:6/22.5" }, { name: "write", label: "Cache writes", empty: "5min:3.75,1h:6" },
  { name: "mode", label: "Modes", empty: "batch:1.5/7.5" }, { name: "context", label: "Longest input", empty: "1M" },
  { name: "draws", label: "Models drawn", empty: "65,536", options: [["", "65,536"], ["16384", "16,384"], ["131072", "131,072"], ["262144", "262,144"]] },
];
const WORDS = {
  active: "parameters that one token uses", total: "parameters in all", cache: "bytes of the cache that a step reads per token of context", sparsity: "total over active parameters",
  "B*": "batch at which reading the weights takes as long as computing", "L*": "context at which reading the cache takes as long as computing", batch: "sequences served at once, on average", "B/B*": "batch over B*",
  markup: "input price over its cost on a perfectly used chip", efficiency: "share of the peak that serving reaches", utilisation: "share of the paid time that is sold", margin: "price over the seller's own cost", rent: "price of a chip over the one assumed",
};
const DOUBT = "A sheet sees prices, not the model: along a ridge a large model at a low markup and a small one at a high markup ask the same. Priors are those of open models and public prices; a seller who prices by value alone breaks them.";
const three = (of, end, unit) => `${show(of[`${end}_low`], unit)} to ${show(of[`${end}_high`], unit)}`;

// The ends of an interval of 80%, each of which opens.
function ends(a, name, when) {
  const b = a.beliefs[name], weighed = when === "prior" ? "" : " weighed by p(sheet | model)";
  const end = (place, q) => number(show(b[`${when}_${place}`], b.unit), { ...origin(a, name), name: `${name}, ${when} ${place}`, text: `${WORDS[name] ?? name}: ${place} end of 80% of what is believed ${when === "prior" ? "before" : "after"} the sheet`, formula: `quantile(n_draws draws${weighed}, ${q})`, interval: null });
  return html("span", {}, end("low", 0.1), " to ", end("high", 0.9));
}

function origin(a, name) {
  const b = a.beliefs[name];
  return {
    name, text: `${WORDS[name] ?? name}: median of the models that are still likely after the sheet`, formula: "quantile(n_draws draws weighed by p(sheet | model), 0.5)",
    inputs: [["n_draws", digits(a.effective_draws), "effective: of those drawn, as many as count"], ["before", show(b.prior_middle, b.unit), `prior of ${a.priors.source}, ${a.priors.date}; ${three(b, "prior", b.unit)}`], ["learnt", `${digits(b.nats)} nats`, "how far the sheet moved it"], ["Pareto k", digits(a.pareto_k), "below 0.7: the weights are sound"], ...Object.entries(a.sheet).map(([line, price]) => [line, show(price, "USD/tok"), a.name])],
    interval: `${three(b, "posterior", b.unit)}: 80% of what is believed`, trust: `${b.identified ? "" : "Not identified: the sheet says next to nothing of it, this is the prior. "}${DOUBT}`,
  };
}

// A picked sheet and prices of one's own are two ways to ask: the one changed last counts.
function changed(field, state, { refill, redraw }) {
  const prices = ["input", "output", "cached", "above", "write", "mode", "context"];
  if (field.name === "sheet" && state.sheet) for (const name of prices) state[name] = "";
  else if (prices.includes(field.name) && state[field.name]) state.sheet = "";
  refill();
  if (state.sheet || (state.input && state.output)) redraw();
}

const ORDER = ["active", "total", "sparsity", "cache", "batch", "markup", "efficiency", "utilisation", "margin", "rent"];

export const infer = {
  part: "sheet", tab: "What a sheet gives away", title: "Prices", command: "infer", slow: true, fields, changed,
  presets: [["what prices give away", "part=sheet&sheet=gemini-2.5-pro"], ["a step at 200k", "part=sheet&sheet=&input=3&output=15&cached=0.3&above=200k%3A6%2F22.5"], ["an open model", "part=sheet&sheet=deepseek-chat"]],
  lead: "A price sheet in, what it says of the model out: before and after, and the ridges along which it cannot tell.",
  trust: DOUBT,
  facts: (a) => ["active", "total", "cache", "batch", "markup"].map((name) => [name, a.beliefs[name].posterior_middle, a.beliefs[name].unit, origin(a, name)]),
  rows: (a) => ({ names: ["quantity", ...Object.keys(a.beliefs.active)], rows: Object.entries(a.beliefs).map(([name, each]) => [name, ...Object.values(each)]) }),
  draw: (a, { params, pins }) => [
    a.unexplained.length ? el("p", { class: "error" }, `No model that is believed in explains its ${a.unexplained.join(", ")}.`) : null,
    facts(infer.facts(a), params),
    a.public ? el("p", { class: "note" }, `Public: ${a.public.model}, ${show(a.public.active, "1")} active of ${show(a.public.total, "1")} parameters.`) : null,
    pictures(figure("Before (grey) and after (blue) the sheet", beliefs(a)), figure("The ridge: size against markup", ridge(a, "total", "markup", pins)), figure("Active against total parameters", ridge(a, "active", "total", pins))),
    table([["", false], ["before: 80%", true], ["after: middle", true], ["after: 80%", true], ["nats learnt", true], ["", false]], Object.entries(a.beliefs).map(([name, b]) => [name, ends(a, name, "prior"), number(show(b.posterior_middle, b.unit), origin(a, name)), ends(a, name, "posterior"), number(digits(b.nats), { ...origin(a, name), name: `${name}, nats learnt`, text: "how far the sheet moved the belief", formula: "sum(p * ln(p / q)) over bins of the n_draws draws: q before, p after", interval: null }), b.identified ? "" : "not identified"]), "Beliefs"),
    el("p", {}, Object.entries(a.shares).map(([name, { prior, posterior }]) => [name, prior, posterior]).flatMap(([name, prior, posterior], i) => [i ? " · " : "", `${name} `, ...[[prior, "before", "q"], [posterior, "after", "p"]].flatMap(([share, when, weight], j) => [j ? " → " : "", number(`${digits(100 * share, 2)}%`, { ...origin(a, "active"), name: `${name}, ${when}`, text: `share of models with ${name}, ${when} the sheet`, formula: `sum(${weight} of draws with it) over n_draws draws`, interval: null })])])),
    el("p", { class: "note" }, "Known in combination only, correlation of logs: ", a.ridges.flatMap(({ of, correlation }, i) => [i ? " · " : "", `${of.join(" and ")} `, number(digits(correlation, 2), { ...origin(a, "active"), name: `${of.join(" and ")}: correlation`, text: "correlation of their logarithms after the sheet; near 1 or -1 only their quotient or product is known", formula: "cov(x, y) / sqrt(var(x) * var(y)) over n_draws weighted draws", interval: null })])),
  ],
};

// Each belief over its prior's middle, so that all share one axis.
function beliefs(a) {
  const rows = ORDER.filter((name) => a.beliefs[name]), y = (i) => rows.length - i, at = (b, end, place) => b[`${end}_${place}`] / b.prior_middle;
  const bar = (end, color, shift) => rows.map((name, i) => { const b = a.beliefs[name]; return { points: [[at(b, end, "low"), y(i) + shift], [at(b, end, "high"), y(i) + shift]], color, bold: end === "posterior", name: "" }; });
  return plot({
    title: "Eighty percent intervals of each quantity before and after the sheet, over the middle of the belief before",
    x: { log: true, range: span(rows.flatMap((name) => ["prior", "posterior"].flatMap((end) => ["low", "high"].map((place) => at(a.beliefs[name], end, place)))), 1.6), label: "over the middle before", show: (v) => `${digits(v)}x` },
    y: { log: false, range: [0.2, rows.length + 0.8], label: "", show: () => "" },
    lines: [...bar("prior", "var(--grey)", 0.16), ...bar("posterior", "var(--blue)", -0.16)],
    dots: rows.flatMap((name, i) => { const b = a.beliefs[name]; return [{ point: [at(b, "posterior", "middle"), y(i) - 0.16], color: "var(--blue)" }, { point: [Math.max(at(b, "posterior", "high"), at(b, "prior", "high")), y(i)], color: "transparent", ink: "var(--ink)", radius: 5.6, name }]; }),
  });
}

function ridge(a, one, other, pins) {
  const points = (of) => of.drawn[one].map((x, i) => [x, of.drawn[other][i]]), here = points(a);
  const dots = [...pins.filter(Boolean).flatMap((pin) => points(pin).map((point) => ({ point, color: "var(--grey)", radius: 1.6 }))), ...here.map((point) => ({ point, color: "var(--blue)", radius: 2.2 }))];
  if (a.public && other === "total") dots.push({ point: [a.public.active, a.public.total], color: "var(--orange)", radius: 6, name: a.public.model });
  return plot({
    title: `Equally likely models after the sheet: ${one} against ${other}`,
    x: { log: true, range: span(here.map(([x]) => x), 1.4), label: `${one}, parameters`, show: (v) => show(v, "1") },
    y: { log: true, range: span(here.map(([, y]) => y), 1.4), label: other === "markup" ? "markup, price over cost" : `${other}, parameters`, show: (v) => show(v, "1") },
    dots,
  });
}
