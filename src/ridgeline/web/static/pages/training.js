// Training: step time, memory and cost of a job by layout.
import { model, own, system } from "../controls.js";
import { el, table } from "../dom.js";
import { between, number } from "../explain.js";
import { digits, show } from "../format.js";
import { bars, plot, span } from "../plot.js";
import { facts, figure, parted, pictures } from "../view.js";
import { lifetime } from "./lifetime.js";
import { pipeline } from "./pipeline.js";

const fields = [
  model("llama-3-70b"), system("hgx-h100"),
  { name: "chips", label: "Chips of the job", value: "512", stops: ["8", "16", "32", "64", "128", "256", "512", "1024", "2048", "4096", "8192", "16384"] },
  { name: "tokens", label: "Tokens to train on", empty: "20 per parameter" },
  { name: "seq", label: "Tokens of a sequence", value: "4096" }, { name: "batch", label: "Sequences of a step", empty: "about 4 million tokens" },
  { name: "dtype", label: "Format of the matrices", options: [["", "bf16"], ["fp8"], ["mxfp8"], ["nvfp4"]] },
  { name: "recompute", label: "Recompute", options: [["", "searched"], ["none"], ["selective"], ["full"]] },
  { name: "zero", label: "Shared out by data ranks", options: [["", "searched"], ["0", "nothing"], ["1", "optimizer"], ["2", "and gradients"], ["3", "and weights"]] },
  { name: "schedule", label: "Pipeline schedule", options: [["", "1f1b"], ["gpipe"], ["zb-h1"], ["zb-v"], ["dualpipe"]] },
  ...own,
];
const layout = (p) => ["tp", "pp", "vp", "cp", "ep", "dp"].filter((name) => p[name] > 1).map((name) => `${name}${p[name]}`).join(" ") + ` mb${p.micro_batch} zero${p.zero}`;

const DOUBT = "Fitted to published runs and tested on those that were left out: trust it less for frameworks, chips and sizes unlike them.";

// Where a layout's numbers come from: sums of parts, each a law of its own.
function origins(a, p) {
  const parts = (of, unit, source) => Object.entries(of).filter(([, value]) => value > 0).map(([name, value]) => [name.replaceAll(/[ -]/g, "_"), show(value, unit), source]);
  const time = parts(p.time_s, "s", "of the step's operations and messages, with fitted constants"), held = parts(p.memory_parts_bytes, "B", "of the fullest chip");
  const sum = (rows) => rows.map(([name]) => name).join(" + "), interval = `${show(p.low_s, "s")} to ${show(p.high_s, "s")}: four of five runs that were left out`;
  const step = ["step", show(p.step_s, "s"), "see step"], chips = ["chips", String(a.chips), "--chips"];
  return {
    step: { text: "time of one optimiser step, all micro-batches", formula: sum(time), inputs: time, interval, trust: DOUBT },
    bound: { text: "bounds of the interval: errors of runs that the constants had not seen", formula: "step * exp(error)", inputs: [step], interval, trust: DOUBT },
    floor: { text: "the same at peak rates with all messages hidden: no machine is faster", formula: "flop / (chips * peak)", inputs: [chips] },
    hfu: { text: "share of the peak that the step's arithmetic reaches", formula: "flop / (step * chips * peak)", inputs: [step, chips, ...Object.entries(p.mfu).map(([name, value]) => [name, `${digits(100 * value)}%`, "the same as others count it"])], trust: DOUBT },
    days: { text: "time to train on all tokens, restarts and checkpoints included", formula: "tokens / tokens_of_a_step * step / goodput", inputs: [step, ["goodput", `${digits(100 * a.goodput)}%`, `failure rate of the catalogue, a checkpoint every ${show(a.checkpoint_interval_s, "s")}`]], trust: DOUBT },
    usd: { text: "price of the chips for that time", formula: "days * chips * price", inputs: [["days", digits(p.days), "see days"], chips, ["price", p.usd ? show(p.usd / (p.days * 86400 * a.chips), "USD/s") : "–", "per chip; the catalogue's, or --price"]], trust: DOUBT },
    memory: { text: "memory of the fullest chip", formula: sum(held), inputs: held, interval: `${digits(100 * p.out_of_memory_chance)}% chance that it does not fit`, trust: "Frameworks keep buffers of their own; fragmentation differs from run to run." },
    rate: { text: "tokens per second and chip", formula: "tokens_of_a_step / step / chips", inputs: [step, chips], trust: DOUBT },
    searched: { text: "layouts that were evaluated: all that divide the model and the chips", inputs: [["fit", String(a.fitting), "of them in memory"]], trust: "A count: exact." },
  };
}

const train = {
  tab: "Step and layout", presets: [["a frontier run", "model=deepseek-v3&chips=2048&dtype=fp8"], ["beyond Chinchilla", "model=llama-3-8b&chips=512&tokens=15T"], ["deep pipelines", "model=llama-3.1-405b&chips=16384"], ["recompute all", "recompute=full"]],
  title: "Training", command: "train", slow: true, fields,
  lead: "What a training step takes and holds on the best layouts, how many days the job lasts, and what it costs.",
  trust: "intervals are those of published runs that were left out; a framework or a chip that nobody published is less certain. Restarts follow the failure rate of the catalogue.",
  facts: (a) => {
    const p = a.plans[0], of = origins(a, p);
    return [["best layout", layout(p)], ["step", p.step_s, "s", of.step], ["at least", p.low_s, "s", of.bound], ["at most", p.high_s, "s", of.bound], ["floor", p.floor_s, "s", of.floor], ["bound by", p.binding], ["HFU", `${digits(100 * p.hfu)}%`, "", of.hfu], ["days", p.days, "1", of.days], ["cost", p.usd, "USD", of.usd], ["memory", p.memory_bytes, "B", of.memory], ["layouts searched", a.evaluated, "1", of.searched]].filter(([, value]) => value !== null && value !== undefined);
  },
  rows: (a) => ({ names: ["layout", "step_s", "low_s", "high_s", "tokens_per_s_per_chip", "hfu", "days", "usd", "memory_bytes"], rows: a.plans.map((p) => [layout(p), p.step_s, p.low_s, p.high_s, p.tokens_per_s_per_chip, p.hfu, p.days, p.usd, p.memory_bytes]) }),
  draw: (a, { params, pins }) => [
    facts(train.facts(a), params),
    pictures(figure("Time against memory: the layouts on the front", front(a, pins)), figure("Where the memory of the best goes", bars(a.plans[0].memory_parts_bytes, (v) => show(v, "B"))), figure("Where the time of the best goes", bars(a.plans[0].time_s, (v) => show(v, "s")))),
    table([["layout", false], ["step", true], ["80% interval", true], ["tok/s/chip", true], ["HFU", true], ["days", true], ["cost", true], ["memory", true], ["recompute", false], ["schedule", false]], a.plans.map((p) => { const of = origins(a, p), cell = (text, key) => number(text, { name: key, ...of[key] }); return [layout(p), cell(show(p.step_s, "s"), "step"), between(show(p.low_s, "s"), show(p.high_s, "s"), { name: "80% interval", ...of.bound }), cell(digits(p.tokens_per_s_per_chip), "rate"), cell(`${digits(100 * p.hfu)}%`, "hfu"), cell(digits(p.days), "days"), cell(show(p.usd, "USD"), "usd"), cell(show(p.memory_bytes, "B"), "memory"), p.recompute, p.schedule]; }), "Layouts"),
    el("p", {}, "Its pipeline: ", el("a", { href: pipelined(a.plans[0]) }, "as a diagram"), "."),
  ],
};

const pipelined = (p) => `/training?${new URLSearchParams({ part: "pipeline", schedule: p.vp > 1 ? "interleaved" : p.schedule, stages: String(Math.max(2, p.pp)), ...(p.vp > 1 ? { virtual: String(p.vp) } : {}) })}`;

function front(a, pins) {
  const line = (of) => [...of.front].sort((one, two) => one.memory_bytes - two.memory_bytes).map((row) => [row.memory_bytes, row.step_s]), here = line(a);
  return plot({
    title: "Seconds of a step against memory of a chip: layouts that no other beats in both",
    x: { log: true, range: span(here.map(([x]) => x), 1.2), label: "memory of a chip", show: (v) => show(v, "B") }, y: { log: true, range: span(here.map(([, y]) => y), 1.2), label: "time of a step", show: (v) => show(v, "s") },
    lines: [{ points: here, color: "var(--red)", bold: true, name: "" }, ...pins.flatMap((pin, i) => (pin ? [{ points: line(pin), color: "var(--grey)", dashed: true, name: `pin ${i + 1}` }] : []))],
    dots: here.map((point, i) => ({ point, color: "var(--red)", radius: 4, name: a.front[i].layout })),
  });
}

const opened = parted([train, pipeline, lifetime]);
export { opened as show };
