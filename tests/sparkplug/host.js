// A primary host of another make: npm's mqtt and sparkplug-payload, which decodes what comes.
// One JSON a line out for every message; one JSON a line in for what to do.
//   node host.js PORT GROUP NODE DEVICE HOST
const mqtt = require("mqtt");
const sparkplug = require("sparkplug-payload").get("spBv1.0");
const [port, group, node, device, host] = process.argv.slice(2);
const state = `spBv1.0/STATE/${host}`;
const names = new Map(); // alias: name and type, of the last births
let since = Date.now();

const said = (online) => JSON.stringify({ online, timestamp: since });
const tell = (line) => process.stdout.write(JSON.stringify(line) + "\n");
// 64-bit numbers come as objects
const plain = (value) => (value !== null && typeof value === "object" ? Number(value) : value);

const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
  clientId: `host-${host}`,
  protocolVersion: 5,
  reconnectPeriod: 100,
  keepalive: 5,
  will: { topic: state, payload: said(false), qos: 1, retain: true },
});
client.on("connect", () => {
  client.subscribe(`spBv1.0/${group}/#`, { qos: 1 }, () => {
    client.publish(state, said(true), { qos: 1, retain: true });
    tell({ event: "online" });
  });
});
client.on("close", () => {
  since = Date.now();
  client.options.will.payload = Buffer.from(said(false));
  tell({ event: "lost" });
});
client.on("error", () => {});

function resolve(metric, birth) {
  const alias = metric.alias === undefined ? null : Number(metric.alias);
  let name = metric.name ?? null;
  let type = metric.type ?? null;
  if (birth && alias !== null) names.set(alias, { name, type });
  if (name === null && names.has(alias)) ({ name, type } = names.get(alias));
  return { alias, name, type, value: metric };
}

client.on("message", (topic, payload, packet) => {
  const kind = topic.split("/")[2];
  if (kind.endsWith("CMD")) return;
  if (kind === "NBIRTH") names.clear();
  const birth = kind.endsWith("BIRTH");
  // a data message leaves types out: the birth said them, and this decoder wants them to be there
  const first = sparkplug.decodePayload(payload);
  const metrics = (first.metrics ?? []).map((metric) => resolve(metric, birth));
  const typed = birth || kind === "NDEATH" ? first : decodeTyped(payload, metrics);
  typed.metrics.forEach((metric, i) => (metrics[i].value = metric));
  tell({
    topic, kind,
    qos: packet.qos,
    retain: packet.retain,
    raw: payload.toString("base64"),
    seq: typed.seq === undefined ? null : Number(typed.seq),
    timestamp: Number(typed.timestamp),
    metrics: metrics.map(({ alias, name, type, value }) => ({
      alias, name, type,
      value: plain(value.value),
      timestamp: Number(value.timestamp),
      historical: value.isHistorical === true,
      unit: value.properties?.engUnit?.value ?? null,
    })),
  });
});

// The library reads a value by the type beside it: put the birth's types in, then decode.
function decodeTyped(payload, metrics) {
  const root = require("sparkplug-payload/lib/sparkplugPayloadProto");
  const Payload = root.org.eclipse.tahu.protobuf.Payload;
  const message = Payload.decode(payload);
  const codes = { Int32: 3, Int64: 4, Double: 10, Boolean: 11, String: 12, DateTime: 13 };
  message.metrics.forEach((metric, i) => (metric.datatype = codes[metrics[i].type]));
  return sparkplug.decodePayload(Payload.encode(message).finish());
}

function command(topic, metrics, options) {
  const payload = sparkplug.encodePayload({ timestamp: Date.now(), metrics });
  client.publish(topic, payload, { qos: 0, retain: false, ...options });
}

require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const wish = JSON.parse(line);
  if (wish.do === "rebirth") {
    command(`spBv1.0/${group}/NCMD/${node}`, [
      { name: "Node Control/Rebirth", type: "Boolean", value: true },
    ]);
  } else if (wish.do === "state") {
    since = wish.timestamp ?? Date.now();
    client.publish(state, said(wish.online), { qos: 1, retain: true });
  } else if (wish.do === "write") {
    const kind = wish.to ?? "DCMD";
    const tail = kind === "DCMD" ? `/${device}` : "";
    command(`spBv1.0/${group}/${kind}/${node}${tail}`, wish.metrics, wish.options);
  } else if (wish.do === "raw") {
    client.publish(wish.topic, Buffer.from(wish.payload, "base64"), { qos: 1 });
  } else if (wish.do === "leave") {
    client.end(false, {}, () => process.exit(0));
  }
});
