// Sparkplug B with npm's sparkplug-payload: births name the tags, data has their aliases only.
// What cannot be understood (this host came late, or missed something) is asked for: a rebirth.
const ASK_EVERY_MS = 10000;
const [, group, kind, edgeName, device] = msg.topic.split("/");
if (!["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH"].includes(kind)) return null;
const library = sparkplug.get("spBv1.0");
const Payload = proto.org.eclipse.tahu.protobuf.Payload;
const CODES = { Int32: 3, Int64: 4, Double: 10, Boolean: 11, String: 12, DateTime: 13 };

const kept = flow.get("nodes");
const nodes = typeof kept?.has === "function" ? kept : new Map();
flow.set("nodes", nodes);
const key = `${group}/${edgeName}`;
if (!nodes.has(key)) {
  if (nodes.size >= 1000) return null;
  nodes.set(key, {
    online: false, bdSeq: null, seq: null, names: new Map(), tags: new Map(),
    devices: new Map(), lost: 0, unreadable: 0, rebirths: 0, askedAt: 0,
  });
}
const edge = nodes.get(key);
const plain = (value) =>
  value !== null && typeof value === "object" && "low" in value ? Number(value) : value;

function askForRebirth() {
  if (Date.now() - edge.askedAt < ASK_EVERY_MS) return null;
  edge.askedAt = Date.now();
  edge.rebirths += 1;
  const wish = { name: "Node Control/Rebirth", type: "Boolean", value: true };
  const payload = library.encodePayload({ timestamp: Date.now(), metrics: [wish] });
  return { topic: `spBv1.0/${group}/NCMD/${edgeName}`, payload: Buffer.from(payload), qos: 0 };
}

// The library reads a value by the type beside it, which data leave out: the birth said it.
function decodeTyped(payload) {
  const message = Payload.decode(payload);
  for (const metric of message.metrics) {
    if (metric.datatype) continue;
    const known = edge.names.get(Number(metric.alias));
    if (!known) throw new Error("an alias that no birth has named");
    metric.datatype = CODES[known.type];
  }
  return library.decodePayload(Payload.encode(message).finish());
}

function fresh(seq) {
  const expected = edge.seq === null ? null : (edge.seq + 1) % 256;
  edge.seq = Number(seq);
  if (kind === "NBIRTH") return true;
  if (edge.seq !== expected) edge.lost += 1;
  return edge.seq === expected;
}

function take(decoded) {
  const birth = kind.endsWith("BIRTH");
  if (kind === "NBIRTH") {
    edge.names.clear();
    edge.devices.clear();
  }
  if (device && (birth || !edge.devices.has(device))) {
    edge.devices.set(device, { online: birth, tags: new Map() });
  }
  const owner = device ? edge.devices.get(device) : edge;
  if (birth) {
    owner.tags.clear();
    owner.online = true;
  }
  for (const metric of decoded.metrics ?? []) {
    const alias = metric.alias === undefined || metric.alias === null ? null : Number(metric.alias);
    if (birth && alias !== null) edge.names.set(alias, { name: metric.name, type: metric.type });
    const name = metric.name || edge.names.get(alias)?.name;
    if (kind === "NBIRTH" && name === "bdSeq") edge.bdSeq = plain(metric.value);
    if (metric.isHistorical) continue; // the past is for who stores: it changes no current value
    owner.tags.set(name, plain(metric.value) ?? null);
  }
}

try {
  if (kind === "NDEATH") {
    // a will of an earlier session, published late, kills nobody
    const died = library.decodePayload(msg.payload).metrics.find((each) => each.name === "bdSeq");
    if (edge.bdSeq !== null && plain(died.value) === edge.bdSeq) {
      edge.online = false;
      edge.seq = null;
      for (const each of edge.devices.values()) each.online = false;
    }
    return null;
  }
  if (kind !== "NBIRTH" && !edge.online) return askForRebirth();
  const decoded = decodeTyped(msg.payload);
  if (!fresh(decoded.seq)) return askForRebirth();
  if (kind === "DDEATH") {
    if (edge.devices.has(device)) edge.devices.get(device).online = false;
    return null;
  }
  take(decoded);
} catch (error) {
  edge.unreadable += 1;
  node.warn(String(error));
  return askForRebirth();
}
return null;
