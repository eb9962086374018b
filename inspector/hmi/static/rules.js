// A recipe's regions as the pages know them: compared, told in words, as rectangles where they are some.

import { number, t } from "/static/text.js";

export function same(one, other) { return stable(one) === stable(other); }

function stable(value) {
  return JSON.stringify(value ?? null, (_, each) => (each && typeof each === "object" && !Array.isArray(each)
    ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1))) : each));
}

// Regions that can be drawn, one by one; null for any other rule.
export function boxesOf(rule) {
  if (rule?.kind === "rectangles") return rule.regions;
  if (rule?.kind === "rectangle") return [{ name: "rectangle", x: rule.x, y: rule.y, width: rule.width, height: rule.height }];
  if (rule?.kind === "tiles" && rule.within) return [{ name: "tiles", ...pick(rule.within) }];
  return null;
}

function pick({ x, y, width, height }) { return { x, y, width, height }; }

// Of a rule the page does not draw: the regions of the newest part, where that is what they were cut by.
export function shownOf(found, rule) {
  if (!same(rule, found.holds.regions)) return [];
  const newest = [...found.pictures].sort((one, other) => other.seq - one.seq)[0];
  const regions = newest?.regions;
  return Array.isArray(regions) ? regions.slice(0, 256).map((each) => ({ name: String(each.name), ...pick(each) })) : [];
}

export function boxWords(box) { return t("recipe.box", box); }

export function regionWords(rule) {
  if (rule === null || rule === undefined) return t("recipe.as_trained");
  if (rule.kind === "whole") return t("recipe.kind_frame");
  if (rule.kind === "rectangle") return boxWords(rule);
  if (rule.kind === "rectangles") return rule.regions.map((each) => `${each.name} ${boxWords(each)}`).join("; ");
  const within = rule.within ? ` · ${boxWords(rule.within)}` : "";
  if (rule.kind === "grid") return t("recipe.grid", { rows: rule.rows, columns: rule.columns, overlap: rule.overlap }) + within;
  return t("recipe.tiles", { width: rule.width, height: rule.height, overlap: number(100 * rule.overlap) }) + within;
}
