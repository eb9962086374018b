// A part to look at: its picture fetched before its turn comes, so that no answer waits for one.

import { ask } from "/static/api.js";
import { h, pairs } from "/static/dom.js";
import { picture } from "/static/picture.js";
import { badge, verdictBadge } from "/static/shapes.js";
import { number, t, time, word } from "/static/text.js";

const ZOOM = 3;

export class Look {
  // told: called when the picture is there, or known not to be.
  constructor(item, told) {
    this.item = item;
    this.told = told;
    this.id = item.result_id;
    this.picture = h("div", { class: "looked" });
    this.regions = [];
    this.shown = false;
    this.gone = false;
    this.load();
  }

  get name() { return this.item.part ?? t("part.unnamed", { seq: this.item.seq }); }

  async load() {
    const { station, seq } = this.item;
    let result = { seq, part: this.item.part, regions: [] };
    try {
      result = (await ask("GET", `/api/stations/${encodeURIComponent(station)}/results/${seq}`)).result;
    } catch { /* the picture says it too, without its regions */ }
    this.regions = Array.isArray(result.regions) ? result.regions : [];
    // of a part that passed only the shadow may have kept it
    const figure = picture(station, { ...result, image: result.image ?? this.id });
    const look = () => {
      this.shown = figure.querySelector("img") !== null && figure.querySelector(".frame") !== null;
      this.gone = figure.querySelector('.none:not([data-why="unreachable"])') !== null;
      this.told();
    };
    new MutationObserver(look).observe(figure, { childList: true });
    look();
    this.picture.replaceChildren(figure);
    figure.addEventListener("click", (event) => { if (event.target.closest("button") === null) this.zoom(event); });
  }

  // Near where it was clicked, or near its worst region.
  zoom(event) {
    const frame = this.picture.querySelector(".frame");
    if (frame === null) return;
    const box = frame.getBoundingClientRect();
    const [x, y] = event ? [event.clientX - box.left, event.clientY - box.top] : this.worst(frame);
    if (!frame.classList.contains("zoomed")) {
      frame.style.transformOrigin = `${(100 * x) / box.width}% ${(100 * y) / box.height}%`;
      frame.style.transform = `scale(${ZOOM})`;
    } else {
      frame.style.transform = "";
    }
    frame.classList.toggle("zoomed");
  }

  worst(frame) {
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    const image = frame.querySelector("img");
    const worst = [...this.regions].sort((a, b) => Number(b.score) - Number(a.score))[0];
    if (!worst || !image) return [width / 2, height / 2];
    const scale = Math.min(width / image.naturalWidth, height / image.naturalHeight);
    const at = (side, length, natural, whole) => (whole - scale * natural) / 2 + scale * (Number(worst[side]) + Number(worst[length]) / 2);
    return [at("x", "width", image.naturalWidth, width), at("y", "height", image.naturalHeight, height)];
  }

  head(severalStations) {
    const item = this.item;
    return h("div", { class: "why" },
      h("div", { class: "badges" },
        badge(item.second ? "circle" : "doubt", item.second ? t("interest.second") : word("interest", item.interest), ""),
        verdictBadge(item.evaluation)),
      h("h2", { id: "part-title" }, t("history.detail", { part: this.name })),
      item.second ? h("p", { class: "quiet" }, t("review.second_words")) : null,
      pairs([
        ...(severalStations ? [[t("history.station"), item.station]] : []),
        [t("part.score"), number(item.score, 3)],
        ...(typeof item.novelty === "number" ? [[t("part.novelty"), number(item.novelty, 2)]] : []),
        ...(item.label ? [[t("review.station_says"), item.label]] : []),
        [t("part.time"), time(item.captured_at)],
      ]));
  }
}
