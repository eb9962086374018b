// What other limits would have meant: the curve of the bundle's report, and the station's last parts.

import { h, replace, svg } from "/static/dom.js";
import { number, t } from "/static/text.js";

const [WIDE, HIGH, LEFT, RIGHT, LOW, TOP] = [560, 210, 48, 18, 28, 8];

// At a limit: escapes grow with it and overkill falls, so between two points the worse of both.
export function predicted(curve, at) {
  const { points } = curve;
  const above = points.find((each) => each[0] >= at) ?? points[points.length - 1];
  const below = [...points].reverse().find((each) => each[0] <= at) ?? points[0];
  return { escapes: above[1], bound: above[2], overkill: below[3] };
}

// Of the last parts: how many there are, and what they would have been.
export function counted(points, { review_at: review, reject_at: reject }) {
  const scores = points.map((each) => each[1]).filter((each) => typeof each === "number");
  return {
    n: scores.length,
    ok: scores.filter((each) => each < review).length,
    doubt: scores.filter((each) => each >= review && each < reject).length,
    bad: scores.filter((each) => each >= reject).length,
  };
}

export class TradeOff {
  // onMove(name, value): name is review_at or reject_at, dragged in the picture.
  constructor(onMove) {
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "tradeoff", role: "img", "aria-label": t("recipe.curve") });
    this.legend = h("ul", { class: "legend" }, ["escape", "overkill", "review", "reject", "own"].map((each) => h("li", { class: `is-${each}` }, t(`recipe.legend_${each}`))));
    this.element = h("div", {}, this.drawing, this.legend);
    this.curve = null;
    let held = null;
    this.drawing.addEventListener("pointerdown", (event) => {
      if (this.limits === undefined) return;
      const at = this.at(event);
      const { review_at: review, reject_at: reject } = this.limits;
      held = Math.abs(at - review) <= Math.abs(at - reject) ? "review_at" : "reject_at";
      if (review === reject) held = at < review ? "review_at" : "reject_at";
      this.drawing.setPointerCapture(event.pointerId);
      onMove(held, at);
    });
    this.drawing.addEventListener("pointermove", (event) => { if (held !== null) onMove(held, this.at(event)); });
    for (const name of ["pointerup", "pointercancel"]) this.drawing.addEventListener(name, () => { held = null; });
  }

  at(event) {
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.drawing.getScreenCTM().inverse());
    return Math.min(1, Math.max(0, Math.round(((place.x - LEFT) / (WIDE - LEFT - RIGHT)) * 1000) / 1000));
  }

  show(curve, limits, own) {
    this.limits = limits;
    const x = (at) => LEFT + at * (WIDE - LEFT - RIGHT);
    const y = (share) => HIGH - LOW - share * (HIGH - LOW - TOP);
    const parts = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      parts.push(svg("line", { class: "gridline", x1: LEFT, x2: WIDE - RIGHT, y1: y(share), y2: y(share) }),
        svg("text", { x: LEFT - 6, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
        svg("text", { x: x(share), y: HIGH - 8, "text-anchor": "middle" }, number(share, 2)));
    }
    if (curve) {
      const line = (value) => curve.points.map((each) => `${x(each[0]).toFixed(1)},${y(value(each)).toFixed(1)}`).join(" ");
      parts.push(
        svg("polyline", { class: "bound", points: line((each) => each[2]) }),
        svg("polyline", { class: "escape", points: line((each) => each[1] / curve.defects) }),
        svg("polyline", { class: "overkill", points: line((each) => each[3] / curve.good) }));
    }
    const mark = (at, kind) => svg("line", { class: kind, x1: x(at), x2: x(at), y1: TOP, y2: HIGH - LOW });
    if (own) parts.push(mark(own.review_at, "own"), mark(own.reject_at, "own"));
    parts.push(mark(limits.review_at, "review"), mark(limits.reject_at, "reject"));
    replace(this.drawing, parts);
  }
}
