// Traffic: replicas under a stream of requests, simulated step by step.
import { formats, model, own, powers, system } from "../controls.js";
import { el, table } from "../dom.js";
import { number } from "../explain.js";
import { digits, show } from "../format.js";
import { plot } from "../plot.js";
import { facts, figure, pictures, view } from "../view.js";

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

const WORDS = {
  ttft_s: ["from a request's arrival to its first token", "first_token - arrival"],
  tpot_s: ["mean time between a request's output tokens", "(last_token - first_token) / (osl - 1)"],
  itl_s: ["time between any two successive tokens", "token - token_before"],
  e2e_s: ["from a request's arrival to its last token", "last_token - arrival"],
  wait_s: ["from a request's arrival until it is first computed on", "first_step - arrival"],
};
const DOUBT = "Arrivals and lengths are drawn from the distributions given and steps take their estimates; a quantile of few requests moves with the seed: try another, or more requests. Past saturation times grow with the length of the run.";
const mean = (text) => Number(/mean=([\d.]+)/.exec(text)?.[1] ?? text);

// Where a simulated number comes from: its definition, the run, and the step in the middle of it.
function origin(a, params, text, formula, inputs = []) {
  const run = [["completed", String(a.completed), "requests of this run"], ["scheduler", a.scheduler, `${a.max_num_batched_tokens} tokens a step, ${a.max_num_seqs} sequences, blocks of ${a.block_size}`], ["arrivals", params.arrivals ?? "poisson", `${params.rate ?? ""} per second, seed ${params.seed ?? 0}`]];
  const { model: of, system: on, chips, tp, weights, kv, price, set } = params, context = Math.round(mean(params.isl) + mean(params.osl) / 2);
  const at = { model: of, system: on, chips, tp, weights, kv, price, set, batch: String(Math.max(1, Math.round(a.concurrency / a.replicas))), context: String(context) };
  const see = context > 0 ? { number: "decode_estimate_s", params: Object.fromEntries(Object.entries(at).filter(([, value]) => value)) } : null;
  return { text, formula, inputs: [...inputs, ...run], see, trust: DOUBT, interval: `steps follow the estimate's law within ${digits(100 * a.law_deviation)}%; the estimate's own interval is that of the step below` };
}
const timed = (a, params, key, at) => {
  const share = QUANTILES.find(([name]) => name === at)?.[1], over = ["n", a.completed.toLocaleString("en-US"), "requests that were served"];
  const [text, formula] = WORDS[key];
  return origin(a, params, `${at} over all requests: ${text}`, at === "mean" ? `mean(${formula} | n requests)` : `quantile(${formula} | n requests, q)`, [over, ...(at === "mean" ? [] : [["q", String(share), at]])]);
};

const PRESETS = [
  ["little load", "rate=5.7"], ["short of saturation", "rate=90"], ["overloaded", "rate=256"], ["bursts", "arrivals=burst%3Asize%3D10"],
  ["long prompts", "isl=32k&rate=1&slo="],
];

const page = {
  title: "Traffic", command: "simulate", slow: true, fields, presets: PRESETS, presetsOf: "Try",
  lead: "A stream of requests on an engine's own scheduler: how long they wait, how fast they are answered, what is used.",
  trust: "arrivals and lengths are drawn from the distributions given; real users come in bursts and repeat prompts. Past saturation times grow with the length of the run and say nothing else.",
  facts: (a, params = {}) => {
    const of = (...told) => origin(a, params, ...told), time = (label, key, at) => [label, a[key][at], "s", timed(a, params, key, at)];
    return [
      ["requests", a.requests, "1", of("requests that arrive in this run", "requests", [["requests", String(a.requests), "--requests"]])], ["refused", a.refused, "1", of("requests that do not fit in the cache at all", "requests longer than blocks * block_size tokens", [["blocks", a.kv_blocks.toLocaleString("en-US"), "memory left by weights and activations"], ["block_size", String(a.block_size), "tokens"]])], ["duration", a.duration_s, "s", of("from the first arrival to the last token", "requests / requests_per_s", [["requests", String(a.completed), "served"], ["requests_per_s", show(a.requests_per_s, "req/s"), "of the run"]])],
      time("TTFT p50", "ttft_s", "p50"), time("TTFT p99", "ttft_s", "p99"), time("TPOT p50", "tpot_s", "p50"), time("TPOT p99", "tpot_s", "p99"),
      ["goodput", a.goodput_per_s, "req/s", of("requests per second that keep the objectives", "kept / duration", [["kept", show(Math.round(a.goodput_per_s * a.duration_s), "1"), "requests"], ["duration", show(a.duration_s, "s"), "of the run"], ["objectives", params.slo || "none", "--slo"]])],
      ["within objectives", a.attained === null ? null : `${digits(100 * a.attained)}%`, "", of("share of requests that keep the objectives", "kept / requests", [["kept", show(Math.round((a.attained ?? 0) * a.requests), "1"), "requests"], ["requests", String(a.requests), "of the run"]])],
      ["KV blocks at most", `${digits(100 * a.kv_blocks_peak / a.kv_blocks)}%`, "", of("the most blocks of the cache in use at once", "peak / blocks", [["peak", a.kv_blocks_peak.toLocaleString("en-US"), "of the run"], ["blocks", a.kv_blocks.toLocaleString("en-US"), "memory left by weights and activations"]])],
      ["in flight, mean", a.concurrency, "1", of("requests in the system, mean over time (Little's law)", "requests_per_s * e2e", [["requests_per_s", show(a.requests_per_s, "req/s"), "of the run"], ["e2e", show(a.e2e_s.mean, "s"), "mean"]])],
      ["preempted", a.preemptions, "1", of("requests thrown out for lack of cache, and computed again", "times that fewer than the blocks needed of kv_blocks were free", [["kv_blocks", a.kv_blocks.toLocaleString("en-US"), "of the cache"]])], ["output", a.usd_per_output_token, "USD/tok", of("price of the chips over the run, per output token", "price * chips * duration / output_tokens", [["output_tokens_per_s", show(a.output_tokens_per_s, "tok/s"), "of the run"], ["chips", String(a.chips), "--chips"], ["price", params.price || "the catalogue's", "--price"]])],
    ].filter(([, value]) => value !== null && value !== undefined);
  },
  rows: (a) => ({ names: ["measure", ...QUANTILES.map(([name]) => `${name}_s`), "mean_s"], rows: MEASURES.map(([label, key]) => [label, ...QUANTILES.map(([name]) => a[key][name]), a[key].mean]) }),
  draw: (a, { params, pins }) => [
    a.overloaded ? el("p", { class: "error" }, "Overloaded: more requests come than are answered, and the queue grows until the end.") : null,
    facts(page.facts(a, params), params),
    pictures(figure("Time to first token", quantiles("ttft_s", a, pins)), figure("Time per output token", quantiles("tpot_s", a, pins)), figure("Wait in the queue", quantiles("wait_s", a, pins))),
    table([["", false], ...QUANTILES.map(([name]) => [name, true]), ["mean", true]], MEASURES.map(([label, key]) => [label, ...[...QUANTILES.map(([name]) => name), "mean"].map((name) => number(show(a[key][name], "s"), { name: `${label} ${name}`, ...timed(a, params, key, name) }))]), "Times by percentile"),
    el("p", {}, "Time bound by: ", Object.entries(a.time_bound_by).map(([name, share]) => [name, share]).flatMap(([name, share], i) => [i ? ", " : "", `${name} `, number(`${digits(100 * share)}%`, { name: `bound by ${name}`, ...origin(a, params, `share of the run in steps that ${name} binds; idle: without a step`, "busy / duration", [["busy", show(share * a.duration_s, "s"), "of the run"], ["duration", show(a.duration_s, "s"), "of the run"]]) })]), "."),
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
