// The camera's picture held against the recipe's reference, in one of four ways.

import { h, replace, setText, svg } from "/static/dom.js";
import { keyed } from "/static/keys.js";
import { number, t } from "/static/text.js";

export const WAYS = ["side", "difference", "flicker", "overlay"];
const FLICKER_MS = 700; // well below three times a second
const SAME_TO = 30; // grey levels: less is noise, and the part's own look

export class Compare {
  constructor() {
    this.live = null;
    this.reference = null;
    this.landmarks = [];
    this.landmarkPx = 0;
    this.way = "side";
    this.share = 50;
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.box = h("div", { class: "compare" });
    this.words = h("p", { class: "quiet words" });
    this.buttons = WAYS.map((way, at) => keyed(String(at + 1), t(`camera.${way}`), () => this.choose(way)));
    this.press();
    this.slider = h("input", { type: "range", min: 0, max: 100, value: this.share, "aria-label": t("camera.share"), oninput: () => this.blend() });
    this.element = h("div", { class: "comparing" },
      h("div", { class: "buttons", role: "group", "aria-label": t("camera.ways") }, this.buttons), this.slider, this.box, this.words);
    setInterval(() => { if (this.way === "flicker" && !this.still && !document.hidden) this.flip(); }, FLICKER_MS);
    this.draw();
  }

  // image: an element whose picture is there; null: there is none, and the words say why.
  show(which, image, words = "") {
    this[which] = image;
    this[`${which}Words`] = words;
    this.draw();
  }

  choose(way) {
    if (way === "flicker" && this.way === "flicker") this.flip();
    this.way = way;
    this.press();
    this.draw();
  }

  press() { WAYS.forEach((each, at) => this.buttons[at].setAttribute("aria-pressed", String(each === this.way))); }

  draw() {
    const both = this.live !== null && this.reference !== null;
    const way = both ? this.way : "side";
    this.buttons.forEach((button, at) => { button.disabled = !both && at > 0; });
    this.slider.hidden = way !== "overlay";
    this.box.className = `compare ${way}`;
    setText(this.words, way === "flicker" && this.still ? t("camera.flicker_still") : way !== "side" ? t(`camera.${way}_words`) : both && this.landmarks.length ? t("camera.side_words") : "");
    if (way === "side") replace(this.box, this.figure("live"), this.figure("reference"));
    else if (way === "difference") replace(this.box, this.difference());
    else replace(this.box, h("div", { class: "layers" }, copy(this.reference), copy(this.live)));
    if (way === "overlay") this.blend();
  }

  figure(which) {
    const image = this[which];
    const body = image === null ? h("p", { class: "none" }, this[`${which}Words`] || "…")
      : h("div", { class: "frame" }, copy(image), which === "reference" ? this.marks(image) : null);
    return h("figure", { class: "picture" }, body, h("figcaption", {}, t(`camera.${which}`)));
  }

  marks(image) {
    const px = this.landmarkPx;
    return svg("svg", { viewBox: `0 0 ${image.naturalWidth} ${image.naturalHeight}`, class: "overlay", "aria-hidden": "true" },
      this.landmarks.map(([x, y]) => svg("rect", { x, y, width: px, height: px, class: "landmark" })));
  }

  flip() { this.box.querySelector(".layers")?.classList.toggle("under"); }

  blend() {
    this.share = Number(this.slider.value);
    const top = this.box.querySelector(".layers")?.lastElementChild;
    if (top) top.style.opacity = String(this.share / 100);
  }

  // Grey where both are alike; what differs stands out. Measured at the reference's size.
  difference() {
    const [width, height] = [this.reference.naturalWidth, this.reference.naturalHeight];
    const [live, reference] = [pixels(this.live, width, height), pixels(this.reference, width, height)];
    const canvas = h("canvas", { width, height, role: "img", "aria-label": t("camera.difference") });
    const out = new ImageData(width, height);
    let [sum, far] = [0, 0];
    for (let at = 0; at < live.length; at += 4) {
      const apart = Math.abs(live[at + 1] - reference[at + 1]); // green, as the station measures
      sum += apart;
      const ground = 40 + live[at + 1] / 3;
      const differs = apart > SAME_TO;
      far += differs ? 1 : 0;
      out.data.set(differs ? [255, Math.max(0, 190 - 1.2 * (apart - SAME_TO)), 40, 255] : [ground, ground, ground, 255], at);
    }
    canvas.getContext("2d").putImageData(out, 0, 0);
    const count = live.length / 4;
    setText(this.words, t("camera.difference_found", { mean: number(sum / count, 1), percent: number((100 * far) / count, 1), levels: SAME_TO }));
    return canvas;
  }
}

function copy(image) {
  const made = h("img", { alt: image.alt });
  made.src = image.src;
  return made;
}

function pixels(image, width, height) {
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return context.getImageData(0, 0, width, height).data;
}
