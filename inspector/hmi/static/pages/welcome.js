// A one-time link: its token stands behind #, so that no log and no server on the way has it.

import { ask } from "/static/api.js";
import { h, setText } from "/static/dom.js";
import { t, word } from "/static/text.js";

export const title = "welcome.title";

export async function show(main) {
  const token = location.hash.slice(1);
  const said = h("p", { class: "said", role: "alert" });
  let invited;
  try {
    invited = await ask("POST", "/api/invitation", { token });
  } catch (error) {
    setText(said, word("error", error.message));
    main.append(h("div", { class: "card narrow" }, h("h1", {}, t("welcome.title")), said,
      h("a", { href: "/login", class: "button" }, t("welcome.to_login"))));
    return;
  }
  const name = h("input", { id: "name", autocomplete: "username", required: true, maxlength: 32, autocapitalize: "none", spellcheck: "false", value: invited.name ?? "", readonly: invited.name !== null });
  const input = (id) => h("input", { id, type: "password", autocomplete: "new-password", required: true, minlength: 10, maxlength: 200, "aria-describedby": "rule" });
  const first = input("password");
  const second = input("again");
  const button = h("button", { class: "primary" }, t("welcome.set"));
  const set = async (event) => {
    event.preventDefault();
    if (first.value !== second.value) { setText(said, t("welcome.differ")); return; }
    button.disabled = true;
    try {
      await ask("POST", "/api/invitation/accept", { token, name: name.value.trim(), password: first.value });
      location.assign("/");
    } catch (error) {
      setText(said, word("error", error.message));
    }
    button.disabled = false;
  };
  main.append(h("form", { class: "card narrow", onsubmit: set },
    h("h1", {}, t("welcome.title")),
    h("p", {}, t("welcome.for", { role: t(`role.${invited.role}`) })),
    h("label", { for: "name" }, t("login.name")), name,
    h("label", { for: "password" }, t("login.password")), first,
    h("label", { for: "again" }, t("welcome.again")), second,
    h("p", { id: "rule", class: "quiet" }, t("welcome.rule")),
    button, said));
  (invited.name === null ? name : first).focus();
}
