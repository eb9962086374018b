// Keys that act by themselves: whoever speaks to the machine, or leans on the keyboard, turns them off.

import { h } from "/static/dom.js";
import { t } from "/static/text.js";

const KEPT = "inspector.keys";

function wanted() {
  try { return localStorage.getItem(KEPT) !== "off"; } catch { return true; }
}

export class Keys {
  // press: called with the key in lower case; says whether it was one.
  constructor(press) {
    this.on = wanted();
    this.button = h("button", { type: "button", "aria-pressed": String(this.on), onclick: () => this.toggle() }, t("page.keys"));
    window.addEventListener("keydown", (event) => {
      if (!this.on || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.target.closest("input, select, textarea, dialog") || document.querySelector("dialog[open]")) return;
      if (press(event.key.toLowerCase())) event.preventDefault();
    });
  }

  toggle() {
    this.on = !this.on;
    try { localStorage.setItem(KEPT, this.on ? "on" : "off"); } catch { /* until the page is left */ }
    this.button.setAttribute("aria-pressed", String(this.on));
  }
}

// A button with the key that presses it.
export function keyed(key, words, action, more = "") {
  return h("button", { type: "button", class: `keyed ${more}`, "aria-keyshortcuts": key || null, onclick: action },
    h("kbd", { "aria-hidden": "true" }, key.toUpperCase()), h("span", {}, words));
}
