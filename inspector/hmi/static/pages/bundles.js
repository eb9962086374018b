// Bundles: what judges the parts and what it promised, what could take over, what a second one
// would have said; promoted and rolled back in two steps.

import { ask } from "/static/api.js";
import { chooser } from "/static/chooser.js";
import { h, pairs, replace, setText, table } from "/static/dom.js";
import { badge, verdictBadge } from "/static/shapes.js";
import { Confirm, changes, failed, said } from "/static/steps.js";
import { number, percent, t, time, word } from "/static/text.js";

export const title = "page.bundles";

const AGAIN_MS = 5_000;

export function show(main, { session, stream, alive }) {
  const page = new BundlesPage(session, stream);
  const choice = chooser(session, (name) => page.load(name));
  main.append(h("div", { class: "headline" }, h("h1", {}, t("page.bundles")), choice.element), page.element);
  alive(() => page.turn());
  setInterval(() => { if (!document.hidden) page.loadShadow().catch(() => {}); }, AGAIN_MS);
  return choice.start();
}

class BundlesPage {
  constructor(session, stream) {
    this.session = session;
    this.stream = stream;
    this.busy = false;
    this.bundles = [];
    this.shown = "";
    this.said = h("p", { class: "said", role: "status" });
    this.now = h("section", { class: "card serves" });
    this.list = h("section", { class: "card" });
    this.shadow = h("section", { class: "card shadow" });
    this.shadowShown = "";
    this.back = h("button", { type: "button", class: "grave", onclick: () => this.askBack() }, t("bundles.rollback"));
    this.confirm = new Confirm();
    this.dialog = h("dialog", { class: "wide", "aria-labelledby": "bundle-title" });
    this.element = h("div", {}, this.said, this.now, this.list, this.shadow, this.dialog, this.confirm.element);
  }

  async load(name) {
    this.name = name;
    this.path = `/api/stations/${encodeURIComponent(name)}`;
    this.shown = this.shadowShown = "";
    this.bundles = [];
    setText(this.said, "");
    try {
      const found = await ask("GET", `${this.path}/bundles`);
      [this.bundles, this.pinned] = [found.bundles, found.pinned];
    } catch (error) {
      setText(this.said, failed(error));
    }
    this.turn();
    await this.loadShadow().catch(() => replace(this.shadow));
  }

  get state() { return this.stream.stations[this.name]?.state ?? null; }

  bundle(id) { return this.bundles.find((each) => each.id === id) ?? null; }

  turn() {
    if (!this.name) return;
    const stale = this.stream.isStale(this.name);
    const state = this.state;
    const now = JSON.stringify([state?.bundle, state?.bundles, state?.model, stale, this.busy, this.bundles.length, this.name]);
    if (now === this.shown) return;
    this.shown = now;
    this.element.classList.toggle("stale", stale);
    this.showNow(state, stale);
    this.showList(state, stale);
  }

  // --- what serves ---

  showNow(state, stale) {
    const status = state?.bundles ?? {};
    const serving = this.bundle(state?.bundle);
    this.back.disabled = this.busy || stale || !status.previous || !this.session.stations[this.name];
    const loads = status.loads ?? {};
    replace(this.now,
      h("div", { class: "headline" }, h("h2", {}, t("bundles.now"), " ", h("span", { class: "mono id" }, state?.bundle ?? "–")),
        status.on_trial ? badge("wait", t("bundles.on_trial"), "") : null),
      h("div", { class: "split" },
        h("div", {}, serving ? pairs(facts(serving)) : h("p", { class: "quiet" }, t("bundles.not_here"))),
        pairs([
          [t("bundles.self_test"), this.selfTest(state?.model, serving)],
          [t("bundles.runs"), state?.model ? `${state.model.variant}: ${state.model.reason}` : "–"],
          [t("bundles.loads"), t("bundles.loads_words", { taken: number(loads.taken ?? 0), refused: number(loads.refused ?? 0) })],
          ...(status.refused ? [[t("bundles.refused"), h("span", { class: "trouble" }, status.refused)]] : []),
          [t("bundles.before"), h("span", { class: "mono" }, status.previous ?? t("bundles.none_before"))],
        ])),
      h("div", { class: "bar" },
        state?.bundle && serving ? h("button", { type: "button", onclick: () => this.open(state.bundle) }, t("bundles.open")) : null, this.back));
  }

  selfTest(model, serving) {
    if (typeof model?.golden_error !== "number") return t("bundles.no_self_test");
    const figures = { error: number(model.golden_error, 6), tolerance: serving ? number(serving.tolerance, 6) : "–" };
    return model.fell_back ? badge("doubt", t("bundles.fell_back", figures), "warn") : t("bundles.passed", figures);
  }

  // --- what could serve ---

  showList(state, stale) {
    const status = state?.bundles ?? {};
    const role = (id) => (id === state?.bundle ? t("bundles.serves") : id === status.previous ? t("bundles.served") : "");
    const may = !this.busy && !stale && this.session.stations[this.name] && state?.bundle;
    replace(this.list, h("h2", {}, t("bundles.all")),
      this.bundles.length === 0 ? h("p", { class: "quiet" }, t("bundles.none")) : table(t("bundles.all"),
        ["id", "created", "model", "limits", "certificate", "state", "actions"].map((each) => t(`bundles.head_${each}`)),
        this.bundles.map((each) => [
          h("span", { class: "mono id" }, each.id),
          ...(each.trouble ? ["–", h("span", { class: "trouble" }, each.trouble), "–", "–"] : [
            time(each.created_at), `${each.architecture}, ${each.precision}${each.variants.length ? ` + ${each.variants.join(", ")}` : ""}`,
            limitWords(each.limits), each.certificate]),
          role(each.id),
          h("div", { class: "buttons" },
            each.trouble ? null : h("button", { type: "button", "aria-label": `${t("bundles.open")}: ${each.id}`, onclick: () => this.open(each.id) }, t("bundles.open")),
            each.trouble || each.id === state?.bundle ? null : h("button", { type: "button", class: "grave", disabled: !may,
              "aria-label": `${t("bundles.promote")}: ${each.id}`, onclick: () => this.askPromote(each) }, t("bundles.promote"))),
        ])));
  }

  async open(id) {
    try {
      const found = await ask("GET", `${this.path}/bundles/${encodeURIComponent(id)}`);
      replace(this.dialog, this.detail(found));
      this.dialog.showModal();
    } catch (error) {
      setText(this.said, failed(error));
    }
  }

  detail(found) {
    const path = `${this.path}/bundles/${encodeURIComponent(found.id)}`;
    const mono = (text) => h("span", { class: "mono" }, text);
    const frame = h("div", {});
    // a page that somebody else made: no script runs in it and nothing is loaded
    const showReport = () => replace(frame, h("iframe", { class: "report", sandbox: "", src: `${path}/report`, title: t("bundles.report_of", { bundle: found.id }) }));
    return h("div", {},
      h("div", { class: "headline" }, h("h2", { id: "bundle-title" }, t("bundles.detail", { bundle: found.id })),
        h("button", { type: "button", autofocus: true, onclick: () => this.dialog.close() }, t("history.close"))),
      found.wrong ? badge("fault", t("bundles.wrong", { words: found.wrong }), "fault") : h("p", { class: "quiet" }, t("bundles.whole")),
      h("div", { class: "split" }, pairs(facts(found)), pairs([
        [t("bundles.sha256"), mono(found.sha256)], [t("bundles.data"), mono(found.fingerprint)],
        [t("bundles.golden_sha"), mono(found.golden_sha256)], [t("bundles.code"), found.code]])),
      h("section", {}, h("h3", {}, t("bundles.figures")), found.figures.length
        ? table(t("bundles.figures"), ["rate", "on", "count", "bound"].map((each) => t(`bundles.head_${each}`)), found.figures.map((each) => [
          word("bundles.rate", each.what), word("bundles.on", each.on), `${number(each.events)} / ${number(each.n)} (${percent(each.events, each.n)})`,
          t("bundles.bound", { bound: number(100 * each.at_most, 1), confidence: number(100 * each.confidence) })]))
        : h("p", { class: "quiet" }, t("bundles.no_figures"))),
      h("section", {}, h("h3", {}, t("bundles.golden")), h("p", { class: "quiet" }, t("bundles.golden_help")),
        h("ul", { class: "thumbs" }, found.golden.map((each, i) => h("li", {},
          h("img", { src: `${path}/golden/${each.picture}`, alt: t("bundles.golden_alt", { number: i + 1, label: each.label }), loading: "lazy" }),
          h("span", {}, each.label), h("span", { class: "quiet" }, number(each.score, 3)))))),
      h("section", {}, h("h3", {}, t("bundles.report")),
        found.report ? h("button", { type: "button", onclick: showReport }, t("bundles.show_report")) : h("p", { class: "quiet" }, t("bundles.no_report")), frame));
  }

  // --- promote and roll back ---

  // Old -> new of what a person decides by.
  compared(old, candidate) {
    const rows = [[t("bundles.head_id"), old?.id ?? this.state?.bundle ?? "–", candidate.id]];
    const add = (name, of) => { if (old && of(old) !== of(candidate)) rows.push([name, of(old), of(candidate)]); };
    add(t("bundles.head_created"), (each) => time(each.created_at));
    add(t("bundles.head_model"), (each) => `${each.architecture}, ${each.precision}`);
    add(t("bundles.head_limits"), (each) => limitWords(each.limits));
    add(t("bundles.defects"), (each) => each.defects.join(", "));
    add(t("bundles.good"), (each) => each.good.join(", "));
    add(t("bundles.head_certificate"), (each) => each.certificate);
    return changes(rows);
  }

  askPromote(candidate) {
    const shadow = this.state?.shadow;
    const seen = shadow?.bundle === candidate.id && this.found?.shadow
      ? t("bundles.seen", { judged: number(this.found.judged), others: number(this.found.disagreements) }) : t("bundles.unseen");
    this.confirm.ask({
      title: t("bundles.confirm", { bundle: candidate.id, station: this.name }),
      body: h("div", {}, this.compared(this.bundle(this.state?.bundle), candidate), h("p", {}, seen), this.pin(), h("p", { class: "quiet" }, t("bundles.confirm_help"))),
      action: t("bundles.promote"),
      go: (why) => this.send({ action: "reload", bundle: candidate.id, why, confirmed: true }),
    });
  }

  // Limits of the recipe's own were made for one bundle: the station will refuse another.
  pin() { return this.pinned ? h("p", { class: "warning" }, t("bundles.pinned")) : null; }

  askBack() {
    const previous = this.state?.bundles?.previous;
    const known = this.bundle(previous);
    this.confirm.ask({
      title: t("bundles.confirm_back", { bundle: previous, station: this.name }),
      body: h("div", {}, known ? this.compared(this.bundle(this.state?.bundle), known) : null, this.pin(), h("p", { class: "quiet" }, t("bundles.confirm_help"))),
      action: t("bundles.rollback"),
      go: (why) => this.send({ action: "rollback", why, confirmed: true }),
    });
  }

  async send(body) {
    this.busy = true;
    setText(this.said, t("bundles.sent"));
    this.turn();
    try {
      setText(this.said, said(await ask("POST", `${this.path}/bundles`, body)));
    } catch (error) {
      setText(this.said, failed(error));
    }
    this.busy = false;
    this.turn();
  }

  // --- the shadow ---

  async loadShadow() {
    const name = this.name;
    const found = await ask("GET", `${this.path}/shadow`);
    if (name !== this.name) return;
    this.found = found;
    const now = JSON.stringify(found);
    if (now === this.shadowShown) return;
    const focused = this.shadow.contains(document.activeElement);
    if (focused && this.shadowShown !== "") return; // nothing moves away under somebody's finger
    this.shadowShown = now;
    this.showShadow(found);
  }

  showShadow(found) {
    const heading = h("h2", {}, t("bundles.shadow"));
    if (!found.shadow) { replace(this.shadow, heading, h("p", { class: "quiet" }, t("bundles.no_shadow"))); return; }
    const { shadow } = found;
    replace(this.shadow, heading,
      h("div", { class: "split" },
        pairs([
          [t("bundles.shadow_bundle"), h("span", { class: "mono" }, shadow.bundle)],
          [t("bundles.shadow_judged"), number(found.judged)],
          [t("bundles.shadow_others"), `${number(found.disagreements)} (${percent(found.disagreements, found.judged)})`],
          [t("bundles.shadow_boot"), t("bundles.shadow_boot_words", { judged: number(shadow.judged), others: number(shadow.disagreements), dropped: number(shadow.dropped), failed: number(shadow.failed) })],
        ]),
        found.counts.length ? table(t("bundles.counts"), [t("bundles.by_serving"), t("bundles.by_shadow"), t("bundles.parts")],
          found.counts.map(([serving, other, count]) => [verdictBadge(serving), verdictBadge(other), number(count)])) : h("p", { class: "quiet" }, t("bundles.agreed"))),
      found.rows.length ? h("h3", {}, t("bundles.newest", { count: number(found.rows.length) })) : null,
      found.rows.length ? table(t("bundles.disagreements"),
        [t("part.id"), t("bundles.by_serving"), t("bundles.by_shadow"), t("part.time"), t("bundles.picture")],
        found.rows.map((each) => [each.part ?? t("part.unnamed", { seq: each.seq }), opinion(each.serving), opinion(each.shadow), time(each.captured_at),
          h("button", { type: "button", "aria-label": `${t("bundles.picture")}: ${each.part ?? each.seq}`, onclick: () => this.openPart(each) }, t("bundles.picture"))])) : null);
  }

  openPart(each) {
    const part = each.part ?? String(each.seq);
    const figure = h("figure", { class: "picture" });
    const image = h("img", { alt: t("picture.of", { part }) });
    image.addEventListener("error", () => replace(figure, h("p", { class: "none" }, t("picture.gone"))));
    image.src = `${this.path}/shadow/pictures/${encodeURIComponent(each.image)}`;
    figure.append(h("div", { class: "frame" }, image));
    replace(this.dialog, h("div", { class: "headline" }, h("h2", { id: "bundle-title" }, t("history.detail", { part })),
      h("button", { type: "button", autofocus: true, onclick: () => this.dialog.close() }, t("history.close"))),
      figure, pairs([[t("bundles.by_serving"), opinion(each.serving)], [t("bundles.by_shadow"), opinion(each.shadow)], [t("part.seq"), String(each.seq)]]),
      h("a", { class: "button", href: `/history?station=${encodeURIComponent(this.name)}&seq=${each.seq}` }, t("live.details")));
    this.dialog.showModal();
  }
}

function opinion(each) {
  return h("span", { class: "opinion" }, verdictBadge(each.evaluation), h("span", {}, `${number(each.score, 3)}${each.label ? ` · ${each.label}` : ""}`));
}

function limitWords(limits) {
  const words = t("recipe.limit_words", { review: number(limits.review_at, 3), reject: number(limits.reject_at, 3) });
  return limits.novelty_at === null ? words : `${words}, ${t("recipe.novelty_words", { novelty: number(limits.novelty_at, 3) })}`;
}

function facts(each) {
  const parts = Object.entries(each.parts).map(([label, n]) => `${label} ${number(n)}`).join(", ");
  return [
    [t("bundles.head_created"), time(each.created_at)],
    [t("bundles.head_model"), `${each.architecture}, ${each.precision}${each.variants.length ? ` + ${each.variants.join(", ")}` : ""}`],
    [t("bundles.good"), each.good.join(", ")], [t("bundles.defects"), each.defects.join(", ")],
    [t("bundles.head_limits"), limitWords(each.limits)], [t("bundles.head_certificate"), each.certificate],
    [t("bundles.parts_trained"), parts], ...(each.tiles ? [[t("bundles.tiles"), each.tiles]] : []),
    ...(each.notice ? [[t("bundles.notice"), each.notice]] : []),
  ];
}
