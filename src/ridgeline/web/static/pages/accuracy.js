// Accuracy: predictions held against what was measured, as `make scoreboard` last found it.
import { ask, Refused } from "../api.js";
import { el, table } from "../dom.js";
import { digits } from "../format.js";

const share = (value) => (value === null || value === undefined ? "–" : `${digits(100 * value, 2)}%`);

export async function show(main) {
  const place = el("div", {});
  main.replaceChildren(el("h1", {}, "Accuracy"), el("p", { class: "lead" }, "Estimates against measured points, by the kind of measurement. An error is of the estimate over what was measured."), place);
  try {
    const board = await ask("scoreboard", {});
    place.replaceChildren(
      table([["", false], ["rows", true], ["of", true], ["median error", true], ["90% of errors", true], ["bias", true], ["in the 80% interval", true], ["faster than the floor", true], ["unseen: median", true], ["unseen: 90%", true]],
        board.sets.map((set) => [set.name, digits(set.rows, 6), set.asked ? digits(set.asked, 6) : "–", share(set.median_abs_error), share(set.p90_abs_error), share(set.bias), share(set.coverage80), String(set.faster_than_floor), share(set.unseen_median), share(set.unseen_p90)]), "Accuracy by set"),
      el("p", {}, `${digits(board.predicted, 6)} of ${digits(board.rows, 6)} rows without speculation are predicted (${board.date}).`),
      el("h2", {}, "Rows without a prediction, and why"), table([["rows", true], ["reason", false]], board.refused.map(({ rows, reason }) => [digits(rows, 6), reason]), "Refused rows"),
      el("p", { class: "note" }, el("b", {}, "When not to trust it: "), "unseen means that the constants were fitted without the row's model and chip; the other columns include rows that the constants have seen."),
    );
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    place.replaceChildren(el("p", { class: "error" }, error.message));
  }
  place.dataset.drawn = "1";
}
