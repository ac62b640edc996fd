// Catalogue: every number with its source.
import { ask, Refused } from "../api.js";
import { el, table } from "../dom.js";
import { show as shown } from "../format.js";

const KINDS = ["chips", "systems", "media", "models", "prices", "sheets", "scaling"];
const UNITS = [[/bytes_per_s$/, "B/s"], [/flop_per_s$/, "FLOP/s"], [/usd_per_chip_s$/, "USD/s"], [/bytes_per_token$/, "B/tok"], [/bytes$/, "B"], [/_w$/, "W"], [/usd_per_tok/, "USD/tok"], [/(parameters|chips|layers|tok)$/, "1"]];
const cell = (key, value) => (typeof value === "number" ? shown(value, UNITS.find(([pattern]) => pattern.test(key))?.[1] ?? "1") : value === null || value === undefined ? "–" : Array.isArray(value) ? value.join("; ") : typeof value === "object" ? JSON.stringify(value) : String(value));

export async function show(main) {
  const query = new URLSearchParams(location.search), kind = query.get("kind") || "chips", name = query.get("name"), place = el("div", {}, el("p", { role: "status" }, "Reading …"));
  main.replaceChildren(el("h1", {}, "Catalogue"), el("p", { class: "lead" }, "Every value that Ridgeline counts with, its date, and who says so."),
    el("nav", { "aria-label": "Kinds" }, KINDS.map((each) => el("a", { href: `/catalogue?kind=${each}`, "aria-current": each === kind ? "true" : null }, each))), place);
  try {
    const { entries } = await ask("catalog", name ? { kind, name } : { kind });
    const keys = [...new Set(entries.flatMap((entry) => Object.keys(entry)))].filter((key) => entries.some((entry) => entry[key] !== null));
    const rows = entries.map((entry) => keys.map((key) => (key === "name" && !name ? el("a", { href: `/catalogue?${new URLSearchParams({ kind, name: entry.name })}` }, entry.name) : cell(key, entry[key]))));
    const wanted = el("input", { type: "search", "aria-label": "Rows with this text", placeholder: "rows with …", value: query.get("q") ?? "" });
    const body = table(keys.map((key) => [key.replaceAll("_", " ").replace(/ (usd )?(bytes|flop) per s$| bytes$| w$/, ""), entries.some((entry) => typeof entry[key] === "number")]), rows, `${kind} ${name ?? ""}`);
    const filter = () => body.querySelectorAll("tbody tr").forEach((row) => { row.hidden = !row.textContent.toLowerCase().includes(wanted.value.toLowerCase()); });
    wanted.addEventListener("input", () => {
      query.set("q", wanted.value);
      if (!wanted.value) query.delete("q");
      history.replaceState(null, "", `/catalogue?${query}`);
      filter();
    });
    place.replaceChildren(el("h2", {}, name ? `${name}: every value with its source` : kind), wanted, body);
    filter();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(el("p", { class: "error" }, error.message));
  }
  place.dataset.drawn = "1";
}
