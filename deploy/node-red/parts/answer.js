// The page's figures, as they are now.
const staleAfterMs = Number(env.get("STALE_AFTER_MS"));
const now = Date.now();
const kept = flow.get("stations");
const stations = (kept?.size ? [...kept] : []).map(([topic, each]) => {
  const ageMs = each.heardAt === null ? null : now - each.heardAt;
  return {
    topic,
    station: each.station,
    heartbeat_age_ms: ageMs,
    stale: ageMs === null || ageMs > staleAfterMs,
    state: each.state?.state ?? null,
    state_cause: each.state?.cause ?? null,
    withheld: each.state ? each.state.withheld ?? null : "no state has come",
    recipe: each.state?.recipe ?? null,
    bundle: each.state?.bundle ?? null,
    line_stop: each.alarm?.line_stop === true,
    alarms: (each.alarm?.alarms ?? []).map(({ kind, cause }) => ({ kind, cause })),
    counts: Object.fromEntries(each.counts),
    causes: Object.fromEntries(each.causes),
    parts: each.parts,
    duplicates: each.duplicates,
    skipped: each.skipped,
    unreadable: each.unreadable,
  };
});
stations.sort((a, b) => (a.topic < b.topic ? -1 : 1));
msg.headers = { "content-type": "application/json", "cache-control": "no-store" };
msg.payload = { since: flow.get("since") ?? null, stale_after_ms: staleAfterMs, stations };
return msg;
