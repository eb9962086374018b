// Alarms: what needs a person now; and what came, went and was acknowledged, in ISA-18.2's words.

import { ask, query } from "/static/api.js";
import { h, replace, setText, table } from "/static/dom.js";
import { badge } from "/static/shapes.js";
import { number, t, time, word } from "/static/text.js";

export const title = "page.alarms";

const AGAIN_MS = 3_000;
const PAGE_ROWS = 50;

export async function show(main, { session, stream, alive }) {
  const names = Object.keys(session.stations);
  const asked = new URLSearchParams(location.search).get("station");
  const station = h("select", { id: "station", onchange: () => turned() },
    h("option", { value: "" }, t("alarms.all")),
    names.map((name) => h("option", { value: name, selected: name === asked }, name)));
  const seen = h("select", { id: "seen", onchange: () => turned() },
    h("option", { value: "" }, t("alarms.every")), h("option", { value: "true" }, t("alarms.unacknowledged")));
  const now = h("div", {});
  const past = new Past(session, () => ({ station: station.value, unacknowledged: seen.value }));
  main.append(h("h1", {}, t("page.alarms")),
    h("div", { class: "card filters" },
      h("div", {}, h("label", { for: "station" }, t("alarms.station")), station),
      h("div", {}, h("label", { for: "seen" }, t("alarms.which")), seen)),
    h("section", { class: "card" }, h("h2", {}, t("alarms.now")), now), past.element);

  let shown = "";
  const turn = () => {
    const list = names.filter((name) => station.value === "" || name === station.value)
      .map((name) => [name, stream.stations[name], stream.isStale(name)]);
    const text = JSON.stringify(list.map(([name, known, stale]) =>
      [name, known?.alarm, known?.state?.withheld, known?.connected, known?.trouble, stale]));
    if (text === shown) return;
    shown = text;
    replace(now, list.map(([name, known, stale]) => standing(name, known, stale)));
    past.look();
  };
  function turned() {
    past.before = null;
    shown = "";
    turn();
  }
  alive(turn);
  turn();
  setInterval(() => { if (!document.hidden) past.look(); }, AGAIN_MS);
}

function standing(name, known, stale) {
  const alarms = Array.isArray(known?.alarm?.alarms) ? known.alarm.alarms : [];
  const rows = alarms.map((each) => h("li", {}, badge("fault", word("alarm", each.kind), "fault"),
    h("span", {}, ` ${each.cause} · ${time(each.since)}`)));
  if (known?.alarm?.line_stop) rows.unshift(h("li", {}, badge("stop", t("alarms.line_stop"), "fault")));
  if (stale) rows.unshift(h("li", {}, badge("gone", t("alarms.silent"), "silent")));
  if (known && !known.connected) rows.push(h("li", {}, t("live.broker", { words: known.trouble })));
  if (known?.state?.withheld) rows.push(h("li", {}, t("live.withheld", { words: known.state.withheld })));
  return h("div", { class: stale ? "stale" : "" }, h("h3", {}, name),
    rows.length ? h("ul", { class: "alarms" }, rows) : h("p", { class: "quiet" }, t("alarms.none")));
}

// What is kept of before, also of before the pages' last start.
class Past {
  constructor(session, wanted) {
    this.wanted = wanted;
    this.may = session.acknowledges;
    this.before = null;
    this.shown = "";
    this.said = h("p", { class: "said", role: "status" });
    this.trouble = h("p", { class: "trouble", role: "alert" });
    this.list = h("div", {});
    this.newest = h("button", { type: "button", onclick: () => this.go(null) }, t("history.newest"));
    this.older = h("button", { type: "button", disabled: true }, t("history.older"));
    this.all = h("button", { type: "button", disabled: true }, t("alarms.acknowledge_all"));
    this.element = h("section", { class: "card" }, h("h2", {}, t("alarms.past")), this.trouble,
      h("div", { class: "bar" }, this.newest, this.older, this.may ? this.all : null,
        h("div", { class: "grow" }), this.said), this.list);
  }

  go(before) {
    this.before = before;
    this.look();
  }

  async look() {
    try {
      const found = await ask("GET", `/api/alarms${query({ ...this.wanted(), before: this.before, limit: PAGE_ROWS })}`);
      const text = JSON.stringify(found);
      if (text !== this.shown) this.draw(found);
      this.shown = text;
    } catch (error) {
      setText(this.said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim());
    }
  }

  draw(found) {
    setText(this.said, found.unacknowledged ? t("alarms.waiting", { count: number(found.unacknowledged) }) : "");
    setText(this.trouble, found.trouble ? t("alarms.not_kept", { words: found.trouble }) : "");
    this.older.disabled = found.before === null;
    this.older.onclick = () => this.go(found.before);
    const waiting = found.rows.filter((row) => row.acknowledged === null).map((row) => row.id);
    this.all.disabled = waiting.length === 0;
    this.all.onclick = () => this.acknowledge(waiting);
    const heads = ["station", "kind", "state", "since", "gone", "acknowledged"].map((each) => t(`alarms.${each}`));
    replace(this.list, found.rows.length
      ? table(t("alarms.past"), heads, found.rows.map((row) => this.row(row)))
      : h("p", { class: "quiet" }, t("alarms.nothing")));
  }

  row(row) {
    const stands = row.ended === null;
    const seen = row.acknowledged !== null;
    const state = t(stands ? (seen ? "alarms.state_acked" : "alarms.state_unack") : (seen ? "alarms.state_normal" : "alarms.state_rtn"));
    const button = () => h("button", {
      type: "button", "aria-label": `${t("alarms.acknowledge")}: ${row.station} ${word("alarm", row.kind)} ${time(row.began)}`,
      onclick: () => this.acknowledge([row.id]),
    }, t("alarms.acknowledge"));
    const what = h("div", {}, h("div", {}, word("alarm", row.kind)), h("div", { class: "quiet" }, row.cause));
    return [row.station || t("alarms.pages"), what,
      stands ? badge("fault", state, seen ? "warn" : "fault") : state,
      time(row.began), stands ? "–" : time(row.ended),
      seen ? t("alarms.by", { name: row.acknowledged_by, time: time(row.acknowledged) }) : this.may ? button() : "–"];
  }

  async acknowledge(ids) {
    try {
      await ask("POST", "/api/alarms/acknowledged", { ids });
    } catch (error) {
      setText(this.said, word("error", error.message));
      return;
    }
    await this.look();
  }
}
