// Every station's figures, from its own messages alone. Kept in memory: a restart counts from 0.
const STATIONS_MAX = 1000;
const SEEN_MAX = 2000; // results come again after a lost connection
const EVALUATIONS = ["OK", "NOT_OK", "NOT_DECIDABLE", "UNDEFINED"];
const CAUSES_MAX = 50;
const TEXT_MAX = 300;
const keep = Number(env.get("KEEP_PARTS"));

const kept = flow.get("stations");
// a context kept in files gives back no Map after a restart
const stations = typeof kept?.has === "function" ? kept : new Map();
flow.set("stations", stations);
flow.set("since", flow.get("since") ?? Date.now());

const cut = msg.topic.lastIndexOf("/");
const key = msg.topic.slice(0, cut);
if (!stations.has(key)) {
  if (stations.size >= STATIONS_MAX) return null;
  stations.set(key, {
    station: key.slice(key.lastIndexOf("/") + 1),
    state: null, alarm: null, heardAt: null,
    counts: new Map(), causes: new Map(), parts: [],
    seen: new Set(), seq: null, boot: null,
    duplicates: 0, skipped: 0, unreadable: 0,
  });
}
const station = stations.get(key);
const more = (counts, name) => counts.set(name, (counts.get(name) ?? 0) + 1);
const text = (value) => (typeof value === "string" ? value.slice(0, TEXT_MAX) : null);

function causeOf(result) {
  const cause = text(result.cause) ?? "unnamed";
  return station.causes.has(cause) || station.causes.size < CAUSES_MAX ? cause : "other";
}

function takeResult(result) {
  if (typeof result.result_id !== "string" || typeof result.pass !== "boolean") throw new Error();
  if (!Number.isInteger(result.seq) || !EVALUATIONS.includes(result.evaluation)) throw new Error();
  if (result.pass !== (result.evaluation === "OK")) throw new Error(); // only OK passes
  if (station.seen.has(result.result_id)) {
    station.duplicates += 1;
    return;
  }
  station.seen.add(result.result_id);
  if (station.seen.size > SEEN_MAX) station.seen.delete(station.seen.values().next().value);
  // sent while nobody here listened: they are in the journal, and at `inspector subscribe`
  if (station.seq !== null && result.seq > station.seq + 1) {
    station.skipped += result.seq - station.seq - 1;
  }
  station.seq = result.seq;
  more(station.counts, result.evaluation);
  if (!result.pass) more(station.causes, causeOf(result));
  station.parts.unshift({
    seq: result.seq,
    part: text(result.part?.id),
    evaluation: result.evaluation,
    cause: text(result.cause),
    reason: text(result.reason),
    score: typeof result.score === "number" ? result.score : null,
    captured_at: text(result.captured_at),
  });
  station.parts.length = Math.min(station.parts.length, keep);
}

try {
  const message = JSON.parse(msg.payload);
  if (message === null || typeof message !== "object") throw new Error();
  switch (msg.topic.slice(cut + 1)) {
    case "result":
      takeResult(message);
      break;
    case "state":
      if (typeof message.state !== "string") throw new Error();
      station.state = message;
      break;
    case "alarm":
      if (!Array.isArray(message.alarms)) throw new Error();
      station.alarm = message;
      break;
    case "heartbeat":
      // by this machine's clock: a station's own may be wrong
      if (!msg.retain) station.heardAt = Date.now();
      break;
  }
} catch {
  station.unreadable += 1;
}
return null;
