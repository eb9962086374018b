// System: versions, stations, journals, consumers.

import { ask } from "/static/api.js";
import { h, pairs, replace, table } from "/static/dom.js";
import { number, size, t, time, word } from "/static/text.js";

export const title = "page.system";

const AGAIN_MS = 5_000;

export async function show(main) {
  const all = h("div", {});
  main.append(h("h1", {}, t("page.system")), all);
  const load = async () => {
    const found = await ask("GET", "/api/system");
    replace(all,
      h("section", { class: "card" }, h("h2", {}, t("system.pages")), pairs([
        [t("system.version"), found.version], [t("system.started"), time(found.started_at)],
        [t("system.streams"), number(found.streams)], [t("system.accounts"), number(found.accounts)]])),
      found.stations.map(station));
  };
  await load();
  setInterval(() => { if (!document.hidden) load().catch(() => {}); }, AGAIN_MS);
}

function station(each) {
  const said = each.state ?? {};
  const journal = each.journal;
  const consumers = Array.isArray(said.consumers) ? said.consumers : [];
  const yes = (value) => t(value ? "system.yes" : "system.no");
  return h("section", { class: "card" }, h("h2", {}, each.name),
    h("div", { class: "split" },
      pairs([
        [t("system.state"), word("state", said.state)], [t("system.since"), time(said.since)],
        [t("system.recipe"), said.recipe], [t("system.bundle"), h("span", { class: "mono" }, said.bundle ?? "–")],
        [t("system.boot"), h("span", { class: "mono" }, said.boot ?? "–")],
        ...(said.bundles?.refused ? [[t("system.bundles_refused"), said.bundles.refused]] : []),
      ]),
      pairs([
        [t("system.broker"), each.broker], [t("system.topic"), `${each.topic_root}/${each.name}/#`],
        [t("system.commands"), yes(each.commands)], [t("system.unreadable"), number(each.unreadable)],
        ...journalPairs(journal),
        [t("system.images_dropped"), number(said.tally?.images_dropped)],
      ])),
    h("h3", {}, t("system.consumers")),
    consumers.length ? table(t("system.consumers"),
      ["consumer", "acknowledged", "lag", "waits", "lost"].map((key) => t(`system.${key}`)),
      consumers.map((one) => [one.name, number(one.acknowledged), number(one.lag),
        t("system.seconds", { seconds: number(one.oldest_unacknowledged_s) }), number(one.lost)]))
      : h("p", { class: "quiet" }, t("system.no_consumers")));
}

function journalPairs(journal) {
  if (!journal) return [[t("system.journal"), t("system.no_journal")]];
  if (journal.trouble) return [[t("system.journal"), journal.trouble]];
  return [
    [t("system.journal"), t("system.journal_words", { rows: number(journal.rows), first: number(journal.first), last: number(journal.last), bytes: size(journal.bytes) })],
    [t("system.delivered"), number(journal.acknowledged)], [t("system.disk"), size(journal.disk_free_bytes)],
  ];
}
