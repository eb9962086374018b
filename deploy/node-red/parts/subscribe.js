// What to listen to, from this tab's TOPIC_ROOT: one line's path, or wildcards for several.
const root = env.get("TOPIC_ROOT");
const topic = ["result", "state", "alarm", "heartbeat"].map((what) => ({
  topic: `${root}/+/${what}`,
  qos: what === "heartbeat" ? 0 : 1,
}));
return { action: "subscribe", topic };
