// Training: step time, memory and cost of a job by layout.
import { model, own, system } from "../controls.js";
import { el, table } from "../dom.js";
import { digits, show } from "../format.js";
import { plot, span } from "../plot.js";
import { facts, figure, view } from "../view.js";

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
const COLORS = ["var(--blue)", "var(--orange)", "var(--green)", "var(--purple)", "var(--red)", "var(--grey)"];

const page = {
  title: "Training", command: "train", slow: true, fields,
  lead: "What a training step takes and holds on the best layouts, how many days the job lasts, and what it costs.",
  trust: "intervals are those of published runs that were left out; a framework or a chip that nobody published is less certain. Restarts follow the failure rate of the catalogue.",
  facts: (a) => {
    const p = a.plans[0];
    return [["best layout", layout(p)], ["step", p.step_s, "s"], ["at least", p.low_s, "s"], ["at most", p.high_s, "s"], ["floor", p.floor_s, "s"], ["bound by", p.binding], ["HFU", `${digits(100 * p.hfu)}%`], ["days", p.days, "1"], ["cost", p.usd, "USD"], ["memory", p.memory_bytes, "B"], ["layouts searched", a.evaluated, "1"]].filter(([, value]) => value !== null && value !== undefined);
  },
  rows: (a) => ({ names: ["layout", "step_s", "low_s", "high_s", "tokens_per_s_per_chip", "hfu", "days", "usd", "memory_bytes"], rows: a.plans.map((p) => [layout(p), p.step_s, p.low_s, p.high_s, p.tokens_per_s_per_chip, p.hfu, p.days, p.usd, p.memory_bytes]) }),
  draw: (a, { params, pins }) => [
    facts(page.facts(a), params),
    el("div", { class: "pictures" }, figure("Time against memory: the layouts on the front", front(a, pins)), figure("Where the memory of the best goes", bars(a.plans[0].memory_parts_bytes, "B")), figure("Where the time of the best goes", bars(a.plans[0].time_s, "s"))),
    table([["layout", false], ["step", true], ["80% interval", true], ["tok/s/chip", true], ["HFU", true], ["days", true], ["cost", true], ["memory", true], ["recompute", false], ["schedule", false]], a.plans.map((p) => [layout(p), show(p.step_s, "s"), `${show(p.low_s, "s")} – ${show(p.high_s, "s")}`, digits(p.tokens_per_s_per_chip), `${digits(100 * p.hfu)}%`, digits(p.days), show(p.usd, "USD"), show(p.memory_bytes, "B"), p.recompute, p.schedule]), "Layouts"),
  ],
};

function front(a, pins) {
  const line = (of) => [...of.front].sort((one, two) => one.memory_bytes - two.memory_bytes).map((row) => [row.memory_bytes, row.step_s]), here = line(a);
  return plot({
    title: "Seconds of a step against memory of a chip: layouts that no other beats in both",
    x: { log: true, range: span(here.map(([x]) => x), 1.2), label: "memory of a chip", show: (v) => show(v, "B") }, y: { log: true, range: span(here.map(([, y]) => y), 1.2), label: "time of a step", show: (v) => show(v, "s") },
    lines: [{ points: here, color: "var(--red)", bold: true, name: "" }, ...pins.flatMap((pin, i) => (pin ? [{ points: line(pin), color: "var(--grey)", dashed: true, name: `pin ${i + 1}` }] : []))],
    dots: here.map((point, i) => ({ point, color: "var(--red)", radius: 4, name: a.front[i].layout })),
  });
}

function bars(parts, unit) {
  const rows = Object.entries(parts).filter(([, value]) => typeof value === "number" && value > 0);
  const most = Math.max(...rows.map(([, value]) => value));
  return plot({
    title: rows.map(([name, value]) => `${name} ${show(value, unit)}`).join(", "),
    x: { log: false, range: [0, most * 1.5], label: "", show: (v) => show(v, unit) }, y: { log: false, range: [0, rows.length + 0.6], label: "", show: () => "" },
    lines: rows.map(([name, value], i) => ({ points: [[0, rows.length - i], [value, rows.length - i]], color: COLORS[i % COLORS.length], bold: true, name: "" })),
    dots: rows.map(([name, value], i) => ({ point: [value, rows.length - i], radius: 5.6, color: COLORS[i % COLORS.length], name: `${name.replace(/_(s|bytes)$/, "")} ${show(value, unit)}` })),
  });
}

const opened = (main) => view(main, page);
export { opened as show };
