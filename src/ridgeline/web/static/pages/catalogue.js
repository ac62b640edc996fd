// Catalogue: every number with its source.
import { ask, Refused } from "../api.js";
import { built, el, table } from "../dom.js";
import { number, told } from "../explain.js";
import { show as shown } from "../format.js";
import { listing } from "../listing.js";

const KINDS = ["chips", "systems", "media", "models", "prices", "sheets", "scaling"];
const UNITS = [[/bytes_per_s$/, "B/s"], [/flop_per_s$/, "FLOP/s"], [/usd_per_chip_s$/, "USD/s"], [/bytes_per_token$/, "B/tok"], [/bytes$/, "B"], [/_w$/, "W"], [/usd_per_tok/, "USD/tok"], [/(parameters|chips|layers|tok)$/, "1"]];
const text = (key, value) => (typeof value === "number" ? shown(value, UNITS.find(([pattern]) => pattern.test(key))?.[1] ?? "1") : value === null || value === undefined ? "–" : Array.isArray(value) ? value.join("; ") : typeof value === "object" ? JSON.stringify(value) : String(value));

export async function show(main) {
  const query = new URLSearchParams(location.search), kind = query.get("kind") || "chips", name = query.get("name"), place = el("div", {}, el("p", { role: "status" }, "Reading …"));
  main.replaceChildren(el("h1", {}, "Catalogue"), el("p", { class: "lead" }, "Every value that Ridgeline counts with, its date, and who says so."),
    el("nav", { "aria-label": "Kinds" }, KINDS.map((each) => el("a", { href: `/catalogue?kind=${each}`, "aria-current": each === kind ? "true" : null }, each))), place);
  try {
    const answer = await ask("catalog", name ? { kind, name } : { kind }), { entries } = answer;
    const keys = [...new Set(entries.flatMap((entry) => Object.keys(entry)))].filter((key) => entries.some((entry) => entry[key] !== null));
    const first = keys.includes("name") ? "name" : keys[0], names = [first, ...keys.filter((key) => key !== first)];
    const rows = { names, rows: entries.map((entry) => names.map((key) => entry[key] ?? null)) };
    const cells = (row) => row.map((value, i) => (typeof value === "number" ? number(text(names[i], value), origin(kind, row, names, i)) : text(names[i], value)));
    const wanted = el("input", { type: "search", "aria-label": "Rows with this text", placeholder: "rows with …", value: query.get("q") ?? "" });
    const columns = [...names.map((key, i) => [key.replaceAll("_", " ").replace(/ (usd )?(bytes|flop) per s$| bytes$| w$/, ""), rows.rows.some((row) => typeof row[i] === "number")]), ["", false]];
    let body = null;
    const draw = (button) => {
      body = built(table(columns, rows.rows.map((row) => [...cells(row).map((cell, i) => (i === 0 && first === "name" && !name ? el("a", { href: `/catalogue?${new URLSearchParams({ kind, name: row[0] })}` }, row[0]) : cell)), button(String(row[0]))]), `${kind} ${name ?? ""}`));
      filter();
      return [body];
    };
    const filter = () => body.querySelectorAll("tbody tr").forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted.value.toLowerCase()); });
    wanted.oninput = () => {
      query.set("q", wanted.value);
      if (!wanted.value) query.delete("q");
      history.replaceState(null, "", `/catalogue?${query}`);
      filter();
    };
    place.replaceChildren(el("h2", {}, name ? `${name}: every value with its source` : kind), wanted, ...listing({ query, answer, line: ["ridgeline", "catalog", kind, ...(name ? [name] : [])].join(" "), rows, cells, caption: kind, draw }));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(el("p", { class: "error" }, error.message));
  }
  place.dataset.drawn = "1";
}

// A number opens to the values of its entry, each with who says it: those are read only then.
function origin(kind, row, names, i) {
  const label = `${row[0]}, ${names[i].replaceAll("_", " ")}`, value = text(names[i], row[i]), own = names.indexOf("source");
  if (own >= 0) return { name: label, text: "as published", inputs: [["value", value, text("source", row[own])]], trust: `Published on ${row[names.indexOf("date")] ?? "a date unknown"}; it may have changed since.` };
  return { name: label, load: async () => {
    const { entries } = await ask("catalog", { kind, name: row[0] });
    told({ name: label, value, text: "What the entry says, value by value; what is not among them follows from them.", inputs: entries.map((entry) => [entry.value_of ?? entry.name ?? "", text("", entry.value ?? ""), [text("", entry.source ?? ""), entry.date, entry.note].filter(Boolean).join(", ")]), trust: "As good as its sources: makers round, and drivers change. Each has its date beside it." });
  } };
}
