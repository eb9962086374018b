// Audit: who did what, and whether a row was changed since.

import { ask } from "/static/api.js";
import { h, replace, setText, table } from "/static/dom.js";
import { badge } from "/static/shapes.js";
import { number, t, time, word } from "/static/text.js";

export const title = "page.audit";

const OWN = ["seq", "at", "who", "what", "where", "old", "new", "why", "outcome", "address"];
const STATION = ["seq", "at", "who", "what", "event", "outcome", "why", "id"];

export async function show(main, { session }) {
  const names = Object.keys(session.stations);
  const verdict = h("p", { role: "status" });
  const head = h("p", { class: "mono" });
  const list = h("div", {});
  const source = h("select", { id: "source", onchange: () => load() },
    h("option", { value: "" }, t("audit.pages")),
    names.map((name) => h("option", { value: name }, t("audit.station", { station: name }))));
  main.append(h("h1", {}, t("page.audit")),
    h("div", { class: "card filters" }, h("div", {}, h("label", { for: "source" }, t("audit.source")), source)),
    verdict, head, list);

  async function load() {
    const name = source.value;
    try {
      const found = await ask("GET", name ? `/api/stations/${encodeURIComponent(name)}/audit` : "/api/audit");
      replace(verdict, found.tampered
        ? badge("fault", t("audit.tampered", { words: found.tampered }), "fault")
        : badge("check", t("audit.whole", { count: number(found.count) }), ""));
      setText(head, found.head ? t("audit.head", { head: found.head }) : "");
      const heads = (name ? STATION : OWN).map((each) => t(`audit.${each}`));
      replace(list, found.rows.length ? table(t("page.audit"), heads, found.rows.map(name ? stationRow : ownRow))
        : h("p", { class: "quiet" }, t("audit.none")));
    } catch (error) {
      replace(list);
      replace(verdict, `${word("error", error.message)} ${error.body?.detail ?? ""}`);
    }
  }
  await load();
}

function ownRow(row) {
  return [String(row.seq), time(row.at), row.who, row.what, row.station, row.old, row.new, row.why, row.outcome, row.address];
}

function stationRow(row) {
  return [String(row.seq), time(row.at), row.sender, row.action, row.event, row.outcome, row.reason, row.id];
}
