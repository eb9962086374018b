// The second of two steps: what will be, in words, a reason, and a button that says it.

import { h, replace } from "/static/dom.js";
import { t, word } from "/static/text.js";

export class Confirm {
  constructor() {
    this.element = h("dialog", { class: "confirm", "aria-labelledby": "confirm-title" });
  }

  // sure: a text that must be agreed to first. go(why) is called once.
  ask({ title, body, sure = null, action, go }) {
    const why = h("input", { id: "why", maxlength: 300, required: true, autocomplete: "off" });
    const agreed = sure === null ? null : h("label", { class: "check" },
      h("input", { type: "checkbox", required: true, id: "sure" }), h("span", {}, sure));
    const send = (event) => {
      event.preventDefault();
      if (why.value.trim() === "") { why.value = ""; why.reportValidity(); return; }
      this.element.close();
      go(why.value.trim());
    };
    replace(this.element, h("form", { onsubmit: send },
      h("h2", { id: "confirm-title" }, title),
      h("div", { class: "told", tabindex: "0", role: "region", "aria-label": title }, body), agreed,
      h("label", { for: "why" }, t("confirm.why")), why,
      h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => this.element.close() }, t("confirm.cancel")),
        h("button", { class: "primary grave" }, action))));
    this.element.showModal();
    why.focus();
  }
}

// What became of a command, in words.
export function said(reply) { return `${word("outcome", reply.outcome)}: ${reply.reason}`; }

export function failed(error) { return `${word("error", error.message)} ${error.body?.detail ?? ""}`.trim(); }

// Old -> new, one line each; what stays is not in it.
export function changes(list) {
  return h("dl", { class: "changes" }, list.map(([name, old, now]) => h("div", {},
    h("dt", {}, name),
    h("dd", {}, h("span", { class: "old" }, h("span", { class: "unseen" }, `${t("audit.old")}: `), old),
      h("span", { class: "arrow", "aria-hidden": "true" }, "→"),
      h("span", { class: "new" }, h("span", { class: "unseen" }, `${t("audit.new")}: `), now)))));
}
