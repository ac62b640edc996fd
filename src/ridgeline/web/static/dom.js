// Making elements: el("p", {class: "note"}, "text", child). Text is text: nothing is ever read as HTML.
const SVG = "http://www.w3.org/2000/svg";

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node[key] = value;
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Shows `nodes` in `place` by changing only what differs: less to lay out, and focus and opened details stay.
export function morph(place, nodes) {
  const now = [...place.childNodes];
  nodes.forEach((node, i) => (now[i] ? patch(now[i], node) : place.append(node)));
  now.slice(nodes.length).forEach((node) => node.remove());
}

const HANDLERS = ["onclick", "ontoggle", "onchange", "oninput"];

function patch(old, node) {
  if (typeof node === "string") node = document.createTextNode(node);
  if (old.nodeName !== node.nodeName || old.nodeName === "CANVAS") return old.replaceWith(node);
  if (old.nodeType === Node.TEXT_NODE) { if (old.data !== node.data) old.data = node.data; return; }
  for (const name of old.getAttributeNames()) if (!node.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  for (const name of HANDLERS) old[name] = node[name];
  morph(old, [...node.childNodes]);
}

export function table(columns, rows, caption) {
  const head = columns.map(([text, numeric]) => el("th", { scope: "col", class: numeric ? "n" : null }, text));
  const body = rows.map((row) => el("tr", {}, row.map((cell, i) => el("td", { class: columns[i][1] ? "n" : null }, cell))));
  return el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, el("table", {}, el("thead", {}, el("tr", {}, head)), el("tbody", {}, body)));
}

export function said(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(said.timer);
  said.timer = setTimeout(() => { place.textContent = ""; }, 3000);
}
