// Every text of the pages, in the language chosen: static/messages/LANGUAGE.json.

export const LANGUAGES = { en: "English", de: "Deutsch" };
const LOCALES = { en: "en-GB", de: "de-DE" }; // days before months, 24 hours: a plant's
const KEPT = "inspector.language";

let messages = {};
let language = "en";

export async function loadTexts(preferred) {
  let kept = null;
  try { kept = localStorage.getItem(KEPT); } catch { /* a browser that keeps nothing */ }
  language = kept in LANGUAGES ? kept : preferred in LANGUAGES ? preferred : "en";
  const answer = await fetch(`/static/messages/${language}.json`);
  messages = await answer.json();
  document.documentElement.lang = language;
}

export function chosen() { return language; }

export function choose(next) {
  try { localStorage.setItem(KEPT, next); } catch { /* until the page is left */ }
  location.reload();
}

// t("history.found", {count: 3}): {count} in the message is replaced, once, by text.
export function t(key, words = {}) {
  const message = messages[key];
  if (message === undefined) return key;
  return message.replace(/\{(\w+)\}/g, (all, name) => (name in words ? String(words[name]) : all));
}

// Of a word that comes from outside: what it means where we know it, else the word itself.
export function word(kind, value) {
  if (value === null || value === undefined || value === "") return "–";
  const key = `${kind}.${value}`;
  return Object.hasOwn(messages, key) ? messages[key] : String(value);
}

export function number(value, digits = 0) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return value.toLocaleString(LOCALES[language], { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(part, whole) {
  return whole > 0 ? `${number((100 * part) / whole, 1)} %` : "–";
}

// This browser's time zone, to the second.
export function time(text) {
  const at = new Date(typeof text === "number" ? 1000 * text : text);
  if (text === null || text === undefined || Number.isNaN(at.getTime())) return "–";
  return at.toLocaleString(LOCALES[language], { dateStyle: "short", timeStyle: "medium" });
}

export function size(bytes) {
  if (typeof bytes !== "number") return "–";
  const [unit, name] = bytes > 1e9 ? [1e9, "GB"] : bytes > 1e6 ? [1e6, "MB"] : [1e3, "kB"];
  return `${number(bytes / unit, 1)} ${name}`;
}
