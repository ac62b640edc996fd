// Plan: which layout and batch to run, why the others lose, and the command that starts the best.
import { ask, Refused } from "../api.js";
import { formats, model, own, system } from "../controls.js";
import { el, html, table } from "../dom.js";
import { ESTIMATE, FACT, number } from "../explain.js";
import { digits, show } from "../format.js";
import { plot, span } from "../plot.js";
import { facts, figure, pictures, view } from "../view.js";

const fields = [
  model("deepseek-v3"), system("gb200-nvl72"),
  { name: "chips", label: "Chips", empty: "the system's" },
  { name: "isl", label: "Prompt, tokens", value: "4096" }, { name: "osl", label: "Answer, tokens", value: "1024" },
  { name: "tpot", label: "Time per output token at most", value: "25ms" }, { name: "ttft", label: "Time to first token at most", empty: "no limit, or 2s" },
  { name: "objective", label: "Best is", options: [["", "cheapest"], ["speed", "fastest"]], value: "" },
  { name: "top", label: "Plans shown", value: "5" }, ...formats, ...own,
];
const degrees = (l) => ["tp", "pp", "dp", "ep", "cp"].filter((name) => l[name] > 1).map((name) => `${name}${l[name]}`).join(" ") || "one chip";
const named = (p) => (p.deployment.prefill ? `prefill ${degrees(p.deployment.prefill.layout)}; decode ${degrees(p.layout)}` : degrees(p.layout));
const words = (line) => [...line.matchAll(/--([a-z-]+) ('[^']*'|\S+)/g)].map(([, name, value]) => [name.replaceAll("-", "_"), value.replace(/^'|'$/g, "")]);

// Where a plan's numbers come from: of one engine, those of its point; of two pools, what their pools give.
function origins(p, params) {
  const d = p.deployment, at = { ...Object.fromEntries(words(p.line)), model: params.model, system: params.system };
  const point = (number) => ({ number, params: at }), one = d.mode === "aggregated";
  const output = show(p.usd_per_output_token_estimate, "USD"), own = d.prefill && show(d.prefill.estimate_s, "s");
  const pools = (text, formula, inputs) => ({ text, formula, inputs, trust: ESTIMATE, see: { number: "decode_estimate_s", params: at } });
  const interval = `${show(d.tpot_interval_s.low_s, "s")} to ${show(d.tpot_interval_s.high_s, "s")}: four of five measurements`;
  const rate = ["requests_per_s", show(d.requests_per_s, "req/s"), one ? "of all replicas" : "the slower of the two pools"], chips = ["chips", String(d.chips), one ? "of all replicas" : "of both pools"];
  const osl = ["osl", params.osl ?? "1024", "--osl"], isl = ["isl", params.isl ?? "4096", "--isl"], price = ["price", show(p.usd_per_chip_s, "USD/s"), "of a chip: the catalogue's, or --price"];
  const bounds = { text: "bounds of the estimate: four of five held-out measurements lie between them", inputs: [["tpot", show(d.tpot_s, "s"), "see TPOT"], ["decode_low", show(p.decode_low_s, "s"), "of a decode step"], ["decode_high", show(p.decode_high_s, "s"), "of a decode step"], ["decode_estimate", show(p.decode_estimate_s, "s"), "of a decode step"]], trust: ESTIMATE, see: point("decode_estimate_s") };
  const count = p.chips_used / p.replicas;
  return {
    tpot: one ? point("tpot_estimate_s") : { ...pools("time per output token of a user: a step of the decode pool, over the tokens gained in it", "decode_estimate / accepted", [["decode_estimate", show(p.decode_estimate_s, "s"), "step of the decode pool"], ["accepted", digits(p.decode_estimate_s / d.tpot_s), "tokens of a step, --accepted"]]), interval },
    low: { ...bounds, formula: "tpot * decode_low / decode_estimate" }, high: { ...bounds, formula: "tpot * decode_high / decode_estimate" },
    chips: one ? { text: "chips of all replicas", formula: "replicas * chips_of_one", inputs: [["replicas", String(p.replicas), "as many as the chips allow"], ["chips_of_one", String(count), degrees(p.layout)]], trust: FACT } : { text: "chips of both pools, sized so that both are about as fast", formula: "prefill + decode", inputs: [["prefill", String(d.chips - p.chips_used), `${d.prefill_replicas} x ${degrees(d.prefill.layout)}`], ["decode", String(p.chips_used), `${p.replicas} x ${degrees(p.layout)}`]], trust: FACT },
    floor: point(one ? "tpot_s" : "decode_tpot_s"),
    ttft: one ? point("ttft_estimate_s") : pools("time to first token: a prompt's own prefill, its wait for others in the prefill pool, and the transfer of its cache", "prefill + waits", [["prefill", own, `step of the prefill pool, ${d.prefill.batch} prompts`], ["waits", show(d.ttft_s - d.prefill.estimate_s, "s"), "queue of the prefill pool at this rate, and the transfer"]]),
    user: one ? point("tokens_per_s_per_user_estimate") : pools("tokens per second that a user sees", "1 / TPOT", [["TPOT", show(d.tpot_s, "s"), "of the decode pool"]]),
    chip: one ? point("output_tokens_per_s_per_chip_estimate") : pools("output tokens per second of all chips, per chip", "requests_per_s * (osl - 1) / chips", [rate, osl, chips]),
    input: one ? point("usd_per_input_token_estimate") : pools("price of all chips over the requests, less what output tokens take, over the prompt", "(price * chips / requests_per_s - output * (osl - 1)) / isl", [price, chips, rate, ["output", output, "see $/Mtok out, of one token"], osl, isl]),
    output: point("usd_per_output_token_estimate"),
    batch: { text: "sequences in a replica at once: of all batches up to what fits in memory the best within the limits", formula: "argmin(cost of a request | TPOT <= tpot_limit, memory <= capacity)", inputs: [["tpot_limit", params.tpot || "no limit", "--tpot"], ["capacity", show(p.memory_capacity_bytes, "B"), "of a chip, less what is left free"]], trust: ESTIMATE, see: point("memory_used_bytes") },
  };
}

const PRESETS = [
  ["fast mode", "tpot=10ms&objective=speed"], ["slow mode", "tpot=&top=5"], ["dense model", "model=llama-3-70b&system=hgx-h100"],
  ["long prompts", "isl=128k&osl=1k&tpot=50ms"], ["one rack of eight", "model=deepseek-v3&system=hgx-h200"],
];

const page = {
  title: "Plan", command: "plan", python: "plan", slow: true, fields, presets: PRESETS,
  lead: "The best layouts and batches within the limits, one engine against two pools, and why the others lose.",
  trust: "all but the column of floors are estimates, with intervals of 80%; layouts within a few percent of each other are equal for all this can tell: measure both.",
  facts: (a, params = {}) => {
    const best = a.plans[0], d = best.deployment, of = origins(best, params);
    const searched = { text: "layouts, batches and sizes of a prefill step that were evaluated; all that the model's divisors and the chips allow", formula: "sum over layouts of the batches that fit", inputs: [["layouts", String(a.layouts), "that divide the model and fit"]], trust: "A count: exact." };
    return [["best layout", named(best)], ["batch", best.batch, "1", of.batch], ["TPOT", d.tpot_s, "s", of.tpot], ["TTFT", d.ttft_s, "s", of.ttft], ["tok/s per user", d.tokens_per_s_per_user, "tok/s", of.user], ["tok/s per chip", d.output_tokens_per_s_per_chip, "tok/s", of.chip], ["input", d.usd_per_input_token, "USD/tok", of.input], ["output", d.usd_per_output_token, "USD/tok", of.output], ["points searched", a.evaluated, "1", searched]].filter(([, value]) => value !== null && value !== undefined);
  },
  rows: (a) => ({ names: ["layout", "batch", "chips", "tpot_s", "ttft_s", "tokens_per_s_per_user", "output_tokens_per_s_per_chip", "usd_per_input_token", "usd_per_output_token", "why"], rows: a.plans.map((p) => [named(p), p.batch, p.deployment.chips, p.deployment.tpot_s, p.deployment.ttft_s, p.deployment.tokens_per_s_per_user, p.deployment.output_tokens_per_s_per_chip, p.deployment.usd_per_input_token, p.deployment.usd_per_output_token, p.why]) }),
  draw: (a, { params, pins }) => {
    const board = (p) => `/board?${new URLSearchParams({ ...Object.fromEntries(words(p.line)), model: params.model, system: params.system, tp: p.layout.tp, pp: p.layout.pp, dp: p.layout.dp, ep: p.layout.ep, batch: p.batch, context: String(Number(params.isl ?? 4096) + Number(params.osl ?? 1024) / 2) })}`;
    const columns = [["layout", false], ["chips", true], ["batch", true], ["TPOT", true], ["80% interval", true], ["floor", true], ["TTFT", true], ["tok/s/user", true], ["tok/s/chip", true], ["$/Mtok in", true], ["$/Mtok out", true], ["why it loses", false]];
    const rows = a.plans.map((p) => {
      const d = p.deployment, of = origins(p, params), cell = (text, key) => number(text, of[key].number ? of[key] : { name: key, ...of[key] });
      return [el("a", { href: board(p) }, named(p)), cell(String(d.chips), "chips"), cell(digits(p.batch), "batch"), cell(show(d.tpot_s, "s"), "tpot"), html("span", {}, cell(show(d.tpot_interval_s.low_s, "s"), "low"), " – ", cell(show(d.tpot_interval_s.high_s, "s"), "high")), cell(show(p.tpot_s, "s"), "floor"), cell(show(d.ttft_s, "s"), "ttft"), cell(digits(d.tokens_per_s_per_user), "user"), cell(digits(d.output_tokens_per_s_per_chip), "chip"), d.usd_per_input_token === null ? "–" : cell(digits(d.usd_per_input_token * 1e6), "input"), d.usd_per_output_token === null ? "–" : cell(digits(d.usd_per_output_token * 1e6), "output"), p.why || "the best"];
    });
    return [facts(page.facts(a, params), params), pictures(figure("The front: cost of a request against speed", front(a, pins))), el("h2", {}, "Plans, the best first"), table(columns, rows, "Plans"), el("p", { class: "note" }, "A layout opens on the Blackboard."), launch(params)];
  },
};

const cost = (row) => row.usd_per_request_estimate ?? row.chip_s_per_request_estimate;

function front(a, pins) {
  const line = (rows) => rows.map((row) => [1 / row.tpot_estimate_s, cost(row)]), priced = a.front.some((row) => row.usd_per_request_estimate), here = line(a.front);
  const best = a.plans[0].deployment;
  return plot({
    title: "Cost of a request against tokens per second of a user: the best that any deployment can do",
    x: { log: true, range: span(here.map(([x]) => x), 1.2), label: "tokens/s of a user", show: (v) => digits(v) },
    y: { log: true, range: span(here.map(([, y]) => y), 1.5), label: priced ? "$ per request" : "chip-s per request", show: (v) => (priced ? `$${digits(v)}` : digits(v)) },
    lines: [{ points: here, color: "var(--red)", bold: true, name: "" }, ...pins.filter(Boolean).map((pin, i) => ({ points: line(pin.front), color: "var(--grey)", dashed: true, name: `pin ${i + 1}` }))],
    dots: [{ point: [best.tokens_per_s_per_user, best.usd_per_request ?? best.chip_s_per_request], color: "var(--red)", radius: 7, name: "best" }],
  });
}

function launch(params) {
  const place = el("div", { role: "status" }), engines = ["vllm", "sglang", "dynamo"];
  const open = async (engine) => {
    place.replaceChildren(el("p", {}, "Working …"));
    try {
      const found = await ask("plan", { ...params, emit: engine });
      place.replaceChildren(el("p", { class: "note" }, `${found.engine} ${found.version}`), el("pre", { tabindex: "0" }, found.script));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      place.replaceChildren(el("p", { class: "error" }, error.message));
    }
  };
  return el("section", { "aria-label": "Launch command" }, el("h2", {}, "Launch the best"), el("div", { class: "row" }, engines.map((engine) => el("button", { type: "button", onclick: () => open(engine) }, engine))), place);
}

const opened = (main) => view(main, page);
export { opened as show };
