// History: what the journal holds, searched from the newest part back.

import { ask, query } from "/static/api.js";
import { h, pairs, replace, setText, table } from "/static/dom.js";
import { picture } from "/static/picture.js";
import { verdictBadge } from "/static/shapes.js";
import { number, t, time, word } from "/static/text.js";

export const title = "page.history";

const EVALUATIONS = ["OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"];
const CAUSES = ["defect", "review", "novelty", "score", "model", "unsuitable", "attestation", "frozen", "stale",
  "unreadable", "no_frame", "camera", "trigger", "late", "journal", "line", "withdrawn"];
const PAGE_ROWS = 50;

export async function show(main, { session }) {
  const names = Object.keys(session.stations);
  const asked = new URLSearchParams(location.search);
  let station = names.includes(asked.get("station")) ? asked.get("station") : names[0];
  const fields = makeFields();
  const said = h("p", { class: "said", role: "status" });
  const list = h("div", {});
  const dialog = h("dialog", { class: "wide", "aria-labelledby": "detail-title" });
  const newest = h("button", { type: "button", onclick: () => search(null) }, t("history.newest"));
  const older = h("button", { type: "button", disabled: true }, t("history.older"));
  const chooser = names.length < 2 ? null : h("div", {}, h("label", { for: "station" }, t("history.station")),
    h("select", { id: "station", onchange: (event) => { station = event.target.value; search(null); } },
      names.map((each) => h("option", { value: each, selected: each === station }, each))));
  const base = () => `/api/stations/${encodeURIComponent(station)}`;

  async function search(before) {
    setText(said, t("history.searching"));
    older.disabled = true;
    try {
      const wanted = { ...fields.values(), before, limit: PAGE_ROWS };
      const found = await ask("GET", `${base()}/results${query(wanted)}`);
      draw(found);
    } catch (error) {
      replace(list);
      setText(said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim());
    }
  }

  function draw(found) {
    const words = [found.rows.length ? t("history.found", { count: found.rows.length }) : t("history.nothing")];
    if (found.before !== null) words.push(t("history.reached", { time: time(found.reached) }));
    setText(said, words.join(" · "));
    older.disabled = found.before === null;
    older.onclick = () => search(found.before);
    const heads = ["evaluation", "id", "score", "cause", "reason", "stored", "seq"].map((each) => t(`part.${each}`));
    replace(list, table(t("history.results"), [...heads, t("history.open")], found.rows.map((row) => [
      verdictBadge(row.evaluation), row.part ?? "–", number(row.score, 3), word("cause", row.cause), row.reason,
      time(row.stored_at), String(row.seq),
      h("button", { type: "button", "aria-label": `${t("history.open")} ${row.part ?? row.seq}`, onclick: () => open(row.seq) }, t("history.open")),
    ])));
  }

  async function open(seq) {
    try {
      const found = await ask("GET", `${base()}/results/${seq}`);
      replace(dialog, detail(station, found, () => dialog.close()));
      dialog.showModal();
    } catch (error) {
      setText(said, word("error", error.message));
    }
  }

  const form = h("form", { class: "card filters", onsubmit: (event) => { event.preventDefault(); search(null); } },
    chooser, fields.elements,
    h("div", { class: "buttons" },
      h("button", { class: "primary" }, t("history.search")),
      h("button", { type: "button", onclick: () => { form.reset(); search(null); } }, t("history.clear"))));
  const save = h("button", { type: "button", onclick: () => location.assign(`${base()}/export${query(fields.values())}`) }, t("history.export"));
  main.append(h("h1", {}, t("page.history")), form,
    h("div", { class: "bar" }, newest, older, save, h("div", { class: "grow" }), said), list, dialog);
  await search(null);
  if (asked.has("seq")) await open(Number(asked.get("seq")));
}

function makeFields() {
  const field = (id, attributes) => h("input", { id, autocomplete: "off", ...attributes });
  const choice = (id, kind, values) => h("select", { id }, h("option", { value: "" }, t("history.any")),
    values.map((value) => h("option", { value }, word(kind, value))));
  const score = { type: "number", min: 0, max: 1, step: 0.001 };
  const inputs = {
    part: field("part", { type: "search", maxlength: 256 }),
    evaluation: choice("evaluation", "evaluation", EVALUATIONS),
    cause: choice("cause", "cause", CAUSES),
    since: field("since", { type: "datetime-local" }),
    until: field("until", { type: "datetime-local" }),
    score_from: field("score_from", score),
    score_to: field("score_to", score),
  };
  const seconds = (text) => (text ? new Date(text).getTime() / 1000 : "");
  return {
    elements: Object.entries(inputs).map(([name, input]) =>
      h("div", {}, h("label", { for: name }, t(`history.${name}`)), input)),
    values: () => {
      const found = Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, input.value.trim()]));
      return { ...found, since: seconds(found.since), until: seconds(found.until) };
    },
  };
}

function detail(station, { result, stored_at: storedAt }, close) {
  const part = result.part?.id ?? t("part.unnamed", { seq: result.seq });
  const limits = result.limits ?? {};
  const mono = (text) => h("span", { class: "mono" }, text ?? "–");
  const rows = (object, digits, unit = "") => Object.entries(object ?? {}).map(([name, value]) =>
    [name, typeof value === "number" ? number(value, digits) + unit : String(value)]);
  const regions = Array.isArray(result.regions) ? result.regions : [];
  return h("div", {},
    h("div", { class: "headline" }, h("h2", { id: "detail-title" }, t("history.detail", { part })),
      h("button", { type: "button", autofocus: true, onclick: close }, t("history.close"))),
    h("div", { class: "split" },
      h("section", {}, h("div", { class: "verdict" }, verdictBadge(result.evaluation)), picture(station, result)),
      h("section", {}, pairs([
        [t("part.reason"), result.cause ? `${word("cause", result.cause)}: ${result.reason}` : result.reason],
        [t("part.label"), result.label], [t("part.score"), number(result.score, 4)],
        [t("part.novelty"), number(result.novelty, 3)],
        [t("part.limits"), t("part.limits_words", { review: number(limits.review_at, 3), reject: number(limits.reject_at, 3), source: limits.source ?? "–" })],
        [t("part.deadline"), t("part.ms", { ms: number(result.deadline_ms) }) + (result.late ? ` · ${t("part.late")}` : "")],
        [t("part.time"), time(result.captured_at)], [t("part.stored"), time(storedAt)],
        [t("part.trigger"), result.trigger?.id],
      ]), result.simulated ? h("p", { class: "quiet" }, t("part.simulated")) : null)),
    h("div", { class: "split" },
      h("section", {}, h("h3", {}, t("part.times")), table(t("part.times"), [t("part.stage"), "ms"], rows(result.times_ms, 2))),
      h("section", {}, h("h3", {}, t("part.attestation")),
        table(t("part.attestation"), [t("part.figure"), t("part.value")], rows(result.attestation, 4)))),
    h("section", {}, h("h3", {}, t("part.regions")), table(t("part.regions"),
      [t("part.region"), t("part.evaluation"), t("part.score"), t("part.label"), t("part.reason"), "x, y, w, h"],
      regions.map((each) => [each.name, verdictBadge(each.evaluation), number(each.score, 4), each.label, each.reason,
        [each.x, each.y, each.width, each.height].join(", ")]))),
    h("section", {}, h("h3", {}, t("part.identity")), pairs([
      [t("part.seq"), String(result.seq)], [t("part.result_id"), mono(result.result_id)], [t("part.bundle"), mono(result.bundle)],
      [t("part.recipe"), result.recipe], [t("part.boot"), mono(result.boot)]])));
}
