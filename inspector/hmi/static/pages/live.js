// Live: is it running, may parts pass, what was the last one, how goes it.

import { Commands } from "/static/commands.js";
import { h, pairs, replace, setText } from "/static/dom.js";
import { picture } from "/static/picture.js";
import { badge, stateBadge, verdictBadge } from "/static/shapes.js";
import { number, percent, t, time, word } from "/static/text.js";
import { Trend } from "/static/trend.js";

export const title = "page.live";

const KEPT = "inspector.station";
const EVALUATIONS = ["OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"];

export function show(main, { session, stream, alive }) {
  const names = Object.keys(session.stations);
  const chosen = new URLSearchParams(location.search).get("station") ?? sessionStorage.getItem(KEPT);
  const name = names.includes(chosen) ? chosen : names[0];
  sessionStorage.setItem(KEPT, name);
  const tiles = names.length > 1 ? names.map((each) => new Tile(each, each === name, stream)) : [];
  const station = new Station(name, session, stream);
  main.append(h("h1", { class: "unseen" }, t("page.live")));
  if (tiles.length) main.append(h("nav", { class: "tiles", "aria-label": t("live.stations") }, tiles.map((tile) => tile.element)));
  main.append(station.element);
  alive(() => {
    for (const tile of tiles) tile.turn();
    station.turn();
  });
}

function stateOf(known) { return known?.state?.state ?? null; }

class Tile {
  constructor(name, here, stream) {
    this.name = name;
    this.stream = stream;
    this.state = h("span", {});
    this.trouble = h("span", { class: "trouble" });
    this.element = h("a", { href: `/?station=${encodeURIComponent(name)}`, class: "tile", "aria-current": here ? "true" : null },
      h("strong", {}, name), this.state, this.trouble);
    this.shown = "";
  }

  turn() {
    const known = this.stream.stations[this.name];
    const stale = this.stream.isStale(this.name);
    const trouble = troubleOf(known, stale);
    const now = `${stateOf(known)} ${stale} ${trouble}`;
    if (now === this.shown) return;
    this.shown = now;
    replace(this.state, stateBadge(stateOf(known), stale));
    setText(this.trouble, trouble);
    this.element.classList.toggle("stale", stale);
    this.element.classList.toggle("troubled", trouble !== "");
  }
}

// The gravest thing first, in few words; of a station that is not heard nothing else is sure.
function troubleOf(known, stale) {
  if (known && !known.connected) return t("live.unheard");
  if (stale) return "";
  const alarms = Array.isArray(known?.alarm?.alarms) ? known.alarm.alarms : [];
  const words = alarms.length > 1 ? t("live.alarm_count", { count: alarms.length }) : alarms.length ? word("alarm", alarms[0].kind) : "";
  if (known?.alarm?.line_stop) return `${t("alarms.line_stop")}${words ? `: ${words}` : ""}`;
  return words || (known?.state?.withheld ? t("live.no_pass") : "");
}

class Station {
  constructor(name, session, stream) {
    this.name = name;
    this.stream = stream;
    this.version = -1;
    this.stale = null;
    this.state = h("div", { class: "state", role: "status" });
    this.age = h("span", { class: "age" });
    this.line = h("p", { class: "line" });
    this.alarms = h("ul", { class: "alarms" });
    this.last = h("section", { class: "card part" });
    this.rejected = h("section", { class: "card part" });
    this.counts = h("section", { class: "card counts" });
    this.trend = new Trend();
    this.commands = session.stations[name] && session.commands.length ? new Commands(name, session) : null;
    this.element = h("div", { class: "station" },
      h("div", { class: "headline" },
        h("div", {}, h("h2", { class: "name" }, name), this.age), this.state),
      this.line, this.alarms, this.commands?.element ?? null,
      h("div", { class: "grid" }, this.last, this.rejected, this.counts),
      this.trend.element);
    this.ids = { last: null, rejected: null };
  }

  turn() {
    const known = this.stream.stations[this.name];
    const stale = this.stream.isStale(this.name);
    this.showAge(stale);
    if (known?.version === this.version && stale === this.stale) return;
    this.version = known?.version;
    const flipped = stale !== this.stale;
    this.stale = stale;
    this.element.classList.toggle("stale", stale);
    this.showState(known, stale);
    this.showAlarms(known);
    this.showPart("last", this.last, known?.last, t("live.last"), stale, flipped);
    this.showPart("rejected", this.rejected, known?.rejected, t("live.last_rejected"), stale, flipped);
    this.showCounts(known?.state?.tally);
    this.trend.show(known?.points ?? []);
    this.commands?.show(stateOf(known));
  }

  showAge(stale) {
    const age = this.stream.ageOf(this.name);
    const words = age === null ? t("live.no_heartbeat")
      : stale ? t("live.silent_for", { seconds: number(age, 0) }) : t("live.heartbeat", { seconds: number(age, 1) });
    setText(this.age, words);
  }

  showState(known, stale) {
    const state = stateOf(known);
    const now = `${state} ${stale}`;
    if (this.state.dataset.now !== now) {
      this.state.dataset.now = now;
      replace(this.state, stateBadge(state, stale));
    }
    const said = known?.state;
    const lines = [];
    if (known && !known.connected) lines.push(t("live.broker", { words: known.trouble }));
    if (said?.withheld) lines.push(t("live.withheld", { words: said.withheld }));
    else if (said && !stale) lines.push(t("live.passing"));
    if (said?.cause) lines.push(said.cause);
    setText(this.line, lines.join(" · "));
    this.line.classList.toggle("bad", Boolean(said?.withheld) || (known && !known.connected));
  }

  showAlarms(known) {
    const alarms = Array.isArray(known?.alarm?.alarms) ? known.alarm.alarms : [];
    const texts = JSON.stringify([alarms, known?.alarm?.line_stop]);
    if (texts === this.alarms.dataset.now) return;
    this.alarms.dataset.now = texts;
    replace(this.alarms,
      known?.alarm?.line_stop ? h("li", {}, badge("stop", t("alarms.line_stop"), "fault")) : null,
      alarms.map((each) => h("li", {}, badge("fault", word("alarm", each.kind), "fault"),
        h("span", {}, ` ${each.cause} · ${time(each.since)}`))));
  }

  showPart(which, card, result, heading, stale, flipped) {
    const id = result?.result_id ?? "";
    if (id === this.ids[which] && !flipped) return;
    const same = id === this.ids[which] && id !== "";
    this.ids[which] = id;
    const image = same ? card.querySelector("figure") : null;
    if (!result) {
      replace(card, h("h3", {}, heading), h("p", { class: "quiet" }, t("live.none_yet")));
      return;
    }
    // an old OK must not look like one: without a heartbeat there is no verdict, and no reason for it
    const verdict = stale ? badge("gone", t("live.old"), "silent") : verdictBadge(result.evaluation);
    replace(card, h("h3", {}, heading), h("div", { class: "verdict" }, verdict),
      pairs([
        [t("part.id"), result.part?.id ?? t("part.unnamed", { seq: result.seq })],
        [t("part.score"), stale ? "–" : number(result.score, 3)],
        [t("part.reason"), stale ? "–" : result.evaluation === "OK" ? t("part.passed") : `${word("cause", result.cause)}: ${result.reason}`],
        [t("part.time"), time(result.captured_at)],
      ]),
      image ?? picture(this.name, result, { soon: true }),
      h("a", { class: "button", href: `/history?station=${encodeURIComponent(this.name)}&seq=${result.seq}` }, t("live.details")));
  }

  showCounts(tally) {
    const verdicts = tally?.verdicts ?? {};
    const count = (evaluation) => Number(verdicts[evaluation] ?? 0);
    const all = EVALUATIONS.reduce((sum, each) => sum + count(each), 0);
    const causes = Object.entries(tally?.causes ?? {}).sort((a, b) => b[1] - a[1]).slice(0, 4);
    const spread = tally?.trigger_to_verdict_ms;
    replace(this.counts, h("h3", {}, t("live.counts")),
      h("p", { class: "yield" }, h("strong", {}, percent(count("OK"), all)), h("span", {}, t("live.yield"))),
      pairs([
        ...EVALUATIONS.map((each) => [word("evaluation", each), number(count(each))]),
        [t("live.missed"), number(tally?.triggers_missed ?? 0)],
        ...causes.map(([cause, n]) => [word("cause", cause), number(n)]),
        [t("live.latency"), spread ? t("live.latency_ms", { p50: number(spread.p50, 0), p99: number(spread.p99, 0) }) : "–"],
      ]));
  }
}
