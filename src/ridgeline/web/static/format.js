// Values as a reader wants them: three digits and a unit that fits, as the command line prints them.
const PREFIXES = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const MONEY = [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]];
const CLOCK = [[31557600, "years"], [86400, "days"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]];

const FORMATS = new Map(); // toLocaleString builds its format anew each time: 0.1 ms a number

export function digits(value, count = 3) {
  if (!Number.isFinite(value)) return String(value);
  if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(count - 1);
  if (!FORMATS.has(count)) FORMATS.set(count, new Intl.NumberFormat("en-US", { maximumSignificantDigits: count }));
  return FORMATS.get(count).format(value);
}

function scaled(value, steps, unit, join) {
  const [factor, prefix] = steps.find(([size]) => Math.abs(value) >= size * 0.9995) ?? steps[steps.length - 1];
  return `${digits(value / factor)}${join}${prefix}${unit}`.trim();
}

export function show(value, unit) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return String(value);
  if (unit === "s") return value === 0 ? "0 s" : scaled(value, CLOCK, "", " ");
  if (unit === "USD/tok") return `$${digits(value * 1e6)}/Mtok`;
  if (unit === "USD/s") return `$${digits(value * 3600)}/h`;
  if (unit === "USD") return Math.abs(value) >= 1e7 ? `$${scaled(value, MONEY, "", " ")}` : `$${digits(value)}`;
  if (unit === "1") return value === Math.trunc(value) && value < 1e7 ? digits(value, 7) : scaled(value, PREFIXES, "", " ");
  return scaled(value, PREFIXES, unit, " ");
}
