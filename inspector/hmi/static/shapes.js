// A state and a verdict are a word, a shape and, only where something is wrong, a colour.

import { h, svg } from "/static/dom.js";
import { word } from "/static/text.js";

const SHAPES = {
  run: ["path", { d: "M7 4l14 8-14 8z" }],
  wait: ["path", { d: "M6 4h4v16H6zM14 4h4v16h-4z" }],
  stop: ["rect", { x: 5, y: 5, width: 14, height: 14 }],
  fault: ["path", { d: "M12 1l11 11-11 11L1 12zM11 7v7h2V7zM11 16v2h2v-2z", "fill-rule": "evenodd" }],
  gone: ["path", { d: "M4 6l2-2 6 6 6-6 2 2-6 6 6 6-2 2-6-6-6 6-2-2 6-6z" }],
  circle: ["circle", { cx: 12, cy: 12, r: 8, fill: "none", stroke: "currentColor", "stroke-width": 3 }],
  check: ["path", { d: "M9.5 20L2 12.5l2.5-2.5 5 5L19.5 4 22 6.5z" }],
  doubt: ["path", { d: "M12 1l11 20H1zM11 8v7h2V8zM11 17v2h2v-2z", "fill-rule": "evenodd" }],
  unknown: ["path", { d: "M12 1a11 11 0 100 22 11 11 0 000-22zM5 11h14v2H5z", "fill-rule": "evenodd" }],
};
const OF_STATE = {
  CONTINUOUS_EXECUTION: "run", SINGLE_EXECUTION: "run", READY: "wait", HALTED: "stop",
  ERROR: "fault", OFFLINE: "gone", PREOPERATIONAL: "circle", INITIALIZED: "circle",
};
const OF_EVALUATION = { OK: "check", NOT_OK: "fault", NOT_DECIDABLE: "doubt", UNDEFINED: "unknown" };

export function shape(name) {
  const [tag, attributes] = SHAPES[name] ?? SHAPES.unknown;
  return svg("svg", { viewBox: "0 0 24 24", class: "shape", "aria-hidden": "true" }, svg(tag, attributes));
}

function own(table, key) { return Object.hasOwn(table, key) ? table[key] : null; }

// tone: "fault" | "warn" | "silent" | "" (grey)
export function badge(shapeName, text, tone) {
  return h("span", { class: `badge ${tone}` }, shape(shapeName), h("span", {}, text));
}

export function stateBadge(state, stale) {
  if (stale) return badge("gone", word("state", state === "OFFLINE" ? "OFFLINE" : "SILENT"), "silent");
  return badge(own(OF_STATE, state) ?? "unknown", word("state", state), state === "ERROR" ? "fault" : "");
}

export function verdictBadge(evaluation) {
  const tones = { NOT_OK: "fault", NOT_DECIDABLE: "warn", UNDEFINED: "undefined" };
  return badge(own(OF_EVALUATION, evaluation) ?? "unknown", word("evaluation", evaluation),
    own(tones, evaluation) ?? "");
}
