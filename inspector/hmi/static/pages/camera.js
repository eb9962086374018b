// Camera: what it sees, against what it is to see, and what is measured of every frame.

import { ask } from "/static/api.js";
import { Compare, WAYS } from "/static/compare.js";
import { h, replace, setText } from "/static/dom.js";
import { Keys, keyed } from "/static/keys.js";
import { badge, stateBadge } from "/static/shapes.js";
import { spark } from "/static/spark.js";
import { number, t, time, word } from "/static/text.js";

export const title = "page.camera";

const POINTS_MAX = 120;
const GAP_MS = 2_500; // between two pictures, of the archive or of the station
const REST_MS = 500;
const FOLLOW_MS = 120_000; // then it stops by itself: nobody may be looking any more
const OLD_S = 60;
const DIGITS = { dark: 4, bright: 4, blank: 3, match: 3, sharpness: 3, detail: 3 };

export async function show(main, { session, stream, alive }) {
  const names = Object.keys(session.stations);
  const chosen = new URLSearchParams(location.search).get("station") ?? sessionStorage.getItem("inspector.station");
  const name = names.includes(chosen) ? chosen : names[0];
  const camera = new Camera(name, names, session, stream);
  main.append(h("h1", { class: "unseen" }, t("page.camera")), camera.element);
  await camera.load();
  alive(() => camera.turn());
}

class Camera {
  constructor(name, names, session, stream) {
    this.name = name;
    this.stream = stream;
    this.base = `/api/stations/${encodeURIComponent(name)}`;
    this.may = session.role !== "viewer" && session.stations[name];
    this.points = [];
    this.figures = [];
    this.limits = {};
    this.triedId = null;
    this.next = null;
    this.about = { recipe: null, may_repeat: false, limits: {} };
    this.takenAt = null;
    this.loading = false;
    this.asking = false;
    this.loadedAt = -Infinity;
    this.askedAt = -Infinity;
    this.wanted = null;
    this.following = null;
    this.compare = new Compare();
    this.state = h("div", { class: "state" });
    this.age = h("p", { class: "line" });
    this.said = h("p", { class: "said", role: "status" });
    this.rows = h("ul", { class: "figures", "aria-label": t("camera.figures") });
    this.advice = h("div", {});
    this.get = keyed("g", t("camera.get"), () => this.ask(), "primary");
    this.follow = keyed("f", t("camera.follow"), () => this.toggle());
    this.follow.setAttribute("aria-pressed", "false");
    this.keys = new Keys((key) => this.key(key));
    const chooser = names.length < 2 ? null : h("select", { "aria-label": t("history.station"), onchange: (event) => location.assign(`/camera?station=${encodeURIComponent(event.target.value)}`) },
      names.map((each) => h("option", { value: each, selected: each === name }, each)));
    this.element = h("div", { class: "station camera" },
      h("div", { class: "headline" }, h("div", {}, h("h2", { class: "name" }, name), this.age), chooser, this.state),
      h("div", { class: "seeing" },
        h("section", { class: "card", "aria-label": t("camera.picture") }, this.compare.element,
          h("div", { class: "buttons" }, this.may ? [this.get, this.follow] : null, this.keys.button, this.said),
          this.may ? null : h("p", { class: "quiet" }, t(session.role === "viewer" ? "camera.viewer" : "error.no_commands"))),
        h("section", { class: "card" }, h("h2", {}, t("camera.figures")), this.rows, this.advice)));
  }

  async load() {
    let found;
    try {
      found = await ask("GET", `${this.base}/camera`);
    } catch (error) {
      setText(this.said, word("error", error.message));
      return;
    }
    this.figures = found.figures;
    this.limits = found.limits;
    this.points = found.points;
    this.archive = found.archive;
    this.about = found;
    this.compare.landmarks = found.landmarks;
    this.compare.landmarkPx = found.landmark_px;
    this.compare.show("live", null, t("camera.none_yet"));
    this.compare.show("reference", null, this.noReference());
    if (found.reference) this.fetch(`${this.base}/reference`, t("camera.reference"), (image) => this.compare.show("reference", image));
    replace(this.advice, this.advices().map((words) => h("p", { class: "quiet" }, words)));
    this.showFigures(true);
  }

  noReference() {
    if (this.about.trouble) return this.about.trouble;
    return t(this.about.recipe === null ? "camera.no_recipe" : "camera.no_reference");
  }

  advices() {
    const found = this.about;
    const words = [];
    if (found.recipe !== null && Object.keys(found.limits).length === 0) words.push(t("camera.no_limits"));
    if (found.recipe !== null && found.may_repeat) words.push(t("camera.may_repeat"));
    return words;
  }

  // done is called once the picture is there, so that nothing flashes empty.
  fetch(source, alt, done, failed = () => {}) {
    const image = h("img", { alt });
    image.addEventListener("load", () => done(image));
    image.addEventListener("error", failed);
    image.src = source;
  }

  turn() {
    const known = this.stream.stations[this.name];
    const stale = this.stream.isStale(this.name);
    this.element.classList.toggle("stale", stale);
    const state = `${known?.state?.state} ${stale}`;
    if (this.state.dataset.now !== state) {
      this.state.dataset.now = state;
      replace(this.state, stateBadge(known?.state?.state ?? null, stale));
    }
    this.note(known?.last);
    this.showFigures(false, stale);
    this.showAge(stale);
    this.takeKept(known?.kept);
    this.goOn(known?.last, stale);
  }

  note(last) {
    if (!last || !last.attestation || last.seq === this.points[this.points.length - 1]?.seq) return;
    const { seq, evaluation, cause, attestation } = last;
    this.points = [...this.points, { seq, evaluation, cause, attestation }].slice(-POINTS_MAX);
  }

  // The newest picture that was kept: read from the archive beside us, at a person's pace. The archive
  // writes a moment after the verdict has left, so one that was just announced rests a little.
  takeKept(kept) {
    if (!kept || !this.archive || this.loading || this.asking) return;
    const now = performance.now();
    if (this.next === null && kept.result_id !== this.triedId) this.next = { of: kept, at: now + REST_MS };
    if (this.next === null || now < this.next.at || now - this.loadedAt < GAP_MS) return;
    const { of } = this.next;
    this.next = null;
    this.triedId = of.result_id;
    this.loadedAt = now;
    this.loading = true;
    const source = `${this.base}/pictures/${encodeURIComponent(of.image)}?soon=true`;
    this.fetch(source, t("picture.of", { part: of.part?.id ?? of.seq }), (image) => this.took(image, of), () => { this.loading = false; });
  }

  took(image, of) {
    this.loading = false;
    this.triedId = of.result_id;
    this.takenAt = of.captured_at;
    this.part = of.part?.id ?? of.seq;
    if (this.wanted !== null && of.seq > this.wanted) {
      this.wanted = null;
      setText(this.said, t("camera.came", { part: of.part?.id ?? of.seq }));
    }
    this.compare.show("live", image);
  }

  // --- a picture from the station itself ---

  goOn(last, stale) {
    if (this.following !== null && performance.now() - this.following > FOLLOW_MS) this.toggle(t("camera.follow_ended"));
    const free = !this.asking && performance.now() - this.askedAt > GAP_MS && !stale && !document.hidden;
    if (!free || !last) return;
    if (this.following !== null) this.ask();
    // the station kept the one that was asked for, and it is not on this machine
    else if (this.wanted !== null && !this.archive && this.stream.stations[this.name].kept?.seq > this.wanted) this.ask(this.stream.stations[this.name].kept);
  }

  async ask(of = this.stream.stations[this.name]?.last) {
    if (this.asking) return;
    if (!of) { setText(this.said, t("camera.none_yet")); return; }
    if (performance.now() - this.askedAt < GAP_MS) { setText(this.said, word("error", "soon")); return; }
    this.asking = true;
    this.askedAt = performance.now();
    this.get.setAttribute("aria-disabled", "true");
    try {
      const reply = await ask("POST", `${this.base}/picture`, { result_id: of.result_id });
      if (reply.jpeg !== null) {
        this.wanted = null;
        this.fetch(`data:image/jpeg;base64,${reply.jpeg}`, t("picture.of", { part: of.part?.id ?? of.seq }), (image) => this.took(image, of));
        setText(this.said, t("camera.came", { part: of.part?.id ?? of.seq }));
      } else {
        this.wanted = of.seq;
        setText(this.said, `${word("outcome", reply.outcome)}: ${reply.reason}`);
      }
    } catch (error) {
      setText(this.said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim());
    }
    this.asking = false;
    this.get.removeAttribute("aria-disabled");
  }

  toggle(words = "") {
    this.following = this.following === null ? performance.now() : null;
    this.follow.setAttribute("aria-pressed", String(this.following !== null));
    setText(this.said, words || t(this.following !== null ? "camera.follows" : "camera.follow_off"));
  }

  key(key) {
    const at = Number(key);
    if (this.may && key === "g") this.ask();
    else if (this.may && key === "f") this.toggle();
    else if (at >= 1 && at <= WAYS.length) this.compare.buttons[at - 1].click();
    else return false;
    return true;
  }

  // --- figures ---

  showAge(stale) {
    const age = this.takenAt === null ? null : (Date.now() - new Date(this.takenAt).getTime()) / 1000;
    const silent = stale ? t("live.silent_for", { seconds: number(this.stream.ageOf(this.name) ?? NaN, 0) }) : null;
    const words = age === null ? t("camera.none_yet") : t("camera.taken", { part: this.part, time: time(this.takenAt) });
    const old = age !== null && age > OLD_S ? t("camera.old") : null;
    setText(this.age, [silent, words, old].filter((each) => each !== null).join(" · "));
    this.age.classList.toggle("bad", stale || old !== null);
  }

  showFigures(anew, stale = false) {
    const last = this.points[this.points.length - 1];
    const now = `${last?.seq} ${stale}`;
    if (!anew && this.rows.dataset.now === now) return;
    this.rows.dataset.now = now;
    replace(this.rows, this.figures.map((name) => this.figure(name, last?.attestation?.[name], stale)), this.frozen(last, stale));
  }

  figure(name, value, stale) {
    const digits = DIGITS[name] ?? 1;
    const limits = this.limits[name] ?? {};
    const { min, max } = limits;
    const [low, high] = [typeof min === "number", typeof max === "number"];
    const ends = low && high ? `${number(min, digits)} … ${number(max, digits)}`
      : high ? `≤ ${number(max, digits)}` : low ? `≥ ${number(min, digits)}` : t("camera.no_limit");
    const known = typeof value === "number";
    const outside = known && !stale && ((low && !(value >= min)) || (high && !(value <= max)));
    const shown = known && !stale ? number(Number(value.toFixed(digits)) + 0, digits) : "–"; // + 0: no "-0"
    return this.card(t(`figure.${name}`), shown,
      stale ? t("live.old") : known ? ends : t("camera.not_measured"), outside ? t("camera.outside") : null,
      spark(this.points.map((each) => each.attestation?.[name]), limits));
  }

  frozen(last, stale) {
    const frozen = last?.cause === "frozen" && !stale;
    const words = stale ? t("live.old") : !last ? t("camera.not_measured") : t(this.about.may_repeat ? "camera.no_limit" : "camera.live_camera");
    return this.card(t("figure.frozen"), stale || !last ? "–" : t(frozen ? "system.yes" : "system.no"), words,
      frozen ? t("cause.frozen") : null, null);
  }

  card(name, value, words, fault, trend) {
    return h("li", { class: fault ? "figure outside" : "figure" },
      h("span", { class: "of" }, name), h("strong", {}, value),
      fault ? h("span", { class: "ends" }, badge("fault", fault, "fault"), ` ${words}`) : h("span", { class: "ends quiet" }, words), trend);
  }
}
