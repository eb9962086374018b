import { ask } from "/static/api.js";
import { h, setText } from "/static/dom.js";
import { t, word } from "/static/text.js";

export const title = "login.title";

export function show(main) {
  const said = h("p", { class: "said", role: "alert" });
  const name = h("input", { id: "name", autocomplete: "username", required: true, maxlength: 32, autocapitalize: "none", spellcheck: "false" });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password", required: true, maxlength: 200 });
  const button = h("button", { class: "primary" }, t("login.enter"));
  const enter = async (event) => {
    event.preventDefault();
    button.disabled = true;
    setText(said, "");
    try {
      await ask("POST", "/api/session", { name: name.value.trim(), password: password.value });
      location.assign("/");
    } catch (error) {
      setText(said, error.message === "wait"
        ? t("login.wait", { seconds: error.body.wait_s }) : word("error", error.message));
      password.value = "";
      password.focus();
    }
    button.disabled = false;
  };
  main.append(h("form", { class: "card narrow", onsubmit: enter },
    h("h1", {}, t("login.title")),
    h("label", { for: "name" }, t("login.name")), name,
    h("label", { for: "password" }, t("login.password")), password,
    button, said, h("p", { class: "quiet" }, t("login.help"))));
  name.focus();
}
