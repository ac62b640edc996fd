// Traffic: replicas under a stream of requests, simulated step by step.
import { formats, model, own, powers, system } from "../controls.js";
import { el, table } from "../dom.js";
import { digits, show } from "../format.js";
import { plot } from "../plot.js";
import { facts, figure, view } from "../view.js";

const fields = [
  model("llama-3-8b"), system("hgx-h100"),
  { name: "chips", label: "Chips of a replica", value: "1" }, { name: "tp", label: "Tensor parallelism", value: "1" },
  { name: "rate", label: "Requests per second", value: "20", stops: ["0.5", ...powers(1, 512, 2)] },
  { name: "requests", label: "Requests", value: "2000" },
  { name: "isl", label: "Prompt, tokens", value: "lognormal:mean=512,cv=1" }, { name: "osl", label: "Answer, tokens", value: "128" },
  { name: "arrivals", label: "Arrivals", options: [["", "poisson"], ["fixed"], ["gamma:cv=2"], ["burst:size=10"], ["at-once"]] },
  { name: "replicas", label: "Replicas", value: "1" },
  { name: "slo", label: "Objectives", value: "ttft=1s,tpot=25ms" },
  { name: "scheduler", label: "Scheduler", options: [["", "the engine's"], ["vllm"], ["sglang"]] },
  { name: "seed", label: "Seed", value: "0" }, ...formats, ...own,
];
const MEASURES = [["TTFT", "ttft_s"], ["TPOT", "tpot_s"], ["between tokens", "itl_s"], ["whole request", "e2e_s"], ["wait in the queue", "wait_s"]];
const QUANTILES = [["min", 0], ["p50", 0.5], ["p90", 0.9], ["p95", 0.95], ["p99", 0.99], ["max", 1]];

const page = {
  title: "Traffic", command: "simulate", slow: true, fields,
  lead: "A stream of requests on an engine's own scheduler: how long they wait, how fast they are answered, what is used.",
  trust: "arrivals and lengths are drawn from the distributions given; real users come in bursts and repeat prompts. Past saturation times grow with the length of the run and say nothing else.",
  facts: (a) => [["requests", a.requests, "1"], ["refused", a.refused, "1"], ["duration", a.duration_s, "s"], ["TTFT p50", a.ttft_s.p50, "s"], ["TTFT p99", a.ttft_s.p99, "s"], ["TPOT p50", a.tpot_s.p50, "s"], ["TPOT p99", a.tpot_s.p99, "s"], ["goodput", a.goodput_per_s, "req/s"], ["within objectives", a.attained === null ? null : `${digits(100 * a.attained)}%`], ["KV blocks at most", `${digits(100 * a.kv_blocks_peak / a.kv_blocks)}%`], ["in flight, mean", a.concurrency, "1"], ["preempted", a.preemptions, "1"], ["output", a.usd_per_output_token, "USD/tok"]].filter(([, value]) => value !== null && value !== undefined),
  rows: (a) => ({ names: ["measure", ...QUANTILES.map(([name]) => `${name}_s`), "mean_s"], rows: MEASURES.map(([label, key]) => [label, ...QUANTILES.map(([name]) => a[key][name]), a[key].mean]) }),
  draw: (a, { params, pins }) => [
    a.overloaded ? el("p", { class: "error" }, "Overloaded: more requests come than are answered, and the queue grows until the end.") : null,
    facts(page.facts(a), params),
    el("div", { class: "pictures" }, figure("Time to first token", quantiles("ttft_s", a, pins)), figure("Time per output token", quantiles("tpot_s", a, pins)), figure("Wait in the queue", quantiles("wait_s", a, pins))),
    table([["", false], ...QUANTILES.map(([name]) => [name, true]), ["mean", true]], MEASURES.map(([label, key]) => [label, ...QUANTILES.map(([name]) => show(a[key][name], "s")), show(a[key].mean, "s")]), "Times by percentile"),
    el("p", {}, "Time bound by: ", Object.entries(a.time_bound_by).map(([name, share]) => `${name} ${digits(100 * share)}%`).join(", "), "."),
    ...a.notes.map((note) => el("p", { class: "note" }, note)),
  ],
};

function quantiles(key, a, pins) {
  const line = (of) => QUANTILES.map(([name, q]) => [of[key][name], q]), all = [a, ...pins.filter(Boolean)];
  return plot({
    title: `Share of requests up to each time: ${key}`,
    x: { log: false, range: [0, Math.max(1e-6, ...all.map((each) => each[key].max)) * 1.05], label: "time", show: (v) => show(v, "s") },
    y: { log: false, range: [0, 1], label: "share of requests up to it", show: (v) => `${digits(100 * v)}%` },
    lines: [{ points: line(a), color: "var(--red)", bold: true, name: "now" }, ...pins.flatMap((pin, i) => (pin ? [{ points: line(pin), color: "var(--grey)", dashed: true, name: `pin ${i + 1}` }] : []))],
    dots: line(a).map((point, i) => ({ point, color: "var(--red)", radius: 4, name: QUANTILES[i][0] })),
  });
}

const opened = (main) => view(main, page);
export { opened as show };
