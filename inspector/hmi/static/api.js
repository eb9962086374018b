// What is asked of the server. Unsafe requests bring the session's token.

export class Refused extends Error {
  constructor(status, body) {
    super(body.error || "failed");
    this.status = status;
    this.body = body;
  }
}

let session = { csrf: "", name: null };

export async function loadSession() {
  session = await ask("GET", "/api/session");
  return session;
}

export async function ask(method, path, body, more = {}) {
  const options = { method, headers: {}, credentials: "same-origin", ...more };
  if (method !== "GET") options.headers["X-CSRF-Token"] = session.csrf;
  if (body !== undefined) {
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, { error: "unreachable" });
  }
  let found = {};
  try { found = await answer.json(); } catch { /* no body */ }
  if (answer.status === 401 && !path.startsWith("/api/session")) location.assign("/login");
  if (!answer.ok) throw new Refused(answer.status, found);
  return found;
}

// "?a=1&b=2" of what is not empty.
export function query(values) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== null && value !== undefined) found.set(name, value);
  }
  const text = found.toString();
  return text ? `?${text}` : "";
}
