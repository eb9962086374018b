// One stream for all tabs of a browser: HTTP/1.1 allows six connections to a host, and eight tabs
// with a stream each would leave none for what a person asks.

import { gather } from "/static/gather.js";

const ALIVE_MS = 5_000;
const AGAIN_MS = 500;

const tabs = new Map();
const all = {};
let source = null;

self.onconnect = (event) => {
  const port = event.ports[0];
  tabs.set(port, performance.now());
  port.onmessage = (message) => {
    if (message.data === "leave") tabs.delete(port);
    else tabs.set(port, performance.now());
    if (tabs.size > 0) open();
  };
  // what is known already; it has no age until the stream says one
  port.postMessage({ stations: all, ages: null });
  open();
};

function open() {
  if (source !== null) return;
  source = new EventSource("/api/stream");
  source.onmessage = (event) => {
    const news = JSON.parse(event.data);
    gather(all, news);
    const changed = Object.fromEntries(Object.keys(news.stations).map((name) => [name, all[name]]));
    tell({ stations: changed, ages: news.ages });
  };
  source.addEventListener("ended", () => { close(); tell({ ended: true }); });
  source.onerror = () => { close(); setTimeout(() => { if (tabs.size > 0) open(); }, AGAIN_MS); };
}

function close() {
  if (source !== null) source.close();
  source = null;
}

function tell(message) {
  for (const port of tabs.keys()) port.postMessage(message);
}

// a tab that was closed does not always say so
setInterval(() => {
  const now = performance.now();
  for (const [port, at] of tabs) if (now - at > 12 * ALIVE_MS) tabs.delete(port);
  if (tabs.size === 0) close();
}, ALIVE_MS);
