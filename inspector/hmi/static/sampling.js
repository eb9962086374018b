// Which parts people are shown: seen by whoever reviews, changed by an engineer with a reason.

import { ask } from "/static/api.js";
import { h, pairs, replace, setText } from "/static/dom.js";
import { number, t, word } from "/static/text.js";

const RATES = ["novel", "doubtful", "disagreement", "near", "rejected", "passed"];

export class Sampling {
  // changed: called when other parts may be drawn from now on.
  constructor(stations, mayChange, changed) {
    this.stations = stations;
    this.mayChange = mayChange;
    this.changed = changed;
    this.element = h("dialog", { class: "wide", "aria-labelledby": "sampling-title" });
  }

  async open(station) {
    this.station = station;
    this.body = h("div", {});
    this.said = h("p", { class: "said", role: "status" });
    const chooser = this.stations.length < 2 ? null : h("div", {}, h("label", { for: "sampling-station" }, t("history.station")),
      h("select", { id: "sampling-station", onchange: (event) => { this.station = event.target.value; this.load(); } },
        this.stations.map((each) => h("option", { value: each, selected: each === station }, each))));
    replace(this.element,
      h("div", { class: "headline" }, h("h2", { id: "sampling-title" }, t("sampling.title")),
        h("button", { type: "button", autofocus: true, onclick: () => this.element.close() }, t("history.close"))),
      chooser, this.body, this.said);
    this.element.showModal();
    await this.load();
  }

  async load() {
    replace(this.body);
    try {
      const found = await ask("GET", this.path());
      this.was = found.policy;
      replace(this.body, this.mayChange ? this.form() : this.list());
    } catch (error) {
      this.refuse(error);
    }
  }

  path() { return `/api/stations/${encodeURIComponent(this.station)}/sampling`; }

  refuse(error) { setText(this.said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim()); }

  list() {
    const share = (value) => t("sampling.percent", { percent: number(100 * value, 1) });
    return pairs([
      ...RATES.map((name) => [t(`interest.${name}`), share(this.was.rates[name])]),
      [t("sampling.second_opinion"), share(this.was.second_opinion)],
      [t("sampling.band"), number(this.was.band, 3)],
      [t("sampling.look_back"), number(this.was.look_back)],
    ]);
  }

  form() {
    const inputs = {};
    const field = (name, label, value, attributes) => {
      inputs[name] = h("input", { id: `sampling-${name}`, type: "number", required: true, min: 0, step: "any", value: String(value), ...attributes });
      return h("div", {}, h("label", { for: `sampling-${name}` }, label), inputs[name]);
    };
    // 0.07 * 100 is 7.000000000000001
    const percent = (name, label, share) => field(name, `${label} (%)`, Number((100 * share).toFixed(6)), { max: 100 });
    const why = h("input", { id: "sampling-why", required: true, maxlength: 300, autocomplete: "off" });
    const save = async (event) => {
      event.preventDefault();
      const share = (name) => Number((Number(inputs[name].value) / 100).toFixed(8));
      const now = {
        rates: Object.fromEntries(RATES.map((name) => [name, share(name)])), second_opinion: share("second_opinion"),
        band: Number(inputs.band.value), look_back: Number(inputs.look_back.value),
      };
      try {
        await ask("POST", this.path(), { was: this.was, now, why: why.value.trim() });
        setText(this.said, t("sampling.saved"));
        this.changed();
      } catch (error) {
        this.refuse(error);
        if (error.message !== "changed_meanwhile") return;
      }
      await this.load();
    };
    return h("form", { onsubmit: save },
      h("div", { class: "fields" },
        RATES.map((name) => percent(name, t(`interest.${name}`), this.was.rates[name])),
        percent("second_opinion", t("sampling.second_opinion"), this.was.second_opinion),
        field("band", t("sampling.band"), this.was.band, { max: 1 }),
        field("look_back", t("sampling.look_back"), this.was.look_back, { min: 1, max: 1_000_000, step: 1 })),
      h("p", { class: "quiet" }, t("sampling.audit")),
      h("label", { for: "sampling-why" }, t("confirm.why")), why,
      h("div", { class: "buttons" }, h("button", { class: "primary" }, t("sampling.save"))));
  }
}
