// Where the bundle saw a defect on a picture (contract/defect_map.py says what the file holds).
//
// Only what is unlike good parts is filled and outlined: the outline, dark beside light, needs no
// eye for colours, and the fill has none of a state or a verdict. A button and Alt+M hide all maps.

import { h } from "/static/dom.js";
import { percent, t } from "/static/text.js";

const UNSEEN = 0;
const MIDDLE = 128; // unlike good parts above it
const MOST = 255;
const FILL = "0, 200, 255";
const FAINT = 0.12;
const STRONG = 0.4;
const DRAWN_PX = 1024; // the longer side of what is drawn
const KEPT = "inspector.map";
const PLACES = [["top_left", "top", "top_right"], ["left", "middle", "right"], ["bottom_left", "bottom", "bottom_right"]];

// The map of a kept picture: `canvas(width, height)` in the picture's shape, and its `words`.
// null where there is none.
export async function defectMap(station, id) {
  const answer = await fetch(`/api/stations/${encodeURIComponent(station)}/maps/${encodeURIComponent(id)}`);
  if (answer.status !== 200) return null;
  const image = await createImageBitmap(await answer.blob());
  const [width, height] = [image.width, image.height];
  const read = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  read.drawImage(image, 0, 0);
  const values = read.getImageData(0, 0, width, height).data.filter((_, i) => i % 4 === 0);
  const grid = { values, width, height };
  return { canvas: (wide, high) => draw(grid, wide, high), words: words(grid) };
}

// A button for a map; every one on the page shows and hides all maps.
export function mapButton() {
  return h("button", { type: "button", class: "map-button", "aria-pressed": String(isShown()), "aria-keyshortcuts": "Alt+M",
    "aria-label": t("map.name"), onclick: turn }, t("map.toggle"));
}

export function noMap() { return h("p", { class: "map-words" }, t("map.none")); }

export function mapWords(map) { return h("figcaption", { class: "map-words" }, map.words); }

function isShown() {
  try { return localStorage.getItem(KEPT) !== "off"; } catch { return true; }
}

function turn() {
  const next = !isShown();
  try { localStorage.setItem(KEPT, next ? "on" : "off"); } catch { return; }
  obey();
}

function obey() {
  document.documentElement.classList.toggle("without-maps", !isShown());
  for (const each of document.querySelectorAll(".map-button")) each.setAttribute("aria-pressed", String(isShown()));
}

obey();
window.addEventListener("storage", obey); // another tab's
window.addEventListener("keydown", (event) => {
  if (event.altKey && !event.ctrlKey && !event.metaKey && event.code === "KeyM" && document.querySelector(".map-button")) {
    event.preventDefault();
    turn();
  }
});

function draw({ values, width, height }, wide, high) {
  const scale = DRAWN_PX / Math.max(wide, high);
  const canvas = h("canvas", { class: "map", width: Math.round(wide * scale), height: Math.round(high * scale), "aria-hidden": "true" });
  const pen = canvas.getContext("2d");
  const [across, down] = [canvas.width / width, canvas.height / height];
  const above = (x, y) => x >= 0 && y >= 0 && x < width && y < height && values[y * width + x] > MIDDLE;
  const edges = new Path2D();
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      if (!above(x, y)) continue;
      const strength = (values[y * width + x] - MIDDLE) / (MOST - MIDDLE);
      pen.fillStyle = `rgba(${FILL}, ${FAINT + (STRONG - FAINT) * strength})`;
      // to whole pixels, or neighbours show a seam
      const [left, top] = [Math.round(x * across), Math.round(y * down)];
      const [right, bottom] = [Math.round((x + 1) * across), Math.round((y + 1) * down)];
      pen.fillRect(left, top, right - left, bottom - top);
      const line = (x1, y1, x2, y2) => { edges.moveTo(x1, y1); edges.lineTo(x2, y2); };
      if (!above(x - 1, y)) line(left, top, left, bottom);
      if (!above(x + 1, y)) line(right, top, right, bottom);
      if (!above(x, y - 1)) line(left, top, right, top);
      if (!above(x, y + 1)) line(left, bottom, right, bottom);
    }
  }
  pen.lineCap = "square";
  for (const [width_, colour] of [[9, "#000"], [4, "#fff"]]) {
    pen.lineWidth = width_;
    pen.strokeStyle = colour;
    pen.stroke(edges);
  }
  return canvas;
}

function words({ values, width }) {
  let [seen, above, most] = [0, 0, 0];
  values.forEach((value, i) => {
    if (value !== UNSEEN) seen += 1;
    if (value > MIDDLE) above += 1;
    if (value > values[most]) most = i;
  });
  if (above === 0) return t("map.quiet");
  const height = values.length / width;
  const third = (at, of) => Math.min(2, Math.floor((3 * (at + 0.5)) / of));
  const place = PLACES[third(Math.floor(most / width), height)][third(most % width, width)];
  return t("map.words", { share: percent(above, seen), place: t(`map.${place}`) });
}
