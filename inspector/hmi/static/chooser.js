// Which station a page is about: remembered while the browser is open, chosen where there are many.

import { h } from "/static/dom.js";
import { t } from "/static/text.js";

const KEPT = "inspector.station";

// choose(name) is called by start(), which gives its promise, and at every change.
export function chooser(session, choose) {
  const names = Object.keys(session.stations);
  const wanted = new URLSearchParams(location.search).get("station") ?? sessionStorage.getItem(KEPT);
  const first = names.includes(wanted) ? wanted : names[0];
  const take = (name) => {
    sessionStorage.setItem(KEPT, name);
    return choose(name);
  };
  const element = names.length < 2 ? h("span", { class: "quiet" }, first) : h("div", { class: "chooser" },
    h("label", { for: "station" }, t("history.station")),
    h("select", { id: "station", onchange: (event) => take(event.target.value) },
      names.map((each) => h("option", { value: each, selected: each === first }, each))));
  return { element, start: () => take(first) };
}
