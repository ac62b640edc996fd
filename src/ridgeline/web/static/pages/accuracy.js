// Accuracy: predictions held against what was measured, as `make scoreboard` last found it.
import { ask, Refused } from "../api.js";
import { el, morph, table } from "../dom.js";
import { number } from "../explain.js";
import { digits } from "../format.js";
import { listing } from "../listing.js";
import { bars, plot } from "../plot.js";
import { figure, pictures } from "../view.js";

const share = (value) => (value === null || value === undefined ? "–" : `${digits(100 * value, 2)}%`);
const count = (value) => (value === null || value === undefined ? "–" : digits(value, 6));
const DOUBT = "Rows of one chip, engine or paper err alike, so that many rows are fewer independent trials. Unseen means that the constants were fitted without the row's model and chip; the other columns include rows that the constants have seen.";
const COLUMNS = [
  ["rows", "rows", count, "measured points that are predicted", "count(n rows of the set with a prediction)"], ["asked", "of", count, "rows of the set, those without a prediction too", "count(n rows with a prediction, and those without)"],
  ["median_abs_error", "median error", share, "half of the rows err by less", "median(|estimate / measured - 1| of n rows)"], ["p90_abs_error", "90% of errors", share, "nine of ten rows err by less", "quantile(|estimate / measured - 1| of n rows, 0.9)"],
  ["bias", "bias", share, "middle of the signed errors: above 0 the estimate is too slow", "median(estimate / measured of n rows) - 1"], ["coverage80", "in the 80% interval", share, "share of rows inside the interval; 80% is right, more is too wide", "inside / n"],
  ["faster_than_floor", "faster than the floor", count, "rows that were measured faster than physics allows: each would be a mistake of ours or of theirs", "count(n rows with measured < floor)"],
  ["unseen_median", "unseen: median", share, "the same with constants fitted without the row's model and chip", "median(|estimate / measured - 1| of n rows)"], ["unseen_p90", "unseen: 90%", share, "the same with constants fitted without the row's model and chip", "quantile(|estimate / measured - 1| of n rows, 0.9)"],
];

export async function show(main) {
  const place = el("div", {}), query = new URLSearchParams(location.search);
  main.replaceChildren(el("h1", {}, "Accuracy"), el("p", { class: "lead" }, "Estimates against measured points, by the kind of measurement. An error is of the estimate over what was measured."), place);
  try {
    const board = await ask("scoreboard", {});
    const rows = { names: ["set", ...COLUMNS.map(([key]) => key)], rows: board.sets.map((set) => [set.name, ...COLUMNS.map(([key]) => set[key] ?? null)]) };
    const cells = ([name, ...values]) => [name, ...COLUMNS.map(([key, label, told, text, formula], i) => (values[i] === null ? "–" : number(told(values[i]), { name: `${name}, ${label}`, text, formula, inputs: [["n", count(values[0]), `public measurements, ${board.date}`], ...(key === "coverage80" ? [["inside", digits(Math.round(values[0] * (values[i] ?? 0)), 6), "of them"]] : [])], trust: DOUBT })))];
    const draw = (button) => [table([["", false], ...COLUMNS.map(([, label]) => [label, true]), ["", false]], rows.rows.map((row) => [...cells(row), button(row[0])]), "Accuracy by set")];
    const sets = board.sets.filter((set) => set.median_abs_error !== null);
    morph(place, [
      el("p", {}, counted(board, board.predicted, "that are predicted"), " of ", counted(board, board.rows, "without speculation"), ` rows without speculation are predicted (${board.date}).`),
      pictures(figure("Median error by set, and the error that nine of ten rows keep", errors(sets)), figure("Rows in the 80% interval", bars(Object.fromEntries(sets.map((set) => [set.name, set.coverage80])), share))),
      ...listing({ query, answer: board, line: "ridgeline validate POINTS.csv", rows, cells, caption: "sets", draw }),
      el("h2", {}, "Rows without a prediction, and why"), table([["rows", true], ["reason", false]], board.refused.map(({ rows: some, reason }) => [counted(board, some, `without a prediction: ${reason}`), reason]), "Refused rows"),
      el("p", { class: "note" }, el("b", {}, "When not to trust it: "), DOUBT),
    ]);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(el("p", { class: "error" }, error.message));
  }
  place.dataset.drawn = "1";
}

const counted = (board, some, what) => number(digits(some, 6), { name: `rows ${what}`, text: `measured points ${what}`, formula: "count(n rows)", inputs: [["n", digits(some, 6), `public measurements, ${board.date}`]], trust: DOUBT });

function errors(sets) {
  const y = (i) => sets.length - i;
  return plot({
    title: `Median and 90% of errors: ${sets.map((set) => `${set.name} ${share(set.median_abs_error)}, ${share(set.p90_abs_error)}`).join("; ")}`,
    x: { log: false, range: [0, Math.max(...sets.map((set) => set.p90_abs_error)) * 1.9], label: "error of the estimate", show: share }, y: { log: false, range: [0, sets.length + 0.6], label: "", show: () => "" },
    lines: sets.map((set, i) => ({ points: [[set.median_abs_error, y(i)], [set.p90_abs_error, y(i)]], color: "var(--blue)", bold: true, name: "" })),
    dots: sets.flatMap((set, i) => [{ point: [set.median_abs_error, y(i)], radius: 5, color: "var(--red)" }, { point: [set.p90_abs_error, y(i)], radius: 5.6, color: "var(--blue)", name: set.name }]),
  });
}
