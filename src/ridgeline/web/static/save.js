// Taking a view along: link, command line, Python, CSV, JSON, SVG, PNG.
import { el, said } from "./dom.js";

export function toolbar(view) {
  const button = (text, work) => el("button", { type: "button", onclick: work }, text);
  return el("div", { class: "row bar", role: "group", "aria-label": "Take along" },
    view.pin ? button("Pin to compare", view.pin) : null,
    button("Copy link", () => copied(location.href, "link")),
    button("Copy CLI", () => copied(view.line(), "command")),
    button("Copy Python", () => copied(view.python(), "Python")),
    button("CSV", () => saved(csv(view.rows()), "ridgeline.csv", "text/csv")),
    button("JSON", () => saved(JSON.stringify(view.answer(), null, 2), "ridgeline.json", "application/json")),
    button("SVG", () => pictures().forEach((picture, i) => saved(standalone(picture), `ridgeline-${i + 1}.svg`, "image/svg+xml"))),
    button("PNG", () => pictures().forEach((picture, i) => png(picture, `ridgeline-${i + 1}.png`))),
  );
}

async function copied(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    said(`Copied the ${what}.`);
  } catch {
    const dialog = document.getElementById("explain");
    dialog.replaceChildren(el("h2", {}, `The ${what}`), el("pre", { tabindex: "0" }, text), el("button", { type: "button", onclick: () => dialog.close() }, "Close"));
    dialog.showModal();
  }
}

function saved(text, name, type) { download(new Blob([text], { type }), name); }

function download(blob, name) {
  const url = URL.createObjectURL(blob), link = el("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  said(`Saved ${name}.`);
}

export function csv({ names, rows }) {
  const cell = (value) => { const text = value === null || value === undefined ? "" : String(value); return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text; };
  return [names, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function pictures() {
  const found = [...document.querySelectorAll("svg.plot")];
  if (!found.length) said("There is no picture on this page.");
  return found;
}

// Colours come from the page; a file has none, so they are written out.
export function standalone(picture) {
  const copy = picture.cloneNode(true), from = [picture, ...picture.querySelectorAll("*")], to = [copy, ...copy.querySelectorAll("*")];
  from.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of ["fill", "stroke"]) if (node.getAttribute(name)?.startsWith("var(") || (name === "fill" ? node.tagName === "text" : node.classList.contains("grid"))) to[i].setAttribute(name, style[name]);
  });
  const [, , w, h] = picture.getAttribute("viewBox").split(" ");
  for (const [name, value] of Object.entries({ width: w, height: h, "font-family": "sans-serif", "font-size": 12 })) copy.setAttribute(name, value);
  const back = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of Object.entries({ width: w, height: h, fill: getComputedStyle(document.documentElement).backgroundColor })) back.setAttribute(name, value);
  copy.prepend(back);
  return new XMLSerializer().serializeToString(copy);
}

async function png(picture, name) {
  const image = new Image(), [, , w, h] = picture.getAttribute("viewBox").split(" ").map(Number);
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(picture))}`;
  await image.decode();
  const canvas = el("canvas", { width: 2 * w, height: 2 * h });
  canvas.getContext("2d").drawImage(image, 0, 0, 2 * w, 2 * h);
  canvas.toBlob((blob) => download(blob, name), "image/png");
}
