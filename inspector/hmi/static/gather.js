// Puts what the stream brings together: the newest of each station. Of the worker and of the page.

const POINTS_MAX = 600;

export function gather(all, event) {
  for (const [name, news] of Object.entries(event.stations)) {
    const before = all[name] ?? { points: [] };
    const points = news.points;
    const anew = points.length > 0 && before.points.length > 0
      && points[0][0] <= before.points[before.points.length - 1][0];
    const kept = anew ? points : before.points.concat(points);
    all[name] = { ...news.known, points: kept.slice(-POINTS_MAX), version: (before.version ?? 0) + 1 };
  }
}
