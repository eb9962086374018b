// What the page knows of every station, and how old it is.
//
// An age grows here between two messages, by this page's own clock: whether the station falls
// silent, the pages' server is gone or the network is cut, after `stale_after_s` the page says so.

import { gather } from "/static/gather.js";

const AGAIN_MS = 500;
const ALIVE_MS = 2_000;

export class Stream {
  constructor(staleAfterS) {
    this.stations = {};
    this.staleAfterS = staleAfterS;
    this.listeners = new Set();
    this.ages = {};
    this.heardAt = null;
    this.startedAt = performance.now();
  }

  start() {
    if ("SharedWorker" in window) this.share();
    else this.own();
  }

  onChange(listener) { this.listeners.add(listener); }

  // Seconds since the station's last heartbeat; null where none was heard.
  ageOf(name) {
    const age = this.ages[name];
    if (this.heardAt === null || age === null || age === undefined) return null;
    return age + (performance.now() - this.heardAt) / 1000;
  }

  isStale(name) {
    const age = this.ageOf(name);
    return age === null || age > this.staleAfterS;
  }

  // Seconds since the pages' server last said anything.
  serverAge() {
    return (performance.now() - (this.heardAt ?? this.startedAt)) / 1000;
  }

  take(message) {
    if (message.ended) { location.assign("/login"); return; }
    if (message.ages !== null) {
      this.ages = message.ages;
      this.heardAt = performance.now();
    }
    Object.assign(this.stations, message.stations);
    for (const listener of this.listeners) listener();
  }

  share() {
    const worker = new SharedWorker("/static/stream-worker.js", { type: "module", name: "stream" });
    worker.port.onmessage = (event) => this.take(event.data);
    worker.port.start();
    setInterval(() => worker.port.postMessage("here"), ALIVE_MS);
    window.addEventListener("pagehide", () => worker.port.postMessage("leave"));
    window.addEventListener("pageshow", () => worker.port.postMessage("here"));
  }

  // A browser without shared workers: a stream of our own, let go while nobody sees the tab.
  own() {
    let source = null;
    const close = () => { if (source !== null) source.close(); source = null; };
    const open = () => {
      if (source !== null || document.hidden) return;
      source = new EventSource("/api/stream");
      source.onmessage = (event) => {
        const news = JSON.parse(event.data);
        gather(this.stations, news);
        this.take({ stations: {}, ages: news.ages });
      };
      source.addEventListener("ended", () => { close(); this.take({ ended: true }); });
      source.onerror = () => { close(); setTimeout(open, AGAIN_MS); };
    };
    document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
    open();
  }
}
