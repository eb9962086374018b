// The page's tags, as they are now. Of a node that is offline they are the last known.
const kept = flow.get("nodes");
const nodes = (kept?.size ? [...kept] : []).map(([name, edge]) => ({
  node: name,
  online: edge.online,
  lost: edge.lost,
  unreadable: edge.unreadable,
  rebirths: edge.rebirths,
  tags: Object.fromEntries(edge.tags),
  devices: [...edge.devices].map(([device, each]) => ({
    device,
    online: edge.online && each.online,
    tags: Object.fromEntries(each.tags),
  })),
}));
msg.headers = { "content-type": "application/json", "cache-control": "no-store" };
msg.payload = { nodes };
return msg;
