"""The pages there are, and the files they are made of: plain modules, no build step.

A page is one row here, one row in `access.ACCESS`, one module in `static/pages/` and its texts in
`static/messages/`.
"""

from pathlib import Path

STATIC = Path(__file__).parent / "static"

PAGES: dict[str, str] = {
    "/": "live",
    "/history": "history",
    "/review": "review",
    "/camera": "camera",
    "/alarms": "alarms",
    "/recipe": "recipe",
    "/bundles": "bundles",
    "/system": "system",
    "/audit": "audit",
    "/accounts": "accounts",
}
"""Path -> module, in the order of the menu, which shows a person what its role may open."""
APART: dict[str, str] = {"/login": "login", "/welcome": "welcome"}
"""Without a menu."""

TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}


def read_static() -> dict[str, tuple[bytes, str]]:
    """Every file the browser may have, by its name below static/: nothing else can be named."""
    return {
        path.relative_to(STATIC).as_posix(): (path.read_bytes(), TYPES[path.suffix])
        for path in sorted(STATIC.rglob("*"))
        if path.is_file() and path.suffix in TYPES
    }
