// Training, its lifetime: pre-training, RL and inference of one model, and how far beyond Chinchilla that leads.
import { formats, model, own, system } from "../controls.js";
import { el, table } from "../dom.js";
import { number } from "../explain.js";
import { digits, show } from "../format.js";
import { plot, span } from "../plot.js";
import { facts, figure, pictures } from "../view.js";

const fields = [
  model("llama-3-70b"), system("hgx-h100"),
  { name: "peak", label: "Tokens served per second at the peak", value: "50 Mtok/s", stops: ["100 ktok/s", "1 Mtok/s", "5 Mtok/s", "10 Mtok/s", "50 Mtok/s", "100 Mtok/s", "500 Mtok/s"] },
  { name: "life", label: "From launch to the end", value: "2 months", stops: ["1 months", "2 months", "6 months", "12 months", "24 months"] },
  { name: "ramp", label: "Time in which traffic rises", empty: "none" }, { name: "half_life", label: "Time in which it then halves", empty: "never" },
  { name: "ship", label: "Chance that it is ever served", empty: "100%" }, { name: "mfu", label: "Share of the peak in pre-training", empty: "40%" },
  { name: "rl_tokens", label: "Tokens generated in RL", empty: "none" }, { name: "tokens", label: "Tokens it was trained on", empty: "to ask backwards: 15T" },
  { name: "isl", label: "Prompt, tokens", empty: "4096" }, { name: "osl", label: "Answer, tokens", empty: "1024" }, { name: "hit", label: "Prompts from the cache", empty: "0%" },
  ...formats, ...own,
];
const DOUBT = "Scaling laws end at about 340 tokens per parameter and 16e9 parameters: beyond that they are drawn on. Laws differ by more than their own intervals; the spread over them is the honest answer.";

function origins(a) {
  const served = ["served", show(a.served_tok, "tok"), "peak and life of the traffic"], size = ["N", show(a.active_parameters, "1"), "active parameters of the model"];
  const kinds = a.kinds.map((kind) => [`flop_${kind.name}`, digits(kind.flop_per_parameter_and_tok), `FLOP per parameter and ${kind.name} token, by its cost on ${a.layout}; ${digits(100 * kind.share)}% of the tokens`]);
  const flop = ["flop_served", digits(a.kinds.reduce((sum, kind) => sum + kind.share * kind.flop_per_parameter_and_tok, 0)), "FLOP per parameter and served token, mean of the kinds below"];
  return {
    served: { text: "tokens of all kinds over the model's life", formula: a.kinds.map(({ name }) => name.replaceAll(" ", "_")).join(" + "), inputs: a.kinds.map((kind) => [kind.name.replaceAll(" ", "_"), show(kind.tokens_tok, "tok"), `${digits(100 * kind.share)}% of the traffic that --peak, --life and --ship give`]), trust: "Nobody knows their traffic in advance." },
    thirds: { text: "tokens to train on by the lecture's rule: pre-training, RL and serving cost a third each; 6 FLOP per parameter and trained token", formula: "served * flop_served / 6", inputs: [served, flop, ...kinds], trust: DOUBT },
    halves: { text: "tokens to train on if pre-training and RL, equal to each other, together cost what serving does", formula: "served * flop_served / 12", inputs: [served, flop, ...kinds], trust: DOUBT },
    over: { text: "tokens to train on over those of Chinchilla's rule of 20 per parameter: middle over the scaling laws", formula: "tokens / (20 * N)", inputs: [size, served], interval: `${digits(a.over_training.low)}x to ${digits(a.over_training.high)}x over laws, traffic and costs`, trust: DOUBT },
  };
}
const law = (a, each, text, formula) => ({ name: `${each.law}: ${text}`, text: `${text}: the loss of the model stays, and training, RL and serving together cost the least`, formula, inputs: [["tokens", show(each.tokens_tok, "tok"), "where the law's cost is least"], ...Object.entries(SHARES).map(([name, part]) => [part, `${digits(100 * each[name])}%`, "of the cost there"]), ["law", each.law, "as published; `ridgeline scaling` lists its constants"], ["N", show(a.active_parameters, "1"), "active parameters"], ["served", show(a.served_tok, "tok"), "traffic"]], interval: each.over_training_low ? `${digits(each.over_training_low)}x to ${digits(each.over_training_high)}x, by the fit's own uncertainty` : null, trust: DOUBT });

const SHARES = { pre_training_share: "pre_training", rl_share: "RL", inference_share: "serving" };

// A kind of token: its share of the traffic, its cost on the serving layout, and that cost as arithmetic.
function kindly(a, kind) {
  const told = (what, text, formula, inputs) => ({ name: `${kind.name} tokens: ${what}`, text, formula, inputs, trust: DOUBT }), served = ["served", show(a.served_tok, "tok"), "all kinds, over the life"];
  const cost = ["usd_per_tok", show(kind.usd_per_tok, "USD/tok"), `estimate on ${a.layout}`];
  return [kind.name, number(`${digits(100 * kind.share)}%`, told("share", "of the tokens that are served", "tokens / served", [["tokens", show(kind.tokens_tok, "tok"), "prompt or answer of a request, --isl and --osl"], served])),
    number(show(kind.usd_per_tok, "USD/tok"), told("cost", `price of the chips of ${a.layout} for the time that a token of this kind takes`, "flop * N * usd_per_training_flop", [["flop", digits(kind.flop_per_parameter_and_tok), "per parameter and token, column beside"], ["N", show(a.active_parameters, "1"), "active parameters"], ["usd_per_training_flop", digits(kind.usd_per_tok / kind.flop_per_parameter_and_tok / a.active_parameters), "price of a chip over its FLOP/s in training, --price and --mfu"]])),
    number(digits(kind.flop_per_parameter_and_tok), told("FLOP per parameter and token", "arithmetic that the same money buys in training: 2 if serving were as efficient as training", "2 / efficiency", [["efficiency", digits(kind.efficiency), "of serving over training: FLOP per dollar"], cost]))];
}

export const lifetime = {
  part: "lifetime", tab: "Lifetime and over-training", title: "Training", command: "lifetime", slow: true, fields,
  presets: [["beyond Chinchilla", "part=lifetime"], ["Llama 3, backwards", "part=lifetime&model=llama-3-8b&tokens=15T"], ["with RL", "part=lifetime&rl_tokens=10T"], ["little traffic", "part=lifetime&peak=100+ktok%2Fs"]],
  lead: "A model is trained once and served for its life: how many tokens to train it on, how far that is beyond Chinchilla, and what each part costs.",
  trust: DOUBT,
  facts: (a) => {
    const of = origins(a);
    return [["served in its life", a.served_tok, "tok", of.served], ["train on: a third each", a.thirds_tok, "tok", of.thirds], ["serving half of all", a.halves_tok, "tok", of.halves], ["over-training", `${digits(a.over_training.median)}x`, "", of.over], ["at least", `${digits(a.over_training.low)}x`, "", of.over], ["at most", `${digits(a.over_training.high)}x`, "", of.over], ["served on", a.layout]];
  },
  rows: (a) => ({ names: Object.keys(a.laws[0]), rows: a.laws.map((each) => Object.values(each)) }),
  draw: (a, { params, pins }) => [
    facts(lifetime.facts(a), params),
    pictures(figure("Over-training by scaling law", laws(a, pins)), figure("Which unknown moves it: one at a time", tornado(a)), figure("Where the cost goes, by law", shares(a))),
    table([["law", false], ["tokens", true], ["over Chinchilla's rule", true], ["over its own optimum", true], ["pre-training", true], ["RL", true], ["serving", true], ["traffic it was trained for", true]], a.laws.map((each) => [each.law, number(show(each.tokens_tok, "tok"), law(a, each, "tokens to train on", "argmin(pre_training + RL + serving at the loss of N)")), number(`${digits(each.over_training)}x`, law(a, each, "over-training", "tokens / (20 * N)")), number(`${digits(each.tokens_over_own_optimum)}x`, law(a, each, "over its own optimum", "tokens / tokens_of_the_law's_own_optimum_at_N")), ...Object.keys(SHARES).map((name) => number(`${digits(100 * each[name])}%`, law(a, each, `share of ${SHARES[name]}`, `${SHARES[name]} / (pre_training + RL + serving)`))), each.implied_served_tok === null ? "–" : number(show(each.implied_served_tok, "tok"), law(a, each, "traffic it was trained for", "served at which tokens are the optimum"))]), "Scaling laws"),
    table([["tokens", false], ["share", true], ["cost", true], ["FLOP per parameter and token", true]], a.kinds.map((kind) => kindly(a, kind)), "Kinds of tokens"),
  ],
};

const ranked = (count, i) => count - i;

function laws(a, pins) {
  const y = (i) => ranked(a.laws.length, i), others = pins.filter(Boolean);
  return plot({
    title: "Tokens over Chinchilla's rule of 20 per parameter, by scaling law",
    x: { log: true, range: span([...a.laws.flatMap((each) => [each.over_training, each.over_training_low, each.over_training_high]), ...others.flatMap((pin) => pin.laws.map((each) => each.over_training))], 2.2), label: "over 20 tokens per parameter", show: (v) => `${digits(v)}x` },
    y: { log: false, range: [0.2, a.laws.length + 0.8], label: "", show: () => "" },
    lines: a.laws.flatMap((each, i) => (each.over_training_low ? [{ points: [[each.over_training_low, y(i)], [each.over_training_high, y(i)]], color: "var(--blue)", bold: true, name: "" }] : [])),
    dots: [...others.flatMap((pin) => pin.laws.map((each, i) => ({ point: [each.over_training, y(i)], color: "var(--grey)", radius: 4 }))), ...a.laws.map((each, i) => ({ point: [each.over_training, y(i)], color: "var(--red)", radius: 5 })), ...a.laws.map((each, i) => ({ point: [each.over_training_high ?? each.over_training, y(i)], color: "transparent", ink: "var(--red)", radius: 5.6, name: each.law }))],
  });
}

function tornado(a) {
  const y = (i) => ranked(a.tornado.length, i);
  return plot({
    title: "Over-training as each unknown moves alone",
    x: { log: true, range: span(a.tornado.flatMap(({ low, high }) => [low, high]), 1.8), label: "over 20 tokens per parameter", show: (v) => `${digits(v)}x` }, y: { log: false, range: [0.2, a.tornado.length + 0.9], label: "", show: () => "" },
    lines: a.tornado.map(({ low, high }, i) => ({ points: [[low, y(i)], [high, y(i)]], color: "var(--purple)", bold: true, name: "" })),
    dots: a.tornado.map(({ unknown, low }, i) => ({ point: [low, y(i) + 0.42], color: "transparent", radius: 5.6, ink: "var(--purple)", name: unknown })),
  });
}

function shares(a) {
  const y = (i) => ranked(a.laws.length, i), parts = [["pre_training_share", "var(--blue)"], ["rl_share", "var(--orange)"], ["inference_share", "var(--green)"]];
  const lines = a.laws.flatMap((each, i) => { let from = 0; return parts.map(([name, color]) => { const to = from + each[name], bar = { points: [[from, y(i)], [to, y(i)]], color, bold: true, name: "" }; from = to; return bar; }); });
  return plot({
    title: "Share of pre-training (blue), RL (orange) and serving (green) in the cost, by scaling law",
    x: { log: false, range: [0, 1.5], label: "pre-training (blue), RL (orange), serving (green)", show: (v) => (v <= 1 ? `${digits(100 * v)}%` : "") }, y: { log: false, range: [0.2, a.laws.length + 0.8], label: "", show: () => "" }, lines,
    dots: a.laws.map((each, i) => ({ point: [1, y(i)], color: "transparent", ink: "var(--ink)", radius: 5.6, name: each.law })),
  });
}
