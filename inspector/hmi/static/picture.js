// The kept picture of a part with its regions drawn over it, and where its bundle saw a defect.

import { defectMap, mapButton, mapWords, noMap } from "/static/defect-map.js";
import { h, replace, svg } from "/static/dom.js";
import { number, t, word } from "/static/text.js";

const TRIES = 6;
const AGAIN_MS = 400;
const LATER_MS = 5_000;

// The archive writes a moment after the verdict has left: an absent picture is asked for again.
export function picture(station, result, { soon = false } = {}) {
  const figure = h("figure", { class: "picture" });
  if (!result.image) {
    figure.append(h("p", { class: "none" }, t("picture.not_kept")));
    return figure;
  }
  const part = result.part?.id ?? result.part ?? result.seq;
  const image = h("img", { alt: t("picture.of", { part }) });
  const at = `/api/stations/${encodeURIComponent(station)}/pictures/${encodeURIComponent(result.image)}`;
  const address = soon ? `${at}?soon=true` : at;
  let tries = 0;
  const none = (words, why) => replace(figure, h("p", { class: "none", "data-why": why }, t(words)));
  // one that is prefetched is not on the page yet, one of the live page is soon another's
  const wanted = () => figure.isConnected || (!soon && tries < TRIES);
  const again = (after) => setTimeout(() => { if (wanted()) image.src = `${address}${soon ? "&" : "?"}try=${tries}`; }, after);
  image.addEventListener("load", () => {
    replace(figure, h("div", { class: "frame" }, image, overlay(image, result.regions)));
    lay(figure, image, station, result.image).catch(() => {}); // the server is gone: the page says so
  });
  image.addEventListener("error", async () => {
    tries += 1;
    const absent = (!soon || tries >= TRIES) && await isAbsent(address);
    if (absent) none("picture.gone", "absent");
    else if (tries < TRIES) again(AGAIN_MS);
    else { none("picture.unreachable", "unreachable"); again(LATER_MS); }
  });
  image.src = address;
  return figure;
}

// An image does not say why it failed: only the server's word that there is none (204 where it may
// come soon) means that.
async function isAbsent(address) {
  try {
    return [204, 404].includes((await fetch(address, { credentials: "same-origin" })).status);
  } catch {
    return false;
  }
}

// The archive writes a map before its picture: where there is none now, none will come.
async function lay(figure, image, station, id) {
  const map = await defectMap(station, id);
  if (map === null) {
    figure.append(noMap());
    return;
  }
  image.after(map.canvas(image.naturalWidth, image.naturalHeight));
  figure.append(mapButton(), mapWords(map));
}

function overlay(image, regions) {
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const list = Array.isArray(regions) ? regions : [];
  const boxes = list.filter((each) => list.length > 1 || each.evaluation !== "OK").map((each) => {
    const inset = 0.004 * width;
    return svg("rect", {
      x: Number(each.x) + inset, y: Number(each.y) + inset,
      width: Math.max(0, Number(each.width) - 2 * inset), height: Math.max(0, Number(each.height) - 2 * inset),
      class: `region ${/^[A-Z_]+$/.test(each.evaluation) ? each.evaluation : ""}`,
    }, svg("title", {}, `${each.name}: ${word("evaluation", each.evaluation)} ${number(each.score, 3)}`));
  });
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "overlay", "aria-hidden": "true" }, boxes);
}
