// Lecture: every claim recomputed: as said, with real inputs, and a verdict.
import { ask, Refused } from "../api.js";
import { el } from "../dom.js";
import { show as shown } from "../format.js";

const VERDICTS = { reproduced: "down", contradicted: "up" };

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
  const list = Object.values(answer).find(Array.isArray), chapters = [...new Set(list.map((claim) => claim.chapter))];
  const choice = (name, label, values) => el("label", {}, label, " ", el("select", { onchange: (e) => { query.set(name, e.target.value); if (!e.target.value) query.delete(name); history.replaceState(null, "", `/lecture${query.size ? `?${query}` : ""}`); filter(); } }, ["", ...values].map((value) => el("option", { value, selected: value === (query.get(name) ?? "") }, value || "all"))));
  const claims = list.map((claim) => [claim, el("article", { id: claim.id }, el("h3", {}, `${claim.id}: ${claim.says}`), el("p", {}, el("span", { class: `tag ${VERDICTS[claim.verdict] ?? ""}` }, claim.verdict), claim.assuming ? ` ${claim.assuming}` : ""),
    claim.equation ? el("pre", { tabindex: "0" }, claim.equation) : null,
    claim.stated ? el("p", {}, "Said: ", el("b", {}, stated(claim))) : null,
    el("ul", {}, [["with its own inputs", claim.said], ["read otherwise", claim.otherwise], ...claim.real.map((one) => [one.of, one])].filter(([, one]) => one).map(([label, one]) => el("li", {}, `${label}: `, el("b", {}, computed(one.value, claim.unit)), one.holds ? " holds" : " does not hold", Object.entries(one.inputs).flatMap(([name, given], i) => [i ? ", " : "; ", name === "scenario" ? el("a", { href: `/board?${given}` }, "on the Blackboard") : `${name} ${shown(given, "1")}`])))),
    claim.because || claim.differs ? el("p", {}, claim.because, " ", claim.differs) : null,
    el("details", {}, el("summary", {}, "Sources"), el("ul", {}, claim.sources.map((source) => el("li", {}, source))), claim.conflict ? el("p", { class: "note" }, claim.conflict) : null))]);
  const filter = () => { for (const [claim, node] of claims) node.hidden = !["chapter", "verdict"].every((name) => !query.get(name) || claim[name] === query.get(name)); };
  place.replaceChildren(el("p", {}, Object.entries(answer.verdicts).map(([verdict, count]) => `${verdict} ${count}`).join(" · ")), el("div", { class: "row" }, choice("chapter", "Chapter", chapters), choice("verdict", "Verdict", Object.keys(answer.verdicts))), ...claims.map(([, node]) => node),
    el("p", { class: "note" }, el("b", {}, "When not to trust it: "), "a verdict is of the claim with the inputs that are named; \"under an assumption\" says which one it needs."));
  filter();
}

const stated = ({ stated: text, unit }) => (Number.isFinite(Number(text)) ? shown(Number(text), unit) : text);
const computed = (value, unit) => (Array.isArray(value) ? value.map((each) => shown(each, unit)).join(" to ") : shown(value, unit));
