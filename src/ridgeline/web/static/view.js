// A page that asks one question: inputs on the left, the answer on the right, what is pinned beside it.
import { ask, latest, Refused } from "./api.js";
import { controls } from "./controls.js";
import { el, html, morph, said, table } from "./dom.js";
import { number } from "./explain.js";
import { show } from "./format.js";
import { toolbar } from "./save.js";
import { PINS, asked, keep, read, unpinned, written } from "./state.js";

const PHONE = matchMedia("(max-width: 760px)");
let names = null;

export async function view(main, page) {
  const fields = page.part ? [{ name: "part", value: "", hidden: true, local: true }, ...page.fields] : page.fields;
  const flat = fields.flatMap((field) => field.group ?? [field]);
  const { state, pins } = read(flat);
  let answer = null, whole = false, compared = [], leave = new AbortController(), timer = 0;
  const place = el("div", { class: "answer", "aria-live": "off" }), form = el("details", { class: "scenario", open: !page.slow || !PHONE.matches }), pinned = el("div"), problem = el("div", { role: "alert" }), progress = el("div", { role: "status" });
  const params = (of = state) => (page.question ?? asked)(flat, of);

  // What is slow tells how far it is, and what is known by then, which is drawn as the answer will be.
  const draw = latest(async () => {
    const signal = leave.signal, busy = setTimeout(() => place.classList.add("busy"), 300);
    const share = el("progress", { max: 1, "aria-label": "Share that is done" }), text = el("span", {}, "Working …");
    const shown = (found, part) => { if (leave.gone) return; [answer, whole] = [found, part === 1]; if (problem.firstChild) problem.replaceChildren(); render(); };
    if (page.slow) { place.replaceChildren(); progress.replaceChildren(el("p", {}, share, " ", text, " ", el("button", { type: "button", onclick: () => leave.abort() }, "Cancel"))); }
    try {
      shown(await ask(page.command, params(), signal, page.slow && (({ share: part, sofar }) => {
        share.value = part;
        text.textContent = `${Math.round(100 * part)}% is behind; this is what is known by then.`;
        if (sofar.completed !== 0) shown(sofar, part);
      })), 1);
      if (progress.firstChild) progress.replaceChildren();
    } catch (error) {
      if (error.name === "AbortError") { if (!leave.gone && signal === leave.signal) { leave = new AbortController(); if (page.slow) progress.replaceChildren(el("p", {}, place.firstChild ? `Cancelled: ${text.textContent}` : "Cancelled.")); } return; }
      if (!(error instanceof Refused)) throw error;
      if (page.slow) { place.replaceChildren(); progress.replaceChildren(); }
      problem.replaceChildren(el("p", { class: "error" }, error.message));
    } finally {
      clearTimeout(busy);
      place.classList.remove("busy");
      place.dataset.drawn = String(Number(place.dataset.drawn ?? 0) + 1);
    }
  });

  function render() {
    if (!answer) return;
    const nodes = page.draw(answer, { state, params: params(), pins: compared, render }).filter(Boolean);
    morph(place, nodes);
    compare();
  }

  function changed(field, moving) {
    if (field.redraw) fill();
    clearTimeout(timer);
    keep(written(flat, state, pins), moving);
    if (page.changed && !moving) page.changed(field, state, { refill: fill, redraw: later, problem });
    else later(moving);
  }
  function later(moving) {
    if (!moving) keep(written(flat, state, pins));
    if (!page.slow) return draw();
    leave.abort();
    leave = new AbortController();
    timer = setTimeout(draw, 150);
  }
  function fill() {
    const name = form.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    form.replaceChildren(el("summary", {}, "Scenario"), controls(page.fields, state, changed));
    if (name) form.querySelector(`[data-name="${name}"]`)?.focus();
  }

  async function pin() {
    if (!whole) return said("The answer is not whole yet.");
    if (pins.length === PINS) return said(`At most ${PINS} are pinned: take one away first.`);
    const query = written(flat, state);
    if (pins.includes(query)) return said("It is pinned already.");
    pins.push(query);
    compared.push(answer);
    keep(written(flat, state, pins));
    said("Pinned.");
    return render();
  }
  function compare() {
    if (!pins.length) return pinned.firstChild && pinned.replaceChildren();
    const now = page.facts(answer, params()), columns = [["", false], ["now", true], ...pins.map((_, i) => [`pin ${i + 1}`, true])];
    const asked = pins.map((query) => params(unpinned(flat, query)));
    const others = compared.map((each, i) => (each ? page.facts(each, asked[i]) : []));
    const rows = now.map(([label, value, unit, of]) => [label, opens(show(value, unit), label, of, params()), ...others.map((facts, i) => {
      const other = facts.find(([name]) => name === label);
      if (!other) return "–";
      const change = typeof value === "number" && typeof other[1] === "number" && value ? other[1] / value - 1 : null;
      return html("span", {}, opens(show(other[1], unit), label, other[3], asked[i]), change === null ? "" : ` (${change >= 0 ? "+" : "−"}${Math.abs(100 * change).toFixed(1)}%)`);
    })]);
    morph(pinned, [el("h2", {}, "Compared"), table(columns, rows, "Pinned scenarios against the one now"),
      el("ul", {}, pins.map((query, i) => el("li", {}, `pin ${i + 1}: `, el("a", { href: `${location.pathname}?${query}` }, describe(query)), " ",
        el("button", { type: "button", "aria-label": `Take away pin ${i + 1}`, onclick: () => { pins.splice(i, 1); compared.splice(i, 1); keep(written(flat, state, pins)); render(); } }, "take away"))))]);
  }
  const describe = (query) => decodeURIComponent(query.replaceAll("+", " ").replaceAll("&", ", ")).slice(0, 160) || "as the page opens";

  const facts = (of) => page.facts(of).map(([label, value, unit]) => [label, value, unit]);
  const bar = toolbar({
    pin, answer: () => answer, line: () => answer?.line ?? "",
    python: () => python(page, params(), answer),
    rows: () => (page.rows ? page.rows(answer) : { names: ["number", "value", "unit"], rows: facts(answer) }),
  });
  const presets = page.presets?.length ? el("p", { class: "presets" }, `${page.presetsOf ?? "Chapters of the lecture"}: `, page.presets.flatMap(([text, query], i) => [i ? " · " : "", el("a", { href: `${location.pathname}?${query}` }, text)])) : null;
  main.replaceChildren(el("h1", {}, page.title), el("p", { class: "lead" }, page.lead), page.tabs ?? "", presets ?? "", el("div", { class: page.slow ? "layout" : "layout live" }, form, el("div", { class: "right" }, problem, progress, place, bar, pinned, el("p", { class: "note" }, el("b", {}, "When not to trust it: "), page.trust))));
  fill();
  PHONE.onchange = () => { form.open ||= !PHONE.matches; };
  const first = draw();
  await Promise.allSettled([...page.fields.filter((field) => field.from).map(async (field) => { field.options = [...field.options.filter(([value]) => !value), ...(await listed(field.from))]; }), ...pins.map(async (query, i) => {
    try { compared[i] = await ask(page.command, params(unpinned(flat, query)), leave.signal); } catch { compared[i] = null; }
  })]);
  fill();
  if (pins.length) await first.then(render);
  return () => { leave.gone = true; leave.abort(); clearTimeout(timer); };
}

// A page of several questions: one is shown, by `part` in the address.
export function parted(pages) {
  return (main) => {
    const part = new URLSearchParams(location.search).get("part") ?? "", page = pages.find((each) => (each.part ?? "") === part) ?? pages[0];
    const links = pages.map((each) => el("a", { href: `${location.pathname}${each.part ? `?part=${each.part}` : ""}`, "aria-current": each === page ? "true" : null }, each.tab));
    return view(main, { ...page, tabs: el("nav", { class: "tabs", "aria-label": "Questions" }, links) });
  };
}

export async function listed(kind) {
  names ??= ask("names", {});
  return (await names)[kind].map((name) => [name, name]);
}

export function facts(list, params) {
  return html("ul", { class: "facts" }, list.filter(([, value]) => value !== undefined && value !== null).map(([label, value, unit, name]) => html("li", {}, `${label} `, html("b", {}, opens(show(value, unit), label, name, params)))));
}

const opens = (shown, label, of, params) => number(shown, typeof of === "object" ? { name: label, ...of } : of, params);

export function figure(title, picture) {
  return html("figure", {}, html("figcaption", {}, title), picture);
}

export function pictures(...figures) {
  return html("div", { class: "pictures" }, figures);
}

function python(page, params, answer) {
  const value = (text) => (/^\d+(\.\d+)?$/.test(text) ? text : JSON.stringify(text));
  const scenario = `Scenario(${Object.entries(params).filter(([name]) => name !== "top").map(([name, text]) => `${name}=${value(text)}`).join(", ")})`;
  if (page.python) return `from ridgeline import Scenario, ${page.python}\n\nfound = ${page.python}(${scenario})\n`;
  return `import json\nimport shlex\nimport subprocess\n\nline = ${JSON.stringify(answer?.line ?? "")}\nfound = json.loads(subprocess.check_output([*shlex.split(line), "--json"]))\n`;
}
