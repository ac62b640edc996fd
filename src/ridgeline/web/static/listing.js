// A page of records: what is pinned stands side by side above them, and all of it can be taken along.
import { el, morph, said, table } from "./dom.js";
import { toolbar } from "./save.js";
import { PINS } from "./state.js";

// `names` and `rows` as a CSV has them, with the record's own name first; `cells(row)` as the page shows them.
export function listing({ query, answer, line, rows, cells, caption, draw }) {
  const pinned = el("div"), { names, rows: all } = rows, place = el("div"), wanted = () => query.getAll("pin").slice(0, PINS);
  const written = () => { history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}`); compare(); morph(place, draw(button)); };
  const drop = (name) => { const kept = wanted().filter((each) => each !== name); query.delete("pin"); kept.forEach((each) => query.append("pin", each)); written(); };
  const add = (name) => {
    if (wanted().length === PINS) return said(`At most ${PINS} are pinned: take one away first.`);
    query.append("pin", name);
    said(`Pinned ${name}.`);
    written();
  };
  function button(name) {
    const on = wanted().includes(name);
    return el("button", { type: "button", class: "pin", "aria-pressed": String(on), "aria-label": `Pin ${name}`, onclick: () => (on ? drop(name) : add(name)) }, on ? "pinned" : "pin");
  }
  function compare() {
    const found = wanted().map((name) => all.find((row) => row[0] === name)).filter(Boolean);
    if (!found.length) return pinned.replaceChildren();
    const body = names.slice(1).map((name, i) => [name.replaceAll("_", " "), ...found.map((row) => {
      const first = found[0][i + 1], value = row[i + 1], shown = cells(row)[i + 1];
      const change = row !== found[0] && typeof value === "number" && typeof first === "number" && first ? value / first - 1 : null;
      return change === null ? shown : el("span", {}, shown, ` (${change >= 0 ? "+" : "−"}${Math.abs(100 * change).toFixed(0)}%)`);
    })]);
    morph(pinned, [el("h2", {}, "Compared"), table([["", false], ...found.map(([name]) => [name, true])], body, `Pinned: ${caption}`), el("div", { class: "row" }, found.map(([name]) => el("button", { type: "button", onclick: () => drop(name) }, `Take away ${name}`)))]);
  }
  const python = () => `import json\nimport shlex\nimport subprocess\n\nline = ${JSON.stringify(line)}\nfound = json.loads(subprocess.check_output([*shlex.split(line), "--json"]))\n`;
  compare();
  morph(place, draw(button));
  return [toolbar({ answer: () => answer, line: () => line, python, rows: () => rows }), pinned, place];
}
