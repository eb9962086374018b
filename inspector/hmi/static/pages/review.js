// Review: what the station doubted, one part after the other, one key a verdict.

import { ask } from "/static/api.js";
import { h, replace, setText } from "/static/dom.js";
import { Keys, keyed } from "/static/keys.js";
import { Look } from "/static/look.js";
import { Sampling } from "/static/sampling.js";
import { badge, shape } from "/static/shapes.js";
import { number, t, word } from "/static/text.js";

export const title = "page.review";

const FEW = 4; // this many are fetched ahead, pictures too
const AGAIN_MS = 10_000;
const ARMED_MS = 250; // a second touch of the same tap must not judge the next part unseen
const KEPT = "inspector.review";

export function show(main, { session, stream, alive }) {
  const desk = new Desk(main, session, stream);
  alive(() => desk.turn());
  desk.fill();
  setInterval(() => { if (!document.hidden) desk.fill(true); }, AGAIN_MS);
}

// Of this tab, also after it was loaded again: its parts are nobody else's.
function holder() {
  let kept = sessionStorage.getItem(KEPT);
  if (kept === null) {
    kept = [...crypto.getRandomValues(new Uint8Array(12))].map((each) => each.toString(16).padStart(2, "0")).join("");
    sessionStorage.setItem(KEPT, kept);
  }
  return kept;
}

class Desk {
  constructor(main, session, stream) {
    this.session = session;
    this.stream = stream;
    this.names = Object.keys(session.stations);
    this.engineer = ["engineer", "admin"].includes(session.role);
    this.holder = holder();
    this.queue = [];
    this.current = null;
    this.shownAt = null;
    this.done = [];
    this.skipped = new Map();
    this.sending = new Set();
    this.chain = Promise.resolve();
    this.asking = false;
    this.left = { total: 0, kinds: {}, more: false, elsewhere: 0 };
    this.today = { mine: 0, all: 0 };
    this.troubles = {};
    this.version = 0;
    this.loaded = false;
    this.keys = new Keys((key) => this.key(key));
    this.boxes = true;
    this.build(main);
  }

  build(main) {
    this.stage = h("section", { class: "card stage", "aria-labelledby": "part-title" });
    this.head = h("div", {});
    this.labels = [];
    this.classes = h("div", { class: "classes", role: "group", "aria-label": t("review.what") });
    this.progress = h("div", { class: "progress" });
    this.said = h("p", { class: "said", role: "status" });
    this.notes = h("ul", { class: "notes" });
    this.unclear = keyed("0", t("review.unclear"), () => this.answer(null), "wide");
    this.skip = keyed("s", t("review.skip"), () => this.pass());
    this.back = keyed("u", t("review.undo"), () => this.undo());
    this.fresh = keyed("n", t("review.new_class"), () => this.askNew());
    this.near = keyed("z", t("review.zoom"), () => this.current?.zoom());
    this.draw = keyed("r", t("review.regions"), () => this.toggleRegions());
    this.draw.setAttribute("aria-pressed", "true");
    this.policy = keyed("p", t("sampling.title"), () => this.sampling.open(this.station.value || this.names[0]));
    this.station = h("select", { id: "review-station", onchange: () => this.anew() },
      h("option", { value: "" }, t("review.all_stations")), this.names.map((name) => h("option", { value: name }, name)));
    this.sampling = new Sampling(this.names, this.engineer, () => this.anew());
    this.dialog = h("dialog", { "aria-labelledby": "new-title" });
    this.bar = h("div", { class: "bar" },
      this.names.length > 1 ? [h("label", { for: "review-station" }, t("history.station")), this.station] : null,
      this.near, this.draw, this.policy, this.keys.button, this.progress);
    const say = h("section", { class: "card say", "aria-label": t("review.what") }, this.head, this.classes,
      this.unclear, h("div", { class: "acts" }, this.back, this.skip, this.engineer ? this.fresh : null), this.said);
    main.append(h("h1", { class: "unseen" }, t("page.review")), this.notes,
      h("div", { class: "review" }, h("div", { class: "left" }, this.stage, this.bar), say),
      this.sampling.element, this.dialog);
    window.addEventListener("pagehide", () => this.leave());
    window.addEventListener("beforeunload", (event) => { if (this.sending.size) event.preventDefault(); });
    this.showCurrent();
  }

  // --- what is asked of the server ---

  // also: where there are enough, to say that we are still here, and to hear how many are left.
  async fill(also = false) {
    const enough = this.queue.length >= FEW && this.current !== null;
    if (this.asking || (enough && !also)) return;
    this.asking = true;
    const mine = [this.current, ...this.queue].filter((each) => each !== null).map((each) => each.id);
    const day = new Date();
    day.setHours(0, 0, 0, 0);
    const wanted = {
      stations: this.station.value ? [this.station.value] : [], holder: this.holder,
      have: [...mine, ...this.sending].slice(0, 20), skip: [...this.skipped.keys()].slice(-500),
      count: enough ? 0 : FEW + 2, since: day.getTime() / 1000,
    };
    const began = this.version;
    try {
      const found = await ask("POST", "/api/review/next", wanted);
      if (began === this.version) this.take(found);
    } catch (error) {
      this.say(error);
    }
    this.asking = false;
    if (began !== this.version) this.fill();
  }

  look(item) { return new Look(item, () => this.turn()); }

  // What is left here is at once somebody else's.
  leave() {
    ask("POST", "/api/review/next", { holder: this.holder, leave: true }, { keepalive: true }).catch(() => {});
  }

  take(found) {
    const known = new Set([...this.queue.map((each) => each.id), this.current?.id, ...this.sending]);
    this.queue.push(...found.items.filter((item) => !known.has(item.result_id)).map((item) => this.look(item)));
    const total = Object.values(found.left).reduce((sum, each) => sum + each, 0);
    this.left = { total: total - found.elsewhere, kinds: found.left, more: found.more, elsewhere: found.elsewhere };
    for (const id of this.sending) if (!found.mine.some((each) => each.result_id === id)) this.left.total -= 1;
    this.today = found.today;
    this.troubles = found.troubles;
    this.loaded = true;
    if (this.done.length === 0) this.done = found.mine.map((each) => ({ ...each, look: null }));
    if (this.current === null) this.advance();
    this.showProgress();
    this.showNotes();
  }

  anew() {
    this.version += 1;
    this.loaded = false;
    this.queue = [];
    this.current = null;
    this.showCurrent();
    this.fill();
  }

  answer(label, why = "", path = "reviews") {
    if (!this.armed()) return;
    const look = this.current;
    const record = { station: look.item.station, number: null, look, label };
    this.done.push(record);
    this.sending.add(look.id);
    this.left.total -= 1;
    this.advance();
    const { station, seq, result_id, opinions } = look.item;
    this.chain = this.chain.then(async () => {
      try {
        const body = { seq, result_id, label, opinions, why };
        const kept = await ask("POST", `/api/stations/${encodeURIComponent(station)}/${path}`, body);
        record.number = kept.number;
        this.today = { mine: this.today.mine + 1, all: this.today.all + 1 };
        setText(this.said, t("review.kept", { part: look.name, label: label ?? t("review.unclear_short") }));
      } catch (error) {
        this.failed(record, error);
      }
      this.sending.delete(look.id);
      this.showProgress();
    });
  }

  // What was not kept comes back; what others have answered, or what has no picture any more, does not.
  failed(record, error) {
    this.done = this.done.filter((each) => each !== record);
    setText(this.said, t("review.not_kept", { part: record.look.name, words: word("error", error.message) }));
    if (["spoken", "spoken_meanwhile", "picture_gone", "no_result"].includes(error.message)) return;
    this.left.total += 1;
    if (this.current !== null) this.queue.unshift(this.current);
    this.current = record.look;
    this.showCurrent();
  }

  undo() {
    this.chain = this.chain.then(async () => {
      const record = this.done[this.done.length - 1];
      if (record === undefined) { setText(this.said, t("review.nothing_to_undo")); return; }
      const path = `/api/stations/${encodeURIComponent(record.station)}/reviews/${record.number}/undo`;
      try {
        const found = await ask("POST", path, { holder: this.holder });
        this.done.pop();
        this.today = { mine: Math.max(0, this.today.mine - 1), all: Math.max(0, this.today.all - 1) };
        if (found.item === null) { setText(this.said, t("review.undone_gone")); return; }
        this.left.total += 1;
        if (this.current !== null) this.queue.unshift(this.current);
        this.current = record.look ?? this.look(found.item);
        this.current.item = found.item;
        this.showCurrent();
        setText(this.said, t("review.undone", { part: this.current.name, label: record.label ?? t("review.unclear_short") }));
      } catch (error) {
        if (error.message === "undone") this.done.pop();
        this.say(error);
      }
      this.showProgress();
    });
  }

  pass() {
    if (this.current === null) return;
    this.skipped.set(this.current.id, this.current);
    this.left.total -= 1;
    setText(this.said, t("review.skipped", { part: this.current.name }));
    this.advance();
  }

  unskip() {
    this.skipped.clear();
    this.anew();
  }

  // --- what is shown ---

  advance() {
    this.current = this.queue.shift() ?? null;
    this.showCurrent();
    if (this.queue.length < FEW) this.fill();
  }

  armed() {
    return this.current !== null && this.current.shown && this.shownAt !== null && performance.now() - this.shownAt > ARMED_MS;
  }

  showCurrent() {
    const look = this.current;
    this.shownAt = null;
    const on = look !== null;
    this.stage.setAttribute("aria-labelledby", on ? "part-title" : "empty-title");
    for (const each of [this.unclear, this.skip, this.fresh, this.near, this.draw]) each.hidden = !on;
    replace(this.head, on ? look.head(this.names.length > 1) : null);
    replace(this.classes, on ? this.classButtons(look.item.classes) : null);
    replace(this.stage, on ? look.picture : this.empty());
    this.showProgress();
    this.turn();
  }

  // In the bundle's order, the good ones first: a key is the same for every part.
  classButtons({ good, defects, named, trouble }) {
    this.labels = [...good, ...defects, ...named];
    this.classes.classList.toggle("few", this.labels.length < 5);
    const mark = (label) => (good.includes(label) ? [shape("check"), h("span", { class: "unseen" }, t("review.good"))]
      : named.includes(label) ? h("small", { class: "quiet" }, t("review.named")) : null);
    const hint = good.length === 0 ? [h("p", { class: "quiet" }, trouble ?? t("review.no_classes"))] : [];
    return hint.concat(this.labels.map((label, at) => {
      const button = keyed(at < 9 ? String(at + 1) : "", label, () => this.answer(label), "class");
      button.append(...[mark(label)].flat().filter((each) => each !== null));
      return button;
    }));
  }

  empty() {
    if (!this.loaded) return h("p", { id: "empty-title", class: "none" }, t("review.looking"));
    const troubled = Object.values(this.troubles).filter((each) => each.word !== "spoilt_rows").length;
    const nothing = troubled >= (this.station.value ? 1 : this.names.length);
    return h("div", { class: "none" }, h("h2", { id: "empty-title" }, t(nothing ? "review.cannot" : "review.empty")),
      nothing ? null : h("p", {}, t("review.empty_words")),
      this.left.elsewhere ? h("p", {}, t("review.elsewhere", { count: number(this.left.elsewhere) })) : null,
      this.skipped.size ? h("button", { type: "button", onclick: () => this.unskip() }, t("review.show_skipped", { count: number(this.skipped.size) })) : null);
  }

  showProgress() {
    const kinds = Object.entries(this.left.kinds).filter(([, count]) => count > 0);
    const count = number(Math.max(0, this.left.total));
    const words = `${count}|${JSON.stringify([kinds, this.today, this.skipped.size, this.left])}`;
    if (this.progress.dataset.now === words) return;
    this.progress.dataset.now = words;
    replace(this.progress,
      h("p", { class: "count" }, h("strong", {}, this.left.more ? t("review.or_more", { count }) : count), ` ${t("review.left")}`),
      kinds.length ? h("ul", { class: "kinds quiet" }, kinds.map(([kind, n]) => h("li", {}, `${word("interest", kind)} ${number(n)}`))) : null,
      h("p", { class: "quiet" }, t("review.today", { mine: number(this.today.mine), all: number(this.today.all) }),
        this.skipped.size ? ` · ${t("review.skipped_count", { count: number(this.skipped.size) })}` : "",
        this.left.elsewhere ? ` · ${t("review.elsewhere", { count: number(this.left.elsewhere) })}` : ""));
    if (this.current === null) replace(this.stage, this.empty());
  }

  // A station that is off leaves parts behind that can be looked at; one that is elsewhere does not.
  showNotes() {
    const chosen = this.station.value ? [this.station.value] : this.names;
    const lines = chosen.flatMap((name) => {
      const trouble = this.troubles[name];
      if (trouble) return [`${name}: ${word("error", trouble.word)} ${trouble.detail}`.trim()];
      return this.stream.isStale(name) ? [t("review.station_off", { station: name })] : [];
    });
    const words = JSON.stringify(lines);
    if (this.notes.dataset.now === words) return;
    this.notes.dataset.now = words;
    replace(this.notes, lines.map((line) => h("li", {}, badge("gone", line, "silent"))));
  }

  turn() {
    const look = this.current;
    if (look !== null && look.shown && this.shownAt === null) this.shownAt = performance.now();
    const ready = look !== null && look.shown;
    const words = look !== null && look.gone ? t("review.gone") : "";
    for (const each of [this.unclear, ...this.classes.querySelectorAll("button"), this.fresh]) {
      if (each.getAttribute("aria-disabled") !== String(!ready)) each.setAttribute("aria-disabled", String(!ready));
    }
    if (words) setText(this.said, words);
    this.showNotes();
  }

  // --- keys ---

  key(key) {
    const buttons = { u: this.back, s: this.skip, n: this.engineer ? this.fresh : null, z: this.near, r: this.draw, p: this.policy, 0: this.unclear };
    const label = /^[1-9]$/.test(key) && this.current !== null ? this.labels[Number(key) - 1] : undefined;
    if (label !== undefined) this.answer(label);
    else if (buttons[key] && !buttons[key].hidden) buttons[key].click();
    else return false;
    return true;
  }

  toggleRegions() {
    this.boxes = !this.boxes;
    this.stage.classList.toggle("bare", !this.boxes);
    this.draw.setAttribute("aria-pressed", String(this.boxes));
  }

  // A class of its own is a step of its own: a slip makes none.
  askNew() {
    if (!this.armed()) return;
    const look = this.current;
    const name = h("input", { id: "new-class", required: true, maxlength: 64, autocomplete: "off", pattern: "[\\p{L}\\p{N}_]([\\p{L}\\p{N}_ .\\-]*[\\p{L}\\p{N}_.\\-])?" });
    const why = h("input", { id: "new-why", required: true, maxlength: 300, autocomplete: "off" });
    const go = (event) => {
      event.preventDefault();
      this.dialog.close();
      if (this.current === look) this.answer(name.value.trim(), why.value.trim(), "classes");
    };
    replace(this.dialog, h("form", { onsubmit: go },
      h("h2", { id: "new-title" }, t("review.new_title", { part: look.name })),
      h("p", {}, t("review.new_words")),
      h("label", { for: "new-class" }, t("review.new_name")), name,
      h("label", { for: "new-why" }, t("confirm.why")), why,
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => this.dialog.close() }, t("confirm.cancel")),
        h("button", { class: "primary" }, t("review.new_go")))));
    this.dialog.showModal();
    name.focus();
  }

  say(error) { setText(this.said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim()); }
}
