// Recipe: where the model looks and from which score a part is doubtful or rejected; changed in two
// steps, of which the station itself looks at the first.

import { ask } from "/static/api.js";
import { chooser } from "/static/chooser.js";
import { h, replace, setText, table } from "/static/dom.js";
import { RegionEditor, uncovered } from "/static/regions.js";
import { boxWords, boxesOf, regionWords, same, shownOf } from "/static/rules.js";
import { Confirm, changes, failed, said } from "/static/steps.js";
import { number, percent, t, time, word } from "/static/text.js";
import { TradeOff, counted, predicted } from "/static/tradeoff.js";

export const title = "page.recipe";

const DIGITS = 4;
const AGAIN_MS = 700;
const TRIES = 20;

export function show(main, { session, stream, alive }) {
  const page = new RecipePage(session, stream);
  const choice = chooser(session, (name) => page.load(name));
  main.append(h("div", { class: "headline" }, h("h1", {}, t("page.recipe")), choice.element), page.element);
  alive(() => page.turn());
  return choice.start();
}

class RecipePage {
  constructor(session, stream) {
    this.session = session;
    this.stream = stream;
    this.busy = false;
    this.said = h("p", { class: "said", role: "status" });
    this.line = h("p", { class: "line" });
    this.confirm = new Confirm();
    this.editor = new RegionEditor(() => this.drawn());
    this.tradeoff = new TradeOff((name, value) => this.limit(name, value));
    this.kind = h("select", { id: "kind", onchange: () => this.chooseKind() });
    this.view = h("select", { id: "view", onchange: () => this.showPicture() });
    this.coverage = h("p", { class: "quiet" });
    this.inputs = {};
    this.limitRows = h("div", { class: "limits" }, ["review_at", "reject_at"].map((name) => this.limitRow(name)));
    this.novelty = h("input", { id: "novelty_at", type: "number", min: 0, step: "any", inputmode: "decimal", onchange: () => this.limit("novelty_at", Number(this.novelty.value)) });
    this.noveltyRow = h("div", { class: "limit" }, h("label", { for: "novelty_at" }, t("recipe.novelty_at")), h("span", {}), this.novelty);
    this.own = h("button", { type: "button", onclick: () => { this.draft.limits = null; this.redraw(); } }, t("recipe.own_limits"));
    this.source = h("p", { class: "quiet" });
    this.prediction = h("div", {});
    this.prepareButton = h("button", { type: "button", class: "primary", onclick: () => this.prepare() }, t("recipe.prepare"));
    this.discard = h("button", { type: "button", onclick: () => { this.draft = this.held(); this.redraw({ kinds: true }); } }, t("recipe.discard"));
    this.changed = h("div", {});
    this.warning = h("span", { class: "warning", hidden: true }, t("recipe.looser"));
    this.history = h("section", { class: "card" });
    this.body = h("div", {},
      h("div", { class: "split recipe" },
        h("div", {},
          h("section", { class: "card" }, h("h2", {}, t("recipe.where")),
            h("div", { class: "two" },
              h("div", {}, h("label", { for: "kind" }, t("recipe.kind")), this.kind),
              h("div", {}, h("label", { for: "view" }, t("recipe.view")), this.view)),
            this.editor.element, this.coverage),
          h("section", { class: "card" }, h("h2", {}, t("recipe.change")), this.changed)),
        h("section", { class: "card" }, h("h2", {}, t("recipe.limits")), this.source,
          this.tradeoff.element, this.limitRows, this.noveltyRow, h("div", { class: "buttons own" }, this.own),
          h("h3", {}, t("recipe.predicted")), this.prediction)),
      h("div", { class: "card apply", role: "region", "aria-label": t("recipe.apply") },
        this.prepareButton, this.discard, this.warning, this.said),
      this.history);
    this.element = h("div", {}, this.line, this.body, this.confirm.element);
    this.body.hidden = true;
  }

  limitRow(name) {
    const step = { min: 0, max: 1, step: 0.001 };
    const slider = h("input", { type: "range", id: `${name}-slider`, ...step, oninput: () => this.limit(name, Number(slider.value)) });
    const box = h("input", { type: "number", ...step, step: "any", inputmode: "decimal", "aria-label": `${t(`recipe.${name}`)}: ${t("part.value")}`,
      onchange: () => this.limit(name, Number(box.value)) });
    this.inputs[name] = { slider, box };
    return h("div", { class: "limit" }, h("label", { for: `${name}-slider` }, t(`recipe.${name}`)), slider, box);
  }

  // --- what is there ---

  async load(name) {
    this.name = name;
    this.frame = undefined;
    setText(this.said, "");
    this.path = `/api/stations/${encodeURIComponent(name)}`;
    try {
      const found = await ask("GET", `${this.path}/recipe`);
      if (this.name === name) this.take(found); // else another was chosen meanwhile
    } catch (error) {
      if (this.name !== name) return;
      this.found = undefined;
      this.body.hidden = true;
      setText(this.line, failed(error));
    }
  }

  take(found) {
    this.found = found;
    this.body.hidden = false;
    this.showLine();
    this.draft = this.held();
    this.views();
    this.redraw({ kinds: true });
    this.showHistory();
    this.turn();
  }

  showLine() {
    const { found } = this;
    const holds = found.serving === null ? t("recipe.not_said") : found.revision === 0 ? t("recipe.file_holds") : t("recipe.revision", { number: found.revision });
    const words = [t("recipe.name_words", { name: found.name, revision: holds })];
    words.push(t("recipe.bundle_words", { bundle: found.serving ?? "–" }));
    if (found.on_trial) words.push(t("recipe.on_trial"));
    if (found.other_form) words.push(t("recipe.other_form", { variant: found.other_form }));
    if (!found.known) words.push(t("recipe.unknown"));
    setText(this.line, words.join(" · "));
  }

  held() { return structuredClone({ regions: this.found.holds.regions, limits: this.found.holds.limits }); }

  get ownLimits() { return this.found.bundle?.limits ?? null; }

  // As parts are judged by: the recipe's, with the bundle's novelty limit where it has none.
  effective(limits) {
    const own = this.ownLimits ?? limits ?? { review_at: 0, reject_at: 0, novelty_at: null };
    return limits === null ? own : { ...limits, novelty_at: limits.novelty_at ?? own.novelty_at };
  }

  // --- the picture ---

  views() {
    const options = this.found.pictures.map((each) => [`part:${each.image}`,
      t("recipe.view_part", { part: each.part ?? `no. ${each.seq}`, verdict: word("evaluation", each.evaluation) })]);
    if (this.found.reference) options.unshift(["reference", t("recipe.view_reference")]);
    replace(this.view, options.map(([value, text]) => h("option", { value }, text)));
    this.view.disabled = options.length === 0;
    this.showPicture();
  }

  showPicture() {
    const value = this.view.value;
    if (!value) { this.editor.show("", "", 0, 0); setText(this.coverage, t("recipe.no_size")); return; }
    const address = value === "reference" ? `${this.path}/reference` : `${this.path}/pictures/${encodeURIComponent(value.slice(5))}`;
    const picture = new Image();
    picture.onload = () => {
      // the reference is reduced: the frame's own size is the recipe's, or a whole picture's
      const { width, height } = value !== "reference" ? { width: picture.naturalWidth, height: picture.naturalHeight }
        : this.found.frame ?? this.frame ?? { width: 0, height: 0 };
      this.frame = width ? { width, height } : this.frame;
      this.editor.show(address, this.view.selectedOptions[0].textContent, width, height);
      this.editor.build();
      this.kind.disabled = !this.frame; // nothing can be drawn on a frame of unknown size
      this.turnCoverage();
      if (!width) this.needSize();
    };
    picture.onerror = () => setText(this.coverage, t("picture.gone"));
    picture.src = address;
  }

  // Only a whole picture tells how large the frame is.
  needSize() {
    const part = [...this.view.options].findIndex((each) => each.value.startsWith("part:"));
    if (part >= 0) { this.view.selectedIndex = part; this.showPicture(); }
    else setText(this.coverage, t("recipe.no_size"));
  }

  // --- regions ---

  get tiling() { return this.found.bundle?.tiling ?? null; }

  kinds() {
    const held = this.found.holds.regions;
    const options = [["trained", t(this.tiling ? "recipe.kind_tiles" : "recipe.kind_whole")],
      ["drawn", t(this.tiling ? "recipe.kind_within" : "recipe.kind_drawn")]];
    if (held !== null && boxesOf(held) === null) options.push(["kept", regionWords(held)]);
    replace(this.kind, options.map(([value, text]) => h("option", { value }, text)));
  }

  kindOf(regions) {
    if (regions === null) return "trained";
    return boxesOf(regions) === null ? "kept" : "drawn";
  }

  chooseKind() {
    const kind = this.kind.value;
    const before = boxesOf(this.draft.regions) ?? boxesOf(this.found.holds.regions) ?? [];
    if (kind === "trained") this.draft.regions = null;
    else if (kind === "kept") this.draft.regions = structuredClone(this.found.holds.regions);
    else this.draft.regions = this.ruleOf(before.length ? before : this.firstBox());
    this.redraw();
  }

  firstBox() {
    const { width, height } = this.frame ?? { width: 0, height: 0 };
    const inset = (side) => Math.round(side * 0.1);
    return [{ name: "region-1", x: inset(width), y: inset(height), width: width - 2 * inset(width), height: height - 2 * inset(height) }];
  }

  ruleOf(boxes) {
    if (boxes.length === 0) return null;
    if (!this.tiling) return { kind: "rectangles", regions: boxes.map((each) => ({ ...each })) };
    const { x, y, width, height } = boxes[0];
    return { kind: "tiles", ...this.tiling, within: { kind: "rectangle", x, y, width, height } };
  }

  drawn() {
    this.draft.regions = this.ruleOf(this.editor.regions);
    if (this.draft.regions === null) this.kind.value = "trained";
    this.turnCoverage();
    this.showChange();
  }

  // What is looked at, as rectangles of the frame; null where the page cannot tell.
  looked() {
    const boxes = boxesOf(this.draft.regions);
    if (boxes !== null) return boxes;
    return this.draft.regions === null || !this.draft.regions.within ? null : [this.draft.regions.within];
  }

  turnCoverage() {
    const boxes = this.looked();
    if (boxes === null || !this.frame) { setText(this.coverage, t("recipe.all_looked")); return; }
    setText(this.coverage, t("recipe.not_looked", { share: number(100 * uncovered(boxes, this.frame.width, this.frame.height), 0) }));
  }

  // --- limits ---

  limit(name, value) {
    if (!Number.isFinite(value) || !this.found) return;
    const limits = { ...(this.draft.limits ?? this.effective(null)) };
    if (name === "novelty_at") limits.novelty_at = value > 0 ? value : null;
    else {
      limits[name] = Math.min(1, Math.max(0, value));
      if (name === "review_at") limits.reject_at = Math.max(limits.reject_at, limits.review_at);
      else limits.review_at = Math.min(limits.reject_at, limits.review_at);
    }
    this.draft.limits = limits;
    this.redraw();
  }

  redraw({ kinds = false } = {}) {
    if (kinds) this.kinds();
    this.kind.value = this.kindOf(this.draft.regions);
    this.kind.disabled = !this.frame;
    const boxes = boxesOf(this.draft.regions);
    const shown = boxes ?? shownOf(this.found, this.draft.regions);
    this.editor.set(shown, { locked: boxes === null, most: this.tiling ? 1 : 64 });
    const now = this.effective(this.draft.limits);
    for (const [name, { slider, box }] of Object.entries(this.inputs)) {
      slider.value = String(now[name]);
      slider.setAttribute("aria-valuetext", number(now[name], DIGITS));
      box.value = String(Math.round(now[name] * 1e6) / 1e6);
    }
    this.noveltyRow.hidden = this.ownLimits?.novelty_at == null;
    this.novelty.value = now.novelty_at === null ? "" : String(Math.round(now.novelty_at * 1e6) / 1e6);
    this.own.disabled = this.draft.limits === null;
    setText(this.source, this.draft.limits === null ? t("recipe.limits_bundle") : t("recipe.limits_recipe"));
    this.tradeoff.show(this.found.bundle?.curve ?? null, now, this.ownLimits);
    this.turnCoverage();
    this.showPrediction();
    this.showChange();
  }

  // Rows of [what, with the limits that hold, with those drawn].
  predictions() {
    const [held, now] = [this.effective(this.found.holds.limits), this.effective(this.draft.limits)];
    const curve = this.found.bundle?.curve;
    const rows = [];
    const share = (n, of) => `${number(n)}/${number(of)} · ${percent(n, of)}`.replaceAll(" ", "\u00a0");
    if (curve) {
      const of = (limits) => [predicted(curve, limits.review_at), predicted(curve, limits.reject_at)];
      const cells = (words) => [words(...of(held)), words(...of(now))];
      rows.push(
        [t("recipe.row_escape"), ...cells((review) => share(review.escapes, curve.defects))],
        [t("recipe.row_bound", { confidence: number(100 * curve.confidence) }), ...cells((review) => `${number(100 * review.bound, 1)} %`)],
        [t("recipe.row_overkill"), ...cells((review) => share(review.overkill, curve.good))],
        [t("recipe.row_overkill_bad"), ...cells((_, reject) => share(reject.overkill, curve.good))]);
    }
    const points = this.stream.stations[this.name]?.points ?? [];
    const [before, after] = [counted(points, held), counted(points, now)];
    if (before.n > 0) {
      rows.push(...["ok", "doubt", "bad"].map((each) => [t(`recipe.row_${each}`, { n: number(before.n) }), share(before[each], before.n), share(after[each], after.n)]));
    }
    return rows;
  }

  showPrediction() {
    const curve = this.found.bundle?.curve;
    const rows = this.predictions();
    const notes = [];
    if (!curve) notes.push(t("recipe.no_curve"));
    else notes.push(t("recipe.curve_words", { on: word("bundles.on", curve.chosen_on), defects: number(curve.defects), good: number(curve.good) }));
    if (curve && this.found.bundle.variant && this.found.bundle.variant !== "float") notes.push(t("recipe.curve_float", { variant: this.found.bundle.variant }));
    if (curve && this.draft.regions !== null) notes.push(t("recipe.curve_regions"));
    replace(this.prediction, figures(rows),
      notes.map((each) => h("p", { class: "quiet" }, each)));
  }

  // --- the change ---

  // [what, old, new] in words; empty where nothing would be another.
  differences() {
    const held = this.found.holds;
    const list = [];
    if (!same(held.limits, this.draft.limits)) {
      const [old, now] = [this.effective(held.limits), this.effective(this.draft.limits)];
      for (const name of ["review_at", "reject_at", "novelty_at"]) {
        if (old[name] !== now[name]) list.push([t(`recipe.${name}`), number(old[name], DIGITS), number(now[name], DIGITS)]);
      }
      const whose = (limits) => t(limits === null ? "recipe.of_bundle" : "recipe.of_recipe");
      if ((held.limits === null) !== (this.draft.limits === null)) list.push([t("recipe.whose"), whose(held.limits), whose(this.draft.limits)]);
    }
    if (same(held.regions, this.draft.regions)) return list;
    const [old, now] = [boxesOf(held.regions), boxesOf(this.draft.regions)];
    if (old === null || now === null) return [...list, [t("recipe.where"), regionWords(held.regions), regionWords(this.draft.regions)]];
    for (const name of new Set([...old, ...now].map((each) => each.name))) {
      const [before, after] = [old, now].map((all) => all.find((each) => each.name === name));
      if (!same(before, after)) list.push([t("recipe.region_named", { name }), before ? boxWords(before) : t("recipe.absent"), after ? boxWords(after) : t("recipe.absent")]);
    }
    return list;
  }

  // Limits that are looser than the bundle's own: its certificate does not hold for them.
  looser() {
    const [own, now] = [this.ownLimits, this.effective(this.draft.limits)];
    return own !== null && (now.review_at > own.review_at || (own.novelty_at !== null && now.novelty_at > own.novelty_at));
  }

  showChange() {
    const list = this.differences();
    replace(this.changed, list.length ? changes(list) : h("p", { class: "quiet" }, t("recipe.no_change")));
    this.warning.hidden = list.length === 0 || !this.looser();
    this.turn();
  }

  turn() {
    if (!this.found) return;
    const stale = this.stream.isStale(this.name);
    const nothing = this.differences().length === 0;
    this.prepareButton.disabled = this.busy || nothing || stale || !this.session.stations[this.name] || !this.found.serving || !this.found.known;
    this.discard.disabled = this.busy || nothing;
    this.element.classList.toggle("stale", stale);
    const count = this.stream.stations[this.name]?.points?.length ?? 0;
    if (count > 0 && !this.counted) { this.counted = true; this.showPrediction(); } // the first parts are heard
    this.follow(stale, nothing);
    if (stale && !this.busy) setText(this.said, t("recipe.silent"));
    else if (this.said.textContent === t("recipe.silent")) setText(this.said, "");
  }

  // The station holds something else by now: shown, but for a change somebody is in the midst of.
  follow(stale, nothing) {
    const state = this.stream.stations[this.name]?.state;
    const other = Boolean(state?.recipe) && (state.bundle !== this.found.serving || (state.bundles?.revision ?? 0) !== this.found.revision);
    const trial = Boolean(state?.bundles?.on_trial);
    if (!stale && !other && trial !== this.found.on_trial) {
      this.found.on_trial = trial;
      this.showLine();
    }
    if (!other || stale || this.busy || this.following) return;
    if (!nothing) { setText(this.said, t("recipe.overtaken")); return; }
    this.following = true;
    if (this.said.textContent === t("recipe.overtaken")) setText(this.said, "");
    ask("GET", `${this.path}/recipe`).then((found) => this.take(found)).catch(() => {})
      .finally(() => setTimeout(() => { this.following = false; }, AGAIN_MS));
  }

  request(more) {
    return { change: { based_on: this.found.revision, bundle: this.found.serving, regions: this.draft.regions, limits: this.draft.limits,
      beyond_certificate: this.looser(), ...more } };
  }

  async send(body, words) {
    this.busy = true;
    setText(this.said, words);
    this.turn();
    try {
      return await ask("POST", `${this.path}/recipe`, body);
    } catch (error) {
      return { outcome: null, reason: failed(error) };
    } finally {
      this.busy = false;
      this.turn();
    }
  }

  async prepare() {
    const reply = await this.send(this.request({ only_check: true, why: t("recipe.checked_why") }), t("recipe.checking"));
    setText(this.said, reply.outcome === null ? reply.reason : said(reply));
    if (reply.outcome !== "done") return;
    setText(this.said, "");
    const rows = this.predictions();
    const warn = [];
    if (this.draft.regions !== null && !same(this.found.holds.regions, this.draft.regions)) warn.push(t("recipe.curve_regions"));
    if (this.draft.limits !== null) warn.push(t("recipe.pins", { bundle: this.found.serving }));
    this.confirm.ask({
      title: t("recipe.confirm", { name: this.found.name, station: this.name }),
      body: h("div", {}, changes(this.differences()),
        figures(rows),
        warn.map((each) => h("p", { class: "quiet" }, each)),
        h("p", { class: "quiet" }, t(same(this.found.holds.regions, this.draft.regions) ? "recipe.checked_limits" : "recipe.checked"))),
      sure: this.looser() ? t("recipe.sure") : null,
      action: t("recipe.apply"),
      go: (why) => this.apply(why),
    });
  }

  async apply(why) {
    const before = this.found.revision;
    this.following = true; // what holds becomes another by our own doing
    const reply = await this.send({ ...this.request({ why }), confirmed: true }, t("recipe.applying"));
    setText(this.said, reply.outcome === null ? reply.reason : said(reply));
    if (reply.outcome === "done") await this.await(before);
    this.following = false;
  }

  // The station says every two seconds what holds.
  async await(before) {
    const name = this.name;
    for (let i = 0; i < TRIES && this.name === name; i += 1) {
      const found = await ask("GET", `${this.path}/recipe`).catch(() => null);
      if (found !== null && found.revision !== before) { this.take(found); return; }
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  // --- what was before ---

  showHistory() {
    const { revisions, written, revision } = this.found;
    const rows = [...revisions, { number: 0, at: null, by: null, why: t("recipe.file_why"), ...written }];
    const load = (each) => {
      const other = each.limits !== null && each.bundle !== this.found.serving;
      if (each.number === revision && this.found.serving !== null) return h("span", {}, t("recipe.holds"));
      return h("button", { type: "button", disabled: other, title: other ? t("recipe.other_bundle") : null,
        "aria-label": t("recipe.load_this", { number: each.number }), onclick: () => this.loadBack(each) }, t(other ? "recipe.other_bundle" : "recipe.load"));
    };
    replace(this.history, h("h2", {}, t("recipe.revisions")), h("p", { class: "quiet" }, t("recipe.revisions_help")),
      table(t("recipe.revisions"), ["number", "at", "by", "why", "limits", "where", "bundle", "back"].map((each) => t(`recipe.head_${each}`)),
        rows.map((each) => [each.number === 0 ? t("recipe.file") : String(each.number), time(each.at), each.by ?? "–", each.why,
          each.limits === null ? t("recipe.of_bundle") : t("recipe.limit_words", { review: number(each.limits.review_at, 3), reject: number(each.limits.reject_at, 3) }),
          regionWords(each.regions), h("span", { class: "mono" }, each.bundle), load(each)])));
  }

  loadBack(each) {
    this.draft = structuredClone({ regions: each.regions, limits: each.limits });
    this.redraw();
    setText(this.said, t("recipe.loaded", { number: each.number === 0 ? t("recipe.file") : each.number }));
    this.prepareButton.focus();
    this.prepareButton.scrollIntoView({ block: "center" });
  }
}

function figures(rows) {
  return rows.length ? table(t("recipe.predicted"), [t("recipe.what"), t("recipe.now"), t("recipe.then")], rows, { class: "figures" }) : null;
}
