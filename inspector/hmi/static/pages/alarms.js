// Alarms: what needs a person now, and what did since these pages listen.

import { ask } from "/static/api.js";
import { h, replace, setText, table } from "/static/dom.js";
import { badge } from "/static/shapes.js";
import { t, time, word } from "/static/text.js";

export const title = "page.alarms";

export async function show(main, { session, stream, alive }) {
  const now = h("div", {});
  const past = h("div", {});
  const since = h("h2", {}, t("alarms.past", { time: "…" }));  // a heading is never empty
  main.append(h("h1", {}, t("page.alarms")),
    h("section", { class: "card" }, h("h2", {}, t("alarms.now")), now),
    h("section", { class: "card" }, since, past));

  let shown = "";
  let pastShown = null;
  const loadPast = async () => {
    const found = await ask("GET", "/api/alarms");
    setText(since, t("alarms.past", { time: time(found.since) }));
    const rows = found.stations.flatMap((each) => each.past.map((row) => ({ ...row, station: each.station })));
    rows.sort((a, b) => (a.since < b.since ? 1 : -1));
    replace(past, rows.length ? table(t("alarms.past", { time: "" }),
      ["station", "kind", "cause", "since", "gone"].map((each) => t(`alarms.${each}`)),
      rows.map((row) => [row.station, word("alarm", row.kind), row.cause, time(row.since),
        row.gone_at ? time(row.gone_at) : t("alarms.stands")])) : h("p", { class: "quiet" }, t("alarms.none")));
  };

  alive(() => {
    const list = Object.keys(session.stations).map((name) => [name, stream.stations[name], stream.isStale(name)]);
    const text = JSON.stringify(list.map(([name, known, stale]) => [name, known?.alarm, known?.state?.withheld, stale]));
    if (text === shown) return;
    shown = text;
    replace(now, list.map(([name, known, stale]) => station(name, known, stale)));
    const alarms = JSON.stringify(list.map(([, known]) => known?.alarm));
    if (alarms !== pastShown) {
      pastShown = alarms;
      loadPast().catch(() => {});
    }
  });
}

function station(name, known, stale) {
  const alarms = Array.isArray(known?.alarm?.alarms) ? known.alarm.alarms : [];
  const rows = alarms.map((each) => h("li", {}, badge("fault", word("alarm", each.kind), "fault"),
    h("span", {}, ` ${each.cause} · ${time(each.since)}`)));
  if (known?.alarm?.line_stop) rows.unshift(h("li", {}, badge("stop", t("alarms.line_stop"), "fault")));
  if (stale) rows.unshift(h("li", {}, badge("gone", t("alarms.silent"), "silent")));
  if (known?.state?.withheld) rows.push(h("li", {}, t("live.withheld", { words: known.state.withheld })));
  return h("div", { class: stale ? "stale" : "" }, h("h3", {}, name),
    rows.length ? h("ul", { class: "alarms" }, rows) : h("p", { class: "quiet" }, t("alarms.none")));
}
