// Every page begins here: who is there, in which language, the menu, then the page's own module.
//
// A module in pages/ has `title` (a message's key) and `show(main, context)`; context holds
// session, stream (what is known of the stations) and `alive(listener)`: called at every change
// and at least four times a second.

import { ask, loadSession } from "/static/api.js";
import { h, replace, setText } from "/static/dom.js";
import { Stream } from "/static/stream.js";
import { chosen, choose, LANGUAGES, loadTexts, t } from "/static/text.js";

const APART = { "/login": "login", "/welcome": "welcome" };
const TURN_MS = 250;
const USED_MS = 60_000;

async function start() {
  const session = await loadSession();
  await loadTexts(session.language);
  const apart = APART[location.pathname];
  if (apart === undefined && session.name === null) { location.assign("/login"); return; }
  const name = apart ?? session.pages[location.pathname];
  const page = await import(`/static/pages/${name}.js`);
  document.title = `${t(page.title)} · inspector`;
  const main = h("main", { id: "main", tabindex: "-1", class: `page-${name}` });
  const context = { session };
  if (apart === undefined) {
    context.stream = new Stream(session.stale_after_s);
    const listeners = [];
    context.alive = (listener) => listeners.push(listener);
    const turn = () => { if (!document.hidden) for (const each of listeners) each(); };
    const banner = makeBanner(context.stream);
    listeners.push(banner.turn);
    replace(document.body,
      h("a", { href: "#main", class: "skip" }, t("page.skip")),
      makeHeader(session), banner.element, main);
    context.stream.onChange(turn);
    context.stream.start();
    setInterval(turn, TURN_MS);
    document.addEventListener("visibilitychange", turn);
    tellOfUse();
  } else {
    replace(document.body, h("header", { class: "top" }, brand(), h("div", { class: "grow" }), languages()), main);
  }
  await page.show(main, context);
  document.body.dataset.ready = "true";
}

function brand() { return h("span", { class: "brand" }, "inspector"); }

function makeHeader(session) {
  const links = Object.entries(session.pages).map(([path, name]) =>
    h("a", { href: path, "aria-current": path === location.pathname ? "page" : null }, t(`page.${name}`)));
  const leave = async () => {
    await ask("DELETE", "/api/session");
    location.assign("/login");
  };
  return h("header", { class: "top" }, brand(),
    h("nav", { "aria-label": t("page.menu") }, links),
    h("div", { class: "grow" }),
    h("span", { class: "who", title: session.name }, `${session.name} · ${t(`role.${session.role}`)}`),
    languages(),
    h("button", { type: "button", onclick: leave }, t("page.log_out")));
}

function languages() {
  const other = Object.keys(LANGUAGES).find((each) => each !== chosen());
  return h("button", { type: "button", lang: other, onclick: () => choose(other) }, LANGUAGES[other]);
}

// The pages' own server is not heard: nothing that is shown can be believed.
function makeBanner(stream) {
  const element = h("div", { class: "banner", role: "alert", hidden: true });
  const turn = () => {
    const lost = stream.serverAge() > stream.staleAfterS;
    document.body.classList.toggle("lost", lost);
    element.hidden = !lost;
    setText(element, lost ? t("page.lost", { seconds: Math.floor(stream.serverAge()) }) : "");
  };
  return { element, turn };
}

// A person is here: the session must not end under their hands.
function tellOfUse() {
  let toldAt = 0;
  const used = () => {
    if (performance.now() - toldAt < USED_MS && toldAt !== 0) return;
    toldAt = performance.now();
    ask("POST", "/api/session/used").catch(() => {});
  };
  for (const event of ["pointerdown", "keydown"]) window.addEventListener(event, used, { passive: true });
}

start().catch((error) => {
  replace(document.body, h("main", { role: "alert" }, h("h1", {}, "inspector"), h("p", {}, String(error.message))));
});
