// The inputs of a page. A slider has its stops, and beside it a box that takes any value.
import { el } from "./dom.js";

export function controls(fields, state, changed) {
  return el("form", { class: "controls", "aria-label": "Scenario", onsubmit: (e) => e.preventDefault() }, fields.filter((f) => !f.hidden).map((field) => control(field, state, changed)));
}

function control(field, state, changed) {
  const set = (value, moving) => { state[field.name] = value; changed(field, moving); };
  const value = state[field.name];
  if (field.stops) {
    const box = el("input", { id: `f-${field.name}`, type: "text", value, autocomplete: "off", "aria-label": `${field.label}, exact`, placeholder: field.empty ?? "", onchange: (e) => { slider.value = nearest(field.stops, e.target.value); slider.setAttribute("aria-valuetext", e.target.value); set(e.target.value); } });
    const slider = el("input", {
      type: "range", min: 0, max: field.stops.length - 1, step: 1, value: nearest(field.stops, value), "aria-label": field.label, "aria-valuetext": value || field.empty, "data-name": field.name,
      oninput: (e) => { const stop = field.stops[e.target.value]; box.value = stop; e.target.setAttribute("aria-valuetext", stop || field.empty); set(stop, true); },
    });
    return el("fieldset", {}, el("legend", {}, field.label), el("div", { class: "slide" }, slider, box));
  }
  if (field.group) {
    return el("fieldset", {}, el("legend", {}, field.label), el("div", { class: "row" }, field.group.map((one) => el("label", {}, one.label, el("input", { type: "text", value: state[one.name], autocomplete: "off", placeholder: one.empty ?? "", "data-name": one.name, onchange: (e) => { state[one.name] = e.target.value; changed(one); } })))));
  }
  if (field.options) {
    const known = field.options.some(([each]) => each === value);
    const options = [...field.options, ...(known ? [] : [[value, value.startsWith("{") ? "your config.json" : value]])];
    return el("label", {}, field.label, el("select", { "data-name": field.name, onchange: (e) => set(e.target.value) }, options.map(([each, text]) => el("option", { value: each, selected: each === value }, text || each))));
  }
  if (field.file) {
    return el("label", {}, field.label, el("input", { type: "file", accept: field.file, onchange: async (e) => { if (e.target.files[0]) field.read(await e.target.files[0].text(), state, changed); } }));
  }
  return el("label", {}, field.label, el("input", { type: "text", value, autocomplete: "off", placeholder: field.empty ?? "", "data-name": field.name, onchange: (e) => set(e.target.value) }));
}

function nearest(stops, value) {
  const at = stops.indexOf(value);
  if (at >= 0) return at;
  const wanted = number(value);
  let best = 0;
  stops.forEach((stop, i) => { if (Math.abs(Math.log(number(stop) / wanted)) < Math.abs(Math.log(number(stops[best]) / wanted))) best = i; });
  return best;
}

function number(text) {
  const [, digits, unit] = /^([\d.]+)\s*([kKM]?)/.exec(text) ?? [0, "1", ""];
  return Number(digits) * { k: 1e3, K: 1e3, M: 1e6, "": 1 }[unit];
}

export const powers = (from, to, each) => {
  const out = [];
  for (let k = 0; from * 2 ** (k / each) <= to * 1.0001; k++) out.push(String(Math.round(from * 2 ** (k / each))));
  return [...new Set(out)];
};

// Fields that several pages have.
export const model = (value) => ({ name: "model", label: "Model", value, options: [[value, value]], from: "models" });
export const system = (value) => ({ name: "system", label: "System", value, options: [[value, value]], from: "systems" });
export const formats = [
  { name: "weights", label: "Weights", options: [["", "as published"], ["bf16"], ["fp8"], ["nvfp4"], ["mxfp4"], ["int4"]] },
  { name: "kv", label: "KV cache", options: [["", "bf16"], ["fp8"], ["nvfp4"]] },
];
export const own = [
  { name: "price", label: "Price of a chip", empty: "the catalogue's, or $2/h" },
  {
    label: "Your own chip: what differs from the system's", group: [
      ["bf16", "chip.peak.bf16", "bf16", "2 PFLOP/s"], ["fp8", "chip.peak.fp8", "fp8", "4 PFLOP/s"],
      ["hbm", "chip.hbm_capacity", "memory", "288 GB"], ["bandwidth", "chip.hbm_bandwidth", "its bandwidth", "8 TB/s"],
      ["link", "domain.bandwidth", "scale-up link", "900 GB/s"], ["power", "chip.power", "power", "1 kW"],
    ].map(([name, path, label, empty]) => ({ name, path, label, empty })),
  },
  { name: "set", label: "Other values", empty: "chip.hbm_bandwidth=2x" },
  {
    name: "config", label: "Your config.json (read, never stored)", file: ".json,application/json", local: true,
    read(text, state, changed) {
      try { state.model = JSON.stringify(JSON.parse(text)); } catch { state.model = text.trim().startsWith("{") ? text : `{${text.slice(0, 200)}`; }
      changed({ name: "model", redraw: true });
    },
  },
];
