// Lecture: every claim recomputed: as said, with real inputs, and a verdict.
import { ask, Refused } from "../api.js";
import { el } from "../dom.js";
import { number } from "../explain.js";
import { show as shown } from "../format.js";
import { listing } from "../listing.js";

const VERDICTS = { reproduced: "down", contradicted: "up" };
const DOUBT = "A verdict is of the claim with the inputs that are named; \"under an assumption\" says which one it needs.";

export async function show(main) {
  const query = new URLSearchParams(location.search), place = el("div", {}, el("p", { role: "status" }, "Recomputing every claim …")), leave = new AbortController();
  main.replaceChildren(el("h1", {}, "Lecture"), el("p", { class: "lead" }, "Every claim of the lecture, recomputed by the laws: with its own inputs, with those of real machines, and a verdict."), place);
  ask("lecture", {}, leave.signal).then((answer) => draw(place, answer, query), (error) => {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(el("p", { class: "error" }, error.message));
  }).finally(() => { place.dataset.drawn = "1"; });
  return () => leave.abort();
}

function draw(place, answer, query) {
  const list = answer.claims, chapters = [...new Set(list.map((claim) => claim.chapter))];
  const asked = (claim) => ["chapter", "verdict"].every((name) => !query.get(name) || claim[name] === query.get(name));
  const rows = { names: ["id", "chapter", "says", "said", "computed", "verdict"], rows: list.map((claim) => [claim.id, claim.chapter, claim.says, claim.stated ? stated(claim) : "", claim.said ? computed(claim.said.value, claim.unit) : "", claim.verdict]) };
  const [bar, pinned, body] = listing({ query, answer, line: "ridgeline lecture", rows, cells: (row) => row, caption: "claims", draw: (button) => { const found = list.filter(asked).map((claim) => article(claim, button)); return found.length ? found : [el("p", {}, "No claim is of this chapter and verdict.")]; } });
  const choice = (name, label, values) => el("label", {}, label, " ", el("select", { onchange: (e) => { query.set(name, e.target.value); if (!e.target.value) query.delete(name); history.replaceState(null, "", `/lecture${query.size ? `?${query}` : ""}`); draw(place, answer, query); place.querySelector(`[aria-label="${label}"]`).focus(); }, "aria-label": label }, ["", ...values].map((value) => el("option", { value, selected: value === (query.get(name) ?? "") }, value || "all"))));
  place.replaceChildren(el("p", {}, Object.entries(answer.verdicts).map(([verdict, count]) => `${verdict} ${count}`).join(" · ")), el("div", { class: "row" }, choice("chapter", "Chapter", chapters), choice("verdict", "Verdict", Object.keys(answer.verdicts))), bar, pinned, body, el("p", { class: "note" }, el("b", {}, "When not to trust it: "), DOUBT));
}

function article(claim, button) {
  const inputs = (one) => Object.entries(one.inputs).flatMap(([name, given], i) => [i ? ", " : "; ", name === "scenario" ? el("a", { href: `/board?${given}` }, "on the Blackboard") : `${name} ${shown(given, "1")}`]);
  return el("article", { id: claim.id }, el("h3", {}, `${claim.id}: ${claim.says} `, button(claim.id)), el("p", {}, el("span", { class: `tag ${VERDICTS[claim.verdict] ?? ""}` }, claim.verdict), claim.assuming ? ` ${claim.assuming}` : ""),
    claim.equation ? el("pre", { tabindex: "0" }, claim.equation) : null,
    claim.stated ? el("p", {}, "Said: ", el("b", {}, number(stated(claim), { ...origin(claim, claim.said ?? claim.real[0] ?? { inputs: {}, of: "" }), name: `${claim.id}, as said` }))) : null,
    el("ul", {}, [["with its own inputs", claim.said], ["read otherwise", claim.otherwise], ...claim.real.map((one) => [one.of, one])].filter(([, one]) => one).map(([label, one]) => el("li", {}, `${label}: `, el("b", {}, number(computed(one.value, claim.unit), origin(claim, one))), one.holds ? " holds" : " does not hold", inputs(one)))),
    claim.because || claim.differs ? el("p", {}, claim.because, " ", claim.differs) : null,
    el("details", {}, el("summary", {}, "Sources"), el("ul", {}, claim.sources.map((source) => el("li", {}, source))), claim.conflict ? el("p", { class: "note" }, claim.conflict) : null));
}

function origin(claim, one) {
  const inputs = Object.entries(one.inputs).map(([name, given]) => [name, name === "scenario" ? given : shown(given, "1"), one.of]);
  return { name: claim.id, text: claim.says, formula: claim.equation || null, inputs: [...inputs, ...claim.laws.map((law) => ["law", law, "of the product"]), ["said", claim.stated ? stated(claim) : "without a number", claim.sources[0] ?? ""]], trust: `${claim.differs ? `${claim.differs} ` : ""}${DOUBT}` };
}

const stated = ({ stated: text, unit }) => (Number.isFinite(Number(text)) ? shown(Number(text), unit) : text);
const computed = (value, unit) => (Array.isArray(value) ? value.map((each) => shown(each, unit)).join(" to ") : shown(value, unit));
