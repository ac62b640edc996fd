// The blackboard: roofline, time against batch, cost against speed; redrawn while a slider moves.
import { ask, Refused } from "../api.js";
import { formats, model, own, powers, system } from "../controls.js";
import { el, html } from "../dom.js";
import { digits, show } from "../format.js";
import { decades, plot, span } from "../plot.js";
import { asked } from "../state.js";
import { facts, figure, pictures, view } from "../view.js";

const LAYOUT = ["tp", "pp", "dp", "ep"];
const fields = [
  model("deepseek-v3"), system("gb200-nvl72"),
  { name: "batch", label: "Batch: sequences of a replica", value: "4096", stops: powers(1, 16384, 2) },
  { name: "context", label: "Context of each, tokens", value: "8k", stops: ["1k", "2k", "4k", "8k", "16k", "32k", "64k", "128k", "256k", "512k", "1M"] },
  { name: "sparsity", label: "Sparsity: experts", path: "experts.count", stops: ["", "0.5x", "2x", "4x", "8x"], empty: "published" },
  { name: "domain", label: "Chips of the scale-up domain", path: "domain.size", stops: ["", "8", "16", "32", "64", "72", "144", "288", "576"], empty: "its own" },
  { label: "Layout (degrees)", group: [{ name: "tp", label: "tensor", value: "1" }, { name: "pp", label: "pipeline", value: "1" }, { name: "dp", label: "data", value: "64" }, { name: "ep", label: "expert", value: "64" }] },
  ...formats, ...own,
];
const PRESETS = [
  ["batch size", "model=lecture-deepseek&system=lecture-nvl72"],
  ["small batch, fast mode", "batch=64"],
  ["sparsity", "sparsity=4x&batch=4096"],
  ["one rack as domain", "domain=8&batch=2048"],
  ["long context", "context=128k&batch=512"],
  ["dense model", "model=llama-3-70b&system=hgx-h100&tp=8&dp=1&ep=1&batch=64"],
];
const COLORS = { estimate: "var(--red)", floor: "var(--ink)", weights: "var(--blue)", cache: "var(--orange)", math: "var(--green)", messages: "var(--purple)" };
const pairs = (x, y) => x.map((value, i) => [value, y[i]]);

const page = {
  title: "Blackboard", command: "board", python: "step", fields, presets: PRESETS,
  lead: "One step of decoding: how long it takes, what binds it, what a token costs. Move a slider; click a number to see where it comes from.",
  trust: "floors are bounds, not promises; estimates rest on measured engines, and their interval (shaded) widens where nothing like it was measured. What-if values keep the measured efficiencies.",
  facts: (a) => {
    const n = a.numbers, take = (label, name) => [label, ...(n[name] ?? []), name];
    return [take("step", "decode_estimate_s"), take("at least", "decode_low_s"), take("at most", "decode_high_s"), take("floor", "decode_floor_s"), ["floor bound by", a.binding, ""], take("tok/s per user", "tokens_per_s_per_user_estimate"), take("tok/s per chip", "output_tokens_per_s_per_chip_estimate"), take("output", "usd_per_output_token_estimate"), take("B*", "balance_batch"), take("L*", "balance_context_tok"), take("memory used", "memory_used_bytes"), take("of", "memory_capacity_bytes")].filter((fact) => fact.length > 2);
  },
  rows: (a) => ({ names: ["batch", "low_s", "high_s", ...Object.keys(a.curve.lines).map((name) => `${name}_s`), "tokens_per_s_per_user", a.priced ? "usd_per_mtok" : "chip_s_per_mtok"], rows: a.curve.batch.map((b, i) => [b, a.curve.low[i], a.curve.high[i], ...Object.values(a.curve.lines).map((line) => line[i]), a.curve.tokens_per_s_per_user[i], a.curve.usd_per_mtok[i]]) }),
  draw: (a, { params, pins, render }) => [
    html("p", { class: "note" }, a.headline.join(" · ")),
    facts(page.facts(a), params),
    html("p", { class: "note" }, `Estimate: ${a.provenance}.`),
    pictures(figure("Roofline of one chip", roofs(a)), figure("Time of a step against the batch", times(a, pins)), figure(a.priced ? "Dollars per million output tokens against speed" : "Chip-seconds per million output tokens against speed", trade(a, pins))),
    every(a, params, render),
  ],
  changed,
};

// Listed only while it is open: a slider then redraws less.
function every(a, params, render) {
  const open = document.getElementById("every")?.open ?? false;
  return html("details", { id: "every", open, ontoggle: (e) => { if (e.target.open !== open) render(); } }, html("summary", {}, "Every number of this point"), open ? facts(Object.entries(a.numbers).map(([name, [value, unit]]) => [`${name}:`, value, unit, name]), params) : null);
}

function roofs({ roofline: { bandwidth, peaks, dots } }) {
  const most = Math.max(...Object.values(peaks)), x = decades([...dots.map((dot) => dot.intensity), most / bandwidth], 1.5);
  const lines = Object.entries(peaks).map(([name, peak]) => ({ name, color: "var(--ink)", points: [[x[0], Math.min(peak, bandwidth * x[0])], [peak / bandwidth, peak], [x[1], peak]] }));
  return plot({
    title: "Roofline: FLOP/s against FLOP per byte, with the operations of this step",
    x: { log: true, range: x, label: "FLOP per byte of HBM", show: (v) => digits(v) }, y: { log: true, range: decades([...dots.map((dot) => dot.rate), most], 1.2), label: "FLOP/s", show: (v) => show(v, "") },
    lines, dots: dots.map((dot) => ({ point: [dot.intensity, dot.rate], radius: 4 + 10 * Math.sqrt(dot.share), color: "var(--blue)", name: `${dot.family} ${dot.format} ${digits(100 * dot.share, 2)}%` })), marks: [],
  });
}

function times({ curve: t, batch }, pins) {
  const lines = Object.entries(t.lines).map(([name, values]) => ({ name, color: COLORS[name], bold: name === "estimate", points: pairs(t.batch, values) }));
  pins.forEach((pin, i) => pin && lines.push({ name: `pin ${i + 1}`, color: "var(--grey)", dashed: true, points: pairs(pin.curve.batch, pin.curve.lines.estimate) }));
  return plot({
    title: "Seconds of a step against the batch: estimate with interval, floor and its terms",
    x: { log: true, range: [t.batch[0], t.batch[t.batch.length - 1]], label: "batch, sequences", show: (v) => show(v, "1") },
    y: { log: true, range: span([...t.low, ...t.high, ...t.lines.floor], 1.6), label: "time of a step", show: (v) => show(v, "s") },
    lines, bands: [{ low: pairs(t.batch, t.low), high: pairs(t.batch, t.high), color: "var(--red)" }], marks: [{ at: batch, color: "var(--red)" }],
  });
}

function trade({ curve: { tokens_per_s_per_user: x, usd_per_mtok: y }, priced, here }, pins) {
  if (!x.length) return html("p", {}, "Only of decoding.");
  const lines = [{ name: "", color: "var(--red)", bold: true, points: pairs(x, y) }];
  pins.forEach((pin, i) => pin && lines.push({ name: `pin ${i + 1}`, color: "var(--grey)", dashed: true, points: pairs(pin.curve.tokens_per_s_per_user, pin.curve.usd_per_mtok) }));
  const fast = x.indexOf(Math.max(...x)), slow = y.indexOf(Math.min(...y)), dots = [[fast, "fast"], [slow, "slow"]].map(([i, name]) => ({ point: [x[i], y[i]], radius: 6, color: "var(--blue)", name: `${name}` }));
  if (here) dots.push({ point: [here.tokens_per_s_per_user, here.usd_per_mtok], radius: 7, color: "var(--red)", name: "here" });
  return plot({
    title: "Cost of a million output tokens against tokens per second of a user, along the batches that fit; fast and slow mode marked",
    x: { log: true, range: span(x, 1.25), label: "tokens/s of a user", show: (v) => digits(v) }, y: { log: true, range: span(y, 1.5), label: priced ? "$/Mtok" : "chip-s/Mtok", show: (v) => (priced ? `$${digits(v)}` : digits(v)) },
    lines, dots,
  });
}

// Another model or system wants another layout: the planner's best takes its place.
async function changed(field, state, { refill, redraw, problem }) {
  if (field.name === "model" || field.name === "system") {
    Object.assign(state, { sparsity: "", domain: "" });
    const flat = fields.flatMap((each) => each.group ?? [each]).filter(({ name }) => !LAYOUT.includes(name) && name !== "batch");
    problem.replaceChildren(el("p", { role: "status" }, "Looking for the best layout …"));
    try {
      const best = (await ask("plan", { ...asked(flat, state), top: 1 })).plans[0];
      for (const name of LAYOUT) state[name] = String(best.layout[name]);
      state.batch = String(best.batch);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
    problem.replaceChildren();
    refill();
  }
  redraw();
}

const opened = (main) => view(main, page);
export { opened as show };
