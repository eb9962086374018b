// The pages need nothing but themselves, and show foreign text as text.
msg.headers = {
  "content-type": "text/html; charset=utf-8",
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy":
    "default-src 'none'; connect-src 'self'; " +
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'self'",
};
return msg;
