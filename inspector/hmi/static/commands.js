// What a person may ask of a station; what is dangerous is asked in two steps.

import { ask } from "/static/api.js";
import { h, replace, setText } from "/static/dom.js";
import { t, word } from "/static/text.js";

// Where a station takes none of these it says so; this only keeps the wrong ones out of reach.
const SENSIBLE = {
  PREOPERATIONAL: ["select", "halt"],
  INITIALIZED: ["select", "start", "reset", "halt"],
  READY: ["start", "single", "reset", "halt"],
  SINGLE_EXECUTION: ["stop", "halt"],
  CONTINUOUS_EXECUTION: ["stop", "halt"],
  ERROR: ["reset", "halt"],
  HALTED: ["reset"],
  OFFLINE: [],
};

export class Commands {
  constructor(station, session) {
    this.station = station;
    this.session = session;
    this.buttons = new Map(session.commands.map((action) => [action,
      h("button", { type: "button", class: session.dangerous.includes(action) ? "grave" : "", onclick: () => this.press(action) },
        t(`command.${action}`))]));
    this.said = h("p", { class: "said", role: "status" });
    this.dialog = h("dialog", { "aria-labelledby": "confirm-title" });
    this.element = h("section", { class: "commands", "aria-label": t("live.commands") },
      h("div", { class: "buttons" }, [...this.buttons.values()]),
      this.said, this.dialog);
    this.busy = false;
  }

  show(state) {
    const sensible = Object.hasOwn(SENSIBLE, state ?? "") ? SENSIBLE[state] : [...this.buttons.keys()];
    for (const [action, button] of this.buttons) button.disabled = this.busy || !sensible.includes(action);
    this.state = state;
  }

  press(action) {
    if (this.session.dangerous.includes(action)) this.confirm(action);
    else this.send(action, "");
  }

  confirm(action) {
    const needsWhy = action !== "stop";
    const why = h("input", { id: "why", maxlength: 300, required: needsWhy, autocomplete: "off" });
    const words = { action: t(`command.${action}`), station: this.station };
    const go = (event) => {
      event.preventDefault();
      this.dialog.close();
      this.send(action, why.value.trim());
    };
    replace(this.dialog, h("form", { onsubmit: go },
      h("h2", { id: "confirm-title" }, t("confirm.title", words)),
      h("p", {}, t(`confirm.${action}`)),
      h("label", { for: "why" }, t(needsWhy ? "confirm.why" : "confirm.why_maybe")), why,
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => this.dialog.close() }, t("confirm.cancel")),
        h("button", { class: "primary grave" }, t("confirm.go", words)))));
    this.dialog.showModal();
    why.focus();
  }

  async send(action, why) {
    this.busy = true;
    this.show(this.state);
    setText(this.said, t("command.sent", { action: t(`command.${action}`) }));
    try {
      const path = `/api/stations/${encodeURIComponent(this.station)}/commands`;
      const reply = await ask("POST", path, { action, why, confirmed: true });
      setText(this.said, `${word("outcome", reply.outcome)}: ${reply.reason}`);
    } catch (error) {
      setText(this.said, `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim());
    }
    this.busy = false;
    this.show(this.state);
  }
}
