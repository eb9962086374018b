// Accounts: an administrator adds them and hands out links; nobody sees another's password.

import { ask } from "/static/api.js";
import { h, replace, setText, table } from "/static/dom.js";
import { t, time, word } from "/static/text.js";

export const title = "page.accounts";

const ROLES = ["viewer", "operator", "engineer", "admin"];

export async function show(main) {
  const said = h("p", { class: "said", role: "alert" });
  const link = h("div", { role: "status" });
  const list = h("div", {});
  const dialog = h("dialog", { "aria-labelledby": "sure" });
  const name = h("input", { id: "new-name", required: true, maxlength: 32, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const role = roles("new-role", "operator");

  async function act(action) {
    setText(said, "");
    try {
      await action();
    } catch (error) {
      setText(said, word("error", error.message));
    }
    await load();
  }

  function showLink(owner, path) {
    replace(link, h("div", { class: "link-box" }, h("p", {}, t("accounts.link_for", { name: owner })),
      h("p", { class: "mono" }, location.origin + path)));
  }

  function sure(words, action) {
    replace(dialog, h("form", { onsubmit: (event) => { event.preventDefault(); dialog.close(); act(action); } },
      h("h2", { id: "sure" }, words),
      h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => dialog.close() }, t("confirm.cancel")),
        h("button", { class: "primary" }, t("accounts.change")))));
    if (words === dialog.dataset.remove) setText(dialog.querySelector(".primary"), t("accounts.remove"));
    dialog.showModal();
  }

  async function load() {
    const found = await ask("GET", "/api/accounts");
    replace(list, table(t("accounts.title"), ["name", "role", "state", "what"].map((each) => t(`accounts.${each}`)),
      found.accounts.map((each) => [each.name, roleOf(each), state(each), buttons(each)])));
  }

  function roleOf(each) {
    const select = roles(null, each.role, t("accounts.role_of", { name: each.name }));
    select.addEventListener("change", () => {
      const next = select.value;
      select.value = each.role;
      sure(t("accounts.change_sure", { name: each.name, role: t(`role.${next}`) }), () => ask("PATCH", path(each.name), { role: next }));
    });
    return select;
  }

  function state(each) {
    if (!each.ready) return t("accounts.no_password");
    return `${t("accounts.logged_in")}: ${each.logged_in_at ? time(each.logged_in_at) : t("accounts.never")}`;
  }

  function buttons(each) {
    const remove = () => {
      dialog.dataset.remove = t("accounts.remove_sure", { name: each.name });
      sure(dialog.dataset.remove, () => ask("DELETE", path(each.name)));
    };
    return h("div", { class: "buttons" },
      h("button", { type: "button", "aria-label": `${t("accounts.new_link")}: ${each.name}`, onclick: () => act(async () => showLink(each.name, (await ask("POST", `${path(each.name)}/link`)).link)) }, t("accounts.new_link")),
      h("button", { type: "button", class: "grave", "aria-label": `${t("accounts.remove")}: ${each.name}`, onclick: remove }, t("accounts.remove")));
  }

  const add = (event) => {
    event.preventDefault();
    const owner = name.value.trim();
    act(async () => {
      showLink(owner, (await ask("POST", "/api/accounts", { name: owner, role: role.value })).link);
      name.value = "";
    });
  };
  main.append(h("h1", {}, t("accounts.title")),
    h("form", { class: "card filters", onsubmit: add },
      h("div", {}, h("label", { for: "new-name" }, t("accounts.name")), name),
      h("div", {}, h("label", { for: "new-role" }, t("accounts.role")), role),
      h("div", { class: "buttons" }, h("button", { class: "primary" }, t("accounts.add")))),
    said, link, list, dialog);
  await load();
}

function roles(id, chosen, label = null) {
  return h("select", { id, "aria-label": label }, ROLES.map((role) =>
    h("option", { value: role, selected: role === chosen }, t(`role.${role}`))));
}

function path(name) { return `/api/accounts/${encodeURIComponent(name)}`; }
