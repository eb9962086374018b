// The scores of the last parts with the limits that held.

import { h, setText } from "/static/dom.js";
import { number, t } from "/static/text.js";
import uPlot from "/static/vendor/uplot/uPlot.esm.js";

const HEIGHT = 150;
const INK = "#3b4147";
const FAULT = "#b3261e";
const WARN = "#8a5a00";

export class Trend {
  constructor() {
    this.words = h("p", { class: "unseen" });
    this.box = h("div", { class: "plot", "aria-hidden": "true" });
    this.element = h("section", { class: "card trend" },
      h("div", { class: "headline" }, h("h2", {}, t("live.trend")), h("ul", { class: "legend", "aria-hidden": "true" },
        h("li", { class: "score" }, t("live.score")),
        h("li", { class: "rejected" }, t("live.not_passed")),
        h("li", { class: "review" }, t("live.review_at")),
        h("li", { class: "reject" }, t("live.reject_at")))),
      this.box, this.words);
    this.plot = null;
    new ResizeObserver(() => this.resize()).observe(this.box);
  }

  show(points) {
    const data = [
      points.map((point) => point[0]),
      points.map((point) => point[1]),
      points.map((point) => (point[2] === "OK" ? null : point[1])),
      points.map((point) => point[3]),
      points.map((point) => point[4]),
    ];
    if (this.plot === null) this.plot = new uPlot(this.options(), data, this.box);
    else this.plot.setData(data);
    const last = points[points.length - 1];
    setText(this.words, last ? t("live.trend_words", { count: points.length, score: number(last[1], 3), review: number(last[3], 3), reject: number(last[4], 3) }) : "");
  }

  resize() {
    if (this.plot !== null && this.box.clientWidth > 0) {
      this.plot.setSize({ width: this.box.clientWidth, height: HEIGHT });
    }
  }

  options() {
    const step = uPlot.paths.stepped({ align: 1 });
    const axis = { stroke: INK, grid: { stroke: "#d4d8dc", width: 1 }, ticks: { stroke: "#d4d8dc" }, font: "13px system-ui, sans-serif" };
    return {
      width: Math.max(200, this.box.clientWidth), height: HEIGHT,
      legend: { show: false }, cursor: { show: false },
      scales: { x: { time: false }, y: { range: [0, 1] } },
      axes: [{ ...axis, values: (_plot, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? String(tick) : "")) }, { ...axis, size: 44 }],
      series: [
        {},
        { stroke: "#6b7480", width: 1.5, points: { show: false } },
        { paths: () => null, points: { show: true, size: 7, fill: FAULT, stroke: FAULT } },
        { stroke: WARN, width: 1.5, dash: [3, 4], paths: step, points: { show: false } },
        { stroke: FAULT, width: 1.5, dash: [9, 5], paths: step, points: { show: false } },
      ],
    };
  }
}
