// Prices: what to charge for each kind of token, and what a provider's prices would leave.
import { formats, model, own, system } from "../controls.js";
import { el, table } from "../dom.js";
import { ESTIMATE, number } from "../explain.js";
import { digits, show } from "../format.js";
import { infer } from "./sheet.js";
import { plot, span } from "../plot.js";
import { figure, parted, pictures } from "../view.js";

const fields = [
  model("deepseek-v3"), system("gb200-nvl72"),
  { name: "tpot", label: "Time per output token at most", value: "40ms" },
  { name: "isl", label: "Prompt, tokens", value: "4096" }, { name: "osl", label: "Answer, tokens", value: "1024" },
  { name: "margin", label: "Margin, share of the price", value: "0%", stops: ["0%", "10%", "20%", "30%", "40%", "50%", "60%", "70%", "80%", "90%"] },
  { name: "utilisation", label: "Utilisation", empty: "100%" },
  { name: "beside", label: "Price sheet beside", options: [["", "none"]], from: "sheets" }, ...formats, ...own,
];
const cents = (value) => (value === null || value === undefined ? "–" : `$${digits(value * 1e6)}`);

const DEPLOYED = { fast: "fast", slow: "slow", batch: "slow" };

// Where a line of the menu comes from: the cost of its deployment, the utilisation and the margin.
function origin(a, line, what) {
  const mode = Object.keys(a.deployments).find((name) => name.startsWith(DEPLOYED[line.line.split(" ")[0]] ?? "standard")), on = a.deployments[mode];
  const said = { price: ["what to charge: the cost and the margin on it", "cost / (1 - margin)"], cost: ["what a token of this kind costs by estimate: the time of the chips that it takes, at their price", "price * chips * seconds / tokens / utilisation"], floor: ["the same if every step took its floor", "price * chips * floor / tokens / utilisation"], low: ["the cost if steps took the low end of their interval", "price * chips * seconds / tokens / utilisation"], high: ["the cost if steps took the high end of their interval", "price * chips * seconds / tokens / utilisation"] }[what];
  const inputs = [["margin", `${digits(100 * a.margin)}%`, "--margin, a share of the price"], ["utilisation", `${digits(100 * a.utilisation)}%`, "--utilisation"], ["chips", String(a.chips), a.system]];
  if (what === "price") inputs.unshift(["cost", cents(line.cost_usd_per_tok), "column beside, $/Mtok"]);
  if (on) inputs.push(["deployment", on.deployment, `${mode}: the cheapest within ${show(on.tpot_limit_s, "s")} per token`]);
  return { name: `${line.line}, ${what}`, text: `${said[0]}${line.note ? `; ${line.note}` : ""}`, formula: said[1], inputs, interval: line.low_usd_per_tok ? `cost of ${cents(line.low_usd_per_tok)} to ${cents(line.high_usd_per_tok)}: four of five measurements` : null, trust: ESTIMATE };
}
const cell = (a, line, what, value) => (value === null || value === undefined ? "–" : number(cents(value), origin(a, line, what)));

const menu = {
  tab: "What to charge", presets: [["fast and slow mode", "tpot=10ms"], ["long context", "isl=128k&osl=1k"], ["a sheet beside", "beside=deepseek-chat"], ["dense model", "model=llama-3-70b&system=hgx-h100"]],
  title: "Prices", command: "menu", slow: true, fields,
  lead: "A menu of prices from costs: input, output, cached, long, fast, slow and batch tokens, each with what it costs beneath.",
  trust: "a cost is that of chips at the utilisation given, without staff, research or idle fleets; the low and high are the estimate's interval, not the market's.",
  facts: (a) => a.lines.map((line) => [line.line, line.price_usd_per_tok, "USD/tok", origin(a, line, "price")]),
  rows: (a) => ({ names: Object.keys(a.lines[0]), rows: a.lines.map((line) => Object.values(line)) }),
  draw: (a) => [
    el("p", { class: "note" }, Object.entries(a.deployments).map(([mode, one]) => `${mode}: ${one.deployment}`).join(" · ")),
    pictures(figure("Price, cost and interval of each line, $/Mtok", picture(a))),
    table([["", false], ["price $/Mtok", true], ["cost", true], ["low", true], ["high", true], ["floor", true], ["", false]], a.lines.map((line) => [line.line, cell(a, line, "price", line.price_usd_per_tok), cell(a, line, "cost", line.cost_usd_per_tok), cell(a, line, "low", line.low_usd_per_tok), cell(a, line, "high", line.high_usd_per_tok), cell(a, line, "floor", line.floor_usd_per_tok), line.note ?? ""]), "Menu"),
    ...a.beside.flatMap((sheet) => [el("h2", {}, `Beside: ${sheet.provider} ${sheet.sheet}, ${sheet.date}`), table([["", false], ["their price $/Mtok", true], ["cost here", true], ["leaves", true]], sheet.lines.map((line) => theirs(a, sheet, line)), "Their prices over these costs")]),
  ],
};

// A line of another's sheet: their price as published, the cost here, and what lies between.
function theirs(a, sheet, line) {
  const price = ["price", cents(line.price_usd_per_tok), `${sheet.provider} ${sheet.sheet}, ${sheet.date}; the Catalogue has its source`], cost = ["cost", cents(line.cost_usd_per_tok), "of this menu, without its margin"];
  const told = (what, text, formula, inputs) => ({ name: `${sheet.sheet}, ${line.line}: ${what}`, text, formula, inputs, trust: ESTIMATE });
  const mine = a.lines.find((each) => each.line.startsWith(line.line) && each.cost_usd_per_tok === line.cost_usd_per_tok);
  const open = (value, shown, of) => (value === null || value === undefined ? "–" : number(shown(value), of));
  return [line.line, open(line.price_usd_per_tok, cents, told("price", "what they ask, as published", "price", [price])), open(line.cost_usd_per_tok, cents, mine ? origin(a, mine, "cost") : told("cost", "what their kind of token costs here", "cost", [cost])), open(line.leaves, (value) => `${digits(100 * value)}%`, told("leaves", "share of their price that is left over these costs", "1 - cost / price", [cost, price]))];
}

function picture(a) {
  const lines = a.lines.filter((line) => line.cost_usd_per_tok > 0), value = (x) => x * 1e6, row = (i) => lines.length - i;
  return plot({
    title: "Dollars per million tokens of each line of the menu: cost with its interval, and price",
    x: { log: true, range: span(lines.flatMap((line) => [line.low_usd_per_tok ?? line.cost_usd_per_tok, line.price_usd_per_tok]).map(value), 2.2), label: "$/Mtok", show: (v) => `$${digits(v)}` },
    y: { log: false, range: [0, lines.length + 0.6], label: "", show: () => "" },
    lines: lines.map((line, i) => ({ points: [[value(line.low_usd_per_tok ?? line.cost_usd_per_tok), row(i)], [value(line.high_usd_per_tok ?? line.cost_usd_per_tok), row(i)]], color: "var(--blue)", bold: true, name: "" })),
    dots: lines.map((line, i) => ({ point: [value(line.price_usd_per_tok), row(i)], color: "var(--red)", radius: 5.6, name: line.line })),
  });
}

const opened = parted([menu, infer]);
export { opened as show };
