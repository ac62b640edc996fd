// Training, its pipeline: one schedule drawn, all of them side by side.
import { el, html, svg, table } from "../dom.js";
import { FACT, number } from "../explain.js";
import { digits, show } from "../format.js";
import { facts, figure } from "../view.js";

const NAMES = ["gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v", "v-half", "v-min", "dualpipe", "dualpipev"];
const fields = [
  { name: "schedule", label: "Schedule", value: "1f1b", options: NAMES.map((name) => [name, name]) },
  { name: "stages", label: "Stages: devices of the pipeline", value: "8", stops: ["2", "4", "8", "16", "32", "64"] },
  { name: "micro_batches", label: "Micro-batches of a step", value: "32", stops: ["4", "8", "16", "32", "64", "128", "256"] },
  { name: "virtual", label: "Chunks of layers per device (interleaved)", value: "2", stops: ["2", "4", "8"] },
  { name: "forward", label: "Forward of a micro-batch", value: "1ms" }, { name: "gradient", label: "Gradient of the input", value: "1ms" },
  { name: "weight", label: "Gradient of the weights", value: "1ms" }, { name: "message", label: "Message to the next device", value: "0s" },
];
const COLORS = { "forward": "var(--blue)", "gradient of the input": "var(--orange)", "gradient of the weights": "var(--green)", "whole backward": "var(--orange)", "forward beside backward": "var(--purple)" };
const DOUBT = "Every micro-batch takes the same time on every device here; real ones differ, and the slowest stage sets the pace.";

const CLOSED = { "gpipe": "(stages - 1) * (F + B + W)", "1f1b": "(stages - 1) * (F + B + W)" };

function origins(a, one) {
  const sizes = [["stages", String(a.stages), "--stages"], ["micro_batches", String(a.micro_batches), "--micro-batches"], ["F", show(a.forward_s, "s"), "--forward"], ["B", show(a.gradient_s, "s"), "--gradient"], ["W", show(a.weight_s, "s"), "--weight"]];
  const closed = show(one.idle_closed_form_s, "s");
  return {
    step: { name: `${one.schedule}, step`, text: "from the first operation to the last, simulated event by event", formula: "micro_batches * (F + B + W) + idle", inputs: [...sizes, ["idle", show(one.idle_s, "s"), "of the device that waits longest"]], trust: DOUBT },
    idle: { name: `${one.schedule}, idle`, text: "bubble of the device that waits longest, simulated; the closed form beside it must agree", formula: CLOSED[one.schedule] ?? "step - micro_batches * (F + B + W)", inputs: [...sizes, ["step", show(one.step_s, "s"), "simulated"], ["closed form", closed, "of the schedule's paper"]], trust: DOUBT },
    share: { name: `${one.schedule}, idle share`, text: "share of the step in which that device waits", formula: "idle / step", inputs: [["idle", show(one.idle_s, "s"), "simulated"], ["step", show(one.step_s, "s"), "simulated"]], trust: DOUBT },
    closed: { name: `${one.schedule}, closed form`, text: "the bubble by the schedule's paper; `ridgeline pipeline` says where they differ", formula: CLOSED[one.schedule] ?? "the paper's, of stages, micro_batches, F, B, W", inputs: sizes, trust: DOUBT },
    copies: { name: `${one.schedule}, copies of the weights`, text: "of each layer's weights on all devices together", formula: "directions", inputs: [["directions", String(one.weight_copies), `in which ${one.schedule} sends micro-batches`]], trust: FACT },
    messages: { name: `${one.schedule}, messages`, text: "bytes sent between devices, over those of 1F1B", formula: "crossings / (2 * (stages - 1) * micro_batches)", inputs: [["crossings", digits(one.messages_per_1f1b * 2 * (a.stages - 1) * a.micro_batches), "of a micro-batch to another device, counted in the schedule"], ...sizes.slice(0, 2)], trust: FACT },
    flight: { name: `${one.schedule}, in flight`, text: "micro-batches whose activations the fullest device holds at once", formula: "max over time(begun - released) of micro_batches", inputs: [...sizes, ["closed form", digits(one.in_flight_closed_form_micro_batches), "of the schedule's paper"]], trust: DOUBT },
  };
}

export const pipeline = {
  part: "pipeline", tab: "Pipeline", title: "Training", command: "pipeline", slow: true, fields,
  presets: [["what pipelines buy", "part=pipeline&schedule=1f1b&stages=4&micro_batches=8"], ["the bubble of GPipe", "part=pipeline&schedule=gpipe&stages=4&micro_batches=4"], ["no bubble", "part=pipeline&schedule=zb-v"], ["two directions", "part=pipeline&schedule=dualpipe"]],
  lead: "A schedule of pipeline parallelism: what every device does when, how long it waits, and what the others would take.",
  trust: DOUBT,
  facts: (a) => {
    const one = a.schedules.find(({ schedule }) => schedule === a.schedule), of = origins(a, one);
    return [["schedule", a.schedule], ["step", one.step_s, "s", of.step], ["idle", one.idle_s, "s", of.idle], ["idle share", `${digits(100 * one.idle_share)}%`, "", of.share], ["micro-batches in flight at most", Math.max(...one.in_flight_micro_batches), "1", of.flight], ["copies of the weights", one.weight_copies, "1", of.copies]];
  },
  rows: (a) => ({ names: Object.keys(a.schedules[0]), rows: a.schedules.map((each) => Object.values(each).map((value) => (Array.isArray(value) ? value.join(" ") : value))) }),
  draw: (a, { params }) => [
    facts(pipeline.facts(a), params), figure(`${a.schedule}: devices from above, time to the right`, html("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Diagram" }, diagram(a))),
    table([["schedule", false], ["step", true], ["idle", true], ["closed form", true], ["idle share", true], ["in flight at most", true], ["copies of weights", true], ["messages", true]], a.schedules.map((one) => { const of = origins(a, one); return [one.schedule, number(show(one.step_s, "s"), of.step), number(show(one.idle_s, "s"), of.idle), number(show(one.idle_closed_form_s, "s"), of.closed), number(`${digits(100 * one.idle_share)}%`, of.share), number(digits(Math.max(...one.in_flight_micro_batches)), of.flight), number(String(one.weight_copies), of.copies), number(`${digits(one.messages_per_1f1b)}x`, of.messages)]; }), "Schedules"),
    ...Object.entries(a.refused).map(([name, why]) => el("p", { class: "note" }, `${name}: needs ${why}`)),
  ],
};

function diagram({ schedule, diagram: { columns, devices, rows } }) {
  const left = 34, width = 960, row = 18, height = row * devices.length + 34, x = (column) => left + ((width - left) * column) / columns;
  const used = Object.keys(COLORS).filter((kind) => rows.some((stretches) => stretches.some(([of]) => of === kind)));
  const bars = rows.flatMap((stretches, i) => [
    svg("text", { x: left - 6, y: row * i + 13, "text-anchor": "end" }, String(devices[i])),
    ...used.map((kind) => svg("path", { fill: COLORS[kind], stroke: "var(--paper)", "stroke-width": 0.7, d: stretches.filter(([of]) => of === kind).map(([, a, b]) => `M${x(a).toFixed(1)} ${row * i + 2}H${x(b).toFixed(1)}V${row * (i + 1)}H${x(a).toFixed(1)}Z`).join("") })),
  ]);
  const legend = used.flatMap((kind, i) => [svg("rect", { x: left + 185 * i, y: height - 20, width: 11, height: 11, fill: COLORS[kind] }), svg("text", { x: left + 185 * i + 16, y: height - 10 }, kind)]);
  return svg("svg", { class: "plot broad", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${schedule} on ${devices.length} devices: ${used.join(", ")}; gaps are idle`, xmlns: "http://www.w3.org/2000/svg" }, bars, legend);
}
