// Making elements: el("p", {class: "note"}, "text", child). Text is text: nothing is ever read as HTML.
// What is redrawn often is described instead: html() and svg() give {name, attributes, children}, and `morph` compares the
// description with the one that stands there, and changes only what differs: less to lay out and to paint.
const HTML = "http://www.w3.org/1999/xhtml", SVG = "http://www.w3.org/2000/svg";
const DESCRIBED = Symbol("described");

export function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children.flat());
}

export function html(name, attributes = {}, ...children) {
  return { space: HTML, name, attributes, children: kept(children.flat()) };
}

export function svg(name, attributes = {}, ...children) {
  return { space: SVG, name, attributes, children: kept(children.flat()) };
}

const kept = (children) => children.filter((child) => child !== null && child !== undefined);
const described = (child) => typeof child === "object" && !(child instanceof Node);

function filled(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) set(node, key, value);
  node.append(...kept(children).map(built));
  return node;
}

function set(node, key, value) {
  if (key.startsWith("on")) node[key] = value;
  else if (value === true) node.setAttribute(key, "");
  else if (value === false || value === null || value === undefined) node.removeAttribute(key);
  else node.setAttribute(key, value);
}

export function built(child) {
  if (!described(child)) return child;
  const node = filled(document.createElementNS(child.space, child.name), child.attributes, child.children);
  node[DESCRIBED] = child;
  return node;
}

// Shows `children` in `place`: focus and opened details stay where the description of an element is of the same name.
export function morph(place, children) {
  children.forEach((child, i) => {
    const old = place.childNodes[i], was = old?.[DESCRIBED];
    if (!old) place.append(built(child));
    else if (was && described(child) && was.name === child.name) changed(old, was, child);
    else if (typeof child === "string" && old.nodeType === Node.TEXT_NODE) { if (old.data !== child) old.data = child; }
    else if (old !== child) old.replaceWith(built(child));
  });
  while (place.childNodes.length > children.length) place.lastChild.remove();
}

function changed(node, was, now) {
  for (const key of Object.keys(was.attributes)) if (!(key in now.attributes)) set(node, key, null);
  for (const [key, value] of Object.entries(now.attributes)) if (was.attributes[key] !== value) set(node, key, value);
  node[DESCRIBED] = now;
  morph(node, now.children);
}

export function table(columns, rows, caption) {
  const head = columns.map(([text, numeric]) => html("th", { scope: "col", class: numeric ? "n" : null }, text));
  const body = rows.map((row) => html("tr", {}, row.map((cell, i) => html("td", { class: columns[i][1] ? "n" : null }, cell))));
  return html("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, html("table", {}, html("thead", {}, html("tr", {}, head)), html("tbody", {}, body)));
}

export function said(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(said.timer);
  said.timer = setTimeout(() => { place.textContent = ""; }, 3000);
}
