// A figure of the last frames, with its limits.

import { svg } from "/static/dom.js";

const [WIDTH, HEIGHT, MARGIN] = [150, 34, 3];

export function spark(values, { min, max }) {
  const known = values.filter((each) => typeof each === "number" && Number.isFinite(each));
  const limits = [min, max].filter((each) => typeof each === "number");
  const all = [...known, ...limits];
  const box = { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "spark", "aria-hidden": "true", preserveAspectRatio: "none" };
  if (all.length === 0) return svg("svg", box);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const span = high - low || 1;
  const y = (value) => (HEIGHT - MARGIN - ((value - low) / span) * (HEIGHT - 2 * MARGIN)).toFixed(1);
  const x = (at) => ((at / Math.max(1, values.length - 1)) * WIDTH).toFixed(1);
  const points = values.flatMap((each, at) => (typeof each === "number" && Number.isFinite(each) ? [`${x(at)},${y(each)}`] : []));
  return svg("svg", box,
    limits.map((each) => svg("line", { x1: 0, x2: WIDTH, y1: y(each), y2: y(each), class: "limit" })),
    svg("polyline", { points: points.join(" "), class: "value" }));
}
