// A picture with logarithmic or linear axes as SVG: lines, bands, dots, labels where lines end. It can be saved as it is.
import { svg } from "./dom.js";

const W = 410, H = 300, LEFT = 58, RIGHT = 74, TOP = 22, BOTTOM = 44; // about the pixels it is shown on

export function plot({ x, y, lines = [], bands = [], dots = [], marks = [], title }) {
  const xs = scale(x, [LEFT, W - RIGHT]), ys = scale(y, [H - BOTTOM, TOP]);
  const inside = ([px, py]) => Number.isFinite(px) && Number.isFinite(py);
  const at = (points) => points.map(([px, py]) => [xs.at(px), ys.at(py)]).filter(inside);
  const path = (points) => at(points).map(([px, py], i) => `${i ? "L" : "M"}${px} ${py}`).join("");
  const parts = [], inner = `in-${title.replace(/\W+/g, "-").slice(0, 40)}`;
  for (const tick of xs.ticks.filter((each) => x.show(each))) {
    parts.push(svg("line", { class: "grid", x1: xs.at(tick), x2: xs.at(tick), y1: TOP, y2: H - BOTTOM }));
    parts.push(svg("text", { x: xs.at(tick), y: H - BOTTOM + 16, "text-anchor": "middle" }, x.show(tick)));
  }
  for (const tick of ys.ticks.filter((each) => y.show(each))) {
    parts.push(svg("line", { class: "grid", x1: LEFT, x2: W - RIGHT, y1: ys.at(tick), y2: ys.at(tick) }));
    parts.push(svg("text", { x: LEFT - 6, y: ys.at(tick) + 4, "text-anchor": "end" }, y.show(tick)));
  }
  parts.push(svg("text", { x: (LEFT + W - RIGHT) / 2, y: H - 8, "text-anchor": "middle" }, x.label));
  parts.push(svg("text", { x: LEFT, y: TOP - 8, "text-anchor": "start" }, y.label));
  for (const { low, high, color } of bands) {
    parts.push(svg("path", { d: `${path(low)}${path([...high].reverse()).replace(/^M/, "L")}Z`, fill: color, opacity: 0.16 }));
  }
  const ends = [];
  for (const { points, color, name, bold, dashed } of lines) {
    const placed = at(points);
    if (!placed.length) continue;
    parts.push(svg("path", { d: path(points), fill: "none", stroke: color, "stroke-width": bold ? 3 : 1.8, "stroke-dasharray": dashed ? "4 3" : null, "clip-path": `url(#${inner})` }));
    if (name) ends.push({ name, color, bold, x: placed[placed.length - 1][0], y: placed[placed.length - 1][1] });
  }
  ends.sort((a, b) => b.y - a.y);
  let last = Infinity;
  for (const end of ends) {
    last = Math.min(Math.max(TOP + 4, Math.min(H - BOTTOM, end.y)), last - 13);
    parts.push(svg("text", { x: Math.min(end.x, W - RIGHT) + 5, y: last + 4, class: "named", fill: end.color, "font-weight": end.bold ? 700 : 400 }, end.name));
  }
  const named = [];
  for (const { point, color, ink = color, radius = 5, name } of dots) {
    const [[px, py] = []] = at([point]);
    if (px === undefined) continue;
    parts.push(svg("circle", { cx: px, cy: py, r: radius, fill: color, opacity: 0.85 }, svg("title", {}, name ?? "")));
    if (name && radius > 5.5) named.push({ name, color: ink, x: px + radius + 3, y: py });
  }
  let above = Infinity;
  for (const { name, color, x: px, y: py } of named.sort((one, two) => two.y - one.y)) {
    above = Math.min(py, above - 13);
    const left = px + 6 * name.length > W;
    parts.push(svg("text", { x: left ? px - 22 : px, y: above + 4, "text-anchor": left ? "end" : "start", class: "named", fill: color }, name));
  }
  for (const { at: value, color } of marks) {
    const px = xs.at(value);
    if (inside([px, 0])) parts.push(svg("line", { x1: px, x2: px, y1: TOP, y2: H - BOTTOM, stroke: color, "stroke-dasharray": "4 3" }));
  }
  const clip = svg("clipPath", { id: inner }, svg("rect", { x: LEFT, y: TOP, width: W - LEFT - RIGHT, height: H - TOP - BOTTOM }));
  return svg("svg", { class: "plot", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": title, xmlns: "http://www.w3.org/2000/svg" }, svg("defs", {}, clip), parts);
}

function scale({ log, range }, [from, to]) {
  let [low, high] = range;
  if (!(high > low)) high = low * 2 || 1;
  const f = log ? Math.log : (v) => v;
  const at = (value) => Math.round(10 * (from + ((f(value) - f(low)) / (f(high) - f(low))) * (to - from))) / 10;
  return { at, ticks: log ? powers(low, high) : steps(low, high) };
}

function powers(low, high) {
  const out = [];
  const each = Math.log10(high / low) > 3.2 ? [1] : Math.log10(high / low) > 1.4 ? [1, 3] : [1, 2, 5];
  for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) for (const m of each) {
    const tick = m * 10 ** k;
    if (tick >= low && tick <= high) out.push(tick);
  }
  const every = Math.ceil(out.length / 7);
  return out.filter((_, i) => i % every === 0);
}

function steps(low, high) {
  const raw = (high - low) / 5, base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * base).find((s) => s >= raw);
  const out = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) out.push(tick);
  return out;
}

export function span(values, pad = 1.3) {
  const kept = values.filter((v) => Number.isFinite(v) && v > 0);
  return kept.length ? [Math.min(...kept) / pad, Math.max(...kept) * pad] : [0.1, 1];
}

// The same, out to whole decades: axes then rest while a slider moves what they show.
export function decades(values, pad) {
  const [low, high] = span(values, pad);
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high))];
}

const COLORS = ["var(--blue)", "var(--orange)", "var(--green)", "var(--purple)", "var(--red)", "var(--grey)"];

// Parts of a whole as bars with their names.
export function bars(parts, show) {
  const rows = Object.entries(parts).filter(([, value]) => typeof value === "number" && value > 0);
  const most = Math.max(...rows.map(([, value]) => value)), y = (i) => rows.length - i;
  return plot({
    title: rows.map(([name, value]) => `${name} ${show(value)}`).join(", "),
    x: { log: false, range: [0, most * 1.5], label: "", show }, y: { log: false, range: [0, rows.length + 0.6], label: "", show: () => "" },
    lines: rows.map(([, value], i) => ({ points: [[0, y(i)], [value, y(i)]], color: COLORS[i % COLORS.length], bold: true, name: "" })),
    dots: rows.map(([name, value], i) => ({ point: [value, y(i)], radius: 5.6, color: COLORS[i % COLORS.length], name: `${name.replace(/_(s|bytes)$/, "")} ${show(value)}` })),
  });
}
