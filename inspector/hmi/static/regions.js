// Rectangles on a picture: drawn, moved, resized and deleted, by pointer and by keyboard alike.
//
// Everything is in pixels of the frame. The picture and the drawing over it are fitted into one box
// by the same rule, so that a pointer's place is a place of the frame.

import { h, replace, svg } from "/static/dom.js";
import { t } from "/static/text.js";

const SIDE_MIN = 8;
const CORNERS = [["nw", 0, 0], ["ne", 1, 0], ["se", 1, 1], ["sw", 0, 1]];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const REACH_PX = 44; // of a corner, for a finger in a glove

export class RegionEditor {
  // onChange(regions): also while something is drawn.
  constructor(onChange) {
    this.onChange = onChange;
    this.regions = [];
    this.chosen = null;
    this.most = 64;
    this.size = [0, 0];
    this.locked = true;
    this.image = h("img", { alt: "" });
    this.drawing = svg("svg", { class: "draw", role: "group", "aria-label": t("recipe.drawing"), "aria-describedby": "draw-help" });
    this.board = h("div", { class: "board" }, this.image, this.drawing);
    this.add = h("button", { type: "button", onclick: () => this.addOne() }, t("recipe.add"));
    this.remove = h("button", { type: "button", onclick: () => this.removeChosen() }, t("recipe.remove"));
    this.rows = h("tbody", {});
    this.list = h("div", { class: "scroll regions", tabindex: "0", role: "region", "aria-label": t("recipe.regions") },
      h("table", {}, h("caption", { class: "unseen" }, t("recipe.regions")),
        h("thead", {}, h("tr", {}, [t("recipe.name"), "x", "y", t("recipe.width"), t("recipe.height")].map((each) => h("th", { scope: "col" }, each)))),
        this.rows));
    this.help = h("p", { id: "draw-help", class: "quiet help" }, t("recipe.help"));
    this.element = h("div", { class: "editor" }, this.board, h("div", { class: "buttons" }, this.add, this.remove), this.help, this.list);
    this.drawing.addEventListener("pointerdown", (event) => this.down(event));
    this.drawing.addEventListener("pointermove", (event) => this.moved(event));
    for (const name of ["pointerup", "pointercancel"]) this.drawing.addEventListener(name, (event) => this.up(event));
    this.drag = null;
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.board);
  }

  // A picture of the frame, and the frame's size in pixels.
  show(address, alt, width, height) {
    this.size = [width, height];
    if (this.image.getAttribute("src") !== address) this.image.src = address;
    this.image.alt = alt;
    this.board.style.aspectRatio = `${width} / ${height}`;
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.draw();
  }

  // locked: shown, not to be changed.
  set(regions, { locked, most = 64 }) {
    this.regions = regions.map((each) => ({ ...each }));
    this.locked = locked;
    this.most = most;
    this.chosen = this.regions.length && !locked ? 0 : null;
    this.build();
  }

  build() {
    this.add.disabled = this.locked || this.regions.length >= this.most || !this.size[0];
    this.remove.disabled = this.locked || this.chosen === null;
    this.list.hidden = this.locked || this.regions.length === 0;
    this.help.hidden = this.locked;
    replace(this.rows, this.regions.map((region, i) => h("tr", { class: i === this.chosen ? "chosen" : "" },
      h("td", {}, this.field(i, "name", { maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*" })),
      ["x", "y", "width", "height"].map((key) => h("td", {}, this.field(i, key, { type: "number", min: 0, step: 1, inputmode: "numeric" }))))));
    this.draw();
  }

  field(i, key, attributes) {
    const change = (event) => {
      const value = key === "name" ? event.target.value.trim() : Math.round(Number(event.target.value));
      this.change(i, { ...this.regions[i], [key]: value }, { from: event.target });
      event.target.value = String(this.regions[i][key]);
    };
    return h("input", { ...attributes, value: this.regions[i][key], autocomplete: "off", "data-key": key,
      "aria-label": `${this.regions[i].name}: ${t(`recipe.${key}`)}`, onchange: change, onfocus: () => this.choose(i) });
  }

  // Kept inside the frame and large enough, whatever was asked for.
  change(i, wanted, { from = null } = {}) {
    const [width, height] = this.size;
    const region = { ...wanted };
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(region.name) || this.regions.some((each, j) => j !== i && each.name === region.name)) region.name = this.regions[i].name;
    region.width = Math.min(width, Math.max(SIDE_MIN, Math.round(region.width) || SIDE_MIN));
    region.height = Math.min(height, Math.max(SIDE_MIN, Math.round(region.height) || SIDE_MIN));
    region.x = Math.min(width - region.width, Math.max(0, Math.round(region.x) || 0));
    region.y = Math.min(height - region.height, Math.max(0, Math.round(region.y) || 0));
    this.regions[i] = region;
    for (const input of this.rows.children[i]?.querySelectorAll("input") ?? []) {
      if (input !== from) input.value = String(region[input.dataset.key]);
    }
    this.draw();
    this.onChange(this.regions);
  }

  choose(i) {
    if (this.locked || this.chosen === i) return;
    this.chosen = i;
    this.remove.disabled = i === null;
    [...this.rows.children].forEach((row, j) => row.classList.toggle("chosen", i === j));
    this.draw();
  }

  addOne(box = null) {
    const [width, height] = this.size;
    let n = this.regions.length + 1;
    while (this.regions.some((each) => each.name === `region-${n}`)) n += 1;
    const middle = { x: Math.round(width * 0.3), y: Math.round(height * 0.3), width: Math.round(width * 0.4), height: Math.round(height * 0.4) };
    this.regions.push({ name: `region-${n}`, ...(box ?? middle) });
    this.chosen = this.regions.length - 1;
    this.build();
    this.change(this.chosen, this.regions[this.chosen]);
    if (box === null) this.focusChosen();
  }

  removeChosen() {
    if (this.locked || this.chosen === null) return;
    this.regions.splice(this.chosen, 1);
    this.chosen = this.regions.length ? Math.min(this.chosen, this.regions.length - 1) : null;
    this.build();
    this.onChange(this.regions);
    if (this.chosen === null) this.add.focus();
    else this.focusChosen();
  }

  focusChosen() { this.drawing.querySelector(`[data-region="${this.chosen}"]`)?.focus(); }

  draw() {
    const focused = this.drawing.contains(document.activeElement) ? document.activeElement.dataset.region : undefined;
    const scale = this.scale();
    const last = this.chosen;
    const order = this.regions.map((_, i) => i).filter((i) => i !== last);
    if (last !== null && last < this.regions.length) order.push(last); // its corners lie above all
    replace(this.drawing, order.map((i) => this.box(i, i === last && !this.locked, scale)));
    if (focused !== undefined) this.drawing.querySelector(`[data-region="${last ?? focused}"]`)?.focus();
  }

  // Pixels of the frame in one of the screen.
  scale() {
    const drawn = this.drawing.getScreenCTM()?.a ?? 0;
    return drawn > 0 ? 1 / drawn : 1;
  }

  box(i, chosen, scale) {
    const region = this.regions[i];
    const label = t("recipe.region_words", region);
    const shape = { x: region.x, y: region.y, width: region.width, height: region.height };
    const words = svg("text", { x: region.x + 5 * scale, y: region.y + 18 * scale, "font-size": 15 * scale, "stroke-width": 3 * scale }, region.name);
    const attributes = this.locked ? { class: "box" } : { class: `box${chosen ? " chosen" : ""}`, tabindex: "0", role: "button",
      "aria-label": label, "aria-pressed": String(chosen), "data-region": i,
      onkeydown: (event) => this.key(event, i), onfocus: () => this.choose(i) };
    const corners = !chosen ? [] : CORNERS.map(([name, right, low]) => {
      const [x, y] = [region.x + right * region.width, region.y + low * region.height];
      const reach = Math.min(REACH_PX * scale, Math.max(12 * scale, Math.min(region.width, region.height) / 2 + 16 * scale));
      return svg("g", { class: `corner ${name}`, "data-corner": `${right}${low}` },
        svg("rect", { class: "reach", x: x - reach / 2, y: y - reach / 2, width: reach, height: reach }),
        svg("rect", { class: "grip", x: x - 6 * scale, y: y - 6 * scale, width: 12 * scale, height: 12 * scale }));
    });
    return svg("g", attributes, svg("rect", { ...shape, class: "under" }), svg("rect", { ...shape, class: "line" }), words, corners);
  }

  key(event, i) {
    if (event.key === "Delete" || event.key === "Backspace") { event.preventDefault(); this.chosen = i; this.removeChosen(); return; }
    const by = MOVES[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const step = event.ctrlKey || event.altKey ? 1 : Math.max(1, Math.round(this.size[0] / 100));
    const [dx, dy] = by.map((each) => each * step);
    const old = this.regions[i];
    this.change(i, event.shiftKey ? { ...old, width: old.width + dx, height: old.height + dy } : { ...old, x: old.x + dx, y: old.y + dy });
  }

  place(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.drawing.getScreenCTM().inverse());
    return [Math.min(this.size[0], Math.max(0, at.x)), Math.min(this.size[1], Math.max(0, at.y))];
  }

  down(event) {
    if (this.locked || event.button !== 0 || !this.size[0]) return;
    event.preventDefault();
    const [x, y] = this.place(event);
    const corner = event.target.closest("[data-corner]")?.dataset.corner;
    const on = event.target.closest("[data-region]")?.dataset.region;
    if (on === undefined && this.regions.length >= this.most) return;
    this.drawing.setPointerCapture(event.pointerId);
    if (on === undefined) this.drag = { kind: "new", x, y };
    else {
      this.choose(Number(on));
      this.drag = { kind: corner === undefined ? "move" : "size", corner, x, y, old: { ...this.regions[this.chosen] } };
      this.focusChosen();
    }
  }

  moved(event) {
    if (this.drag === null) return;
    const [x, y] = this.place(event);
    const { kind, corner, old } = this.drag;
    const [dx, dy] = [x - this.drag.x, y - this.drag.y];
    if (kind === "new") {
      if (Math.abs(dx) < SIDE_MIN || Math.abs(dy) < SIDE_MIN) return;
      const box = between(this.drag.x, this.drag.y, x, y);
      this.addOne(box);
      this.drag = { kind: "size", corner: `${dx > 0 ? 1 : 0}${dy > 0 ? 1 : 0}`, x, y, old: box };
    } else if (kind === "move") {
      this.change(this.chosen, { ...this.regions[this.chosen], x: old.x + dx, y: old.y + dy });
    } else {
      const [right, low] = [corner[0] === "1", corner[1] === "1"];
      const [left, top] = [right ? old.x : old.x + old.width, low ? old.y : old.y + old.height];
      const [far, deep] = [right ? old.x + old.width + dx : old.x + dx, low ? old.y + old.height + dy : old.y + dy];
      this.change(this.chosen, { ...this.regions[this.chosen], ...between(left, top, far, deep) });
    }
  }

  up(event) {
    if (this.drag === null) return;
    this.drag = null;
    if (this.drawing.hasPointerCapture(event.pointerId)) this.drawing.releasePointerCapture(event.pointerId);
    this.focusChosen();
  }
}

function between(x1, y1, x2, y2) {
  return { x: Math.round(Math.min(x1, x2)), y: Math.round(Math.min(y1, y2)),
    width: Math.round(Math.abs(x2 - x1)), height: Math.round(Math.abs(y2 - y1)) };
}

// Share of the frame that no region covers, 0..1, looked at on a grid of points.
export function uncovered(regions, width, height) {
  const STEPS = 100;
  let open = 0;
  for (let i = 0; i < STEPS; i += 1) {
    for (let j = 0; j < STEPS; j += 1) {
      const [x, y] = [((i + 0.5) * width) / STEPS, ((j + 0.5) * height) / STEPS];
      if (!regions.some((each) => x >= each.x && x < each.x + each.width && y >= each.y && y < each.y + each.height)) open += 1;
    }
  }
  return open / (STEPS * STEPS);
}
