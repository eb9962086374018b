"""How long it takes until a page shows something, by the page's own clock."""

from playwright.sync_api import Page

STALE_S = 3.0
_NOTE_WHEN = """(what) => { window.noted = new Promise((done) => {
  const began = performance.now();
  let [last, held] = [began, 0];
  const look = () => {
    const now = performance.now();
    held = Math.max(held, now - last - 20);
    last = now;
    const found = document.querySelector(what);
    if (found && found.checkVisibility())
      done([began, now, held].map((each) => each / 1000).concat(performance.timeOrigin / 1000));
    else setTimeout(look, 20);
  };
  look();
}); }"""


def note_when(page: Page, what: str) -> None:
    """From now on the page looks for this selector."""
    page.evaluate(_NOTE_WHEN, what)


def require_soon(page: Page, since: float | None = None) -> None:
    """What the page was told to note came in time, but for what a busy machine kept from it.

    since: when it happened, in seconds since 1970; left out: when the page was told.
    """
    began, seen, held, origin = page.evaluate("window.noted")
    seconds = seen - began if since is None else origin + seen - since
    assert seconds <= STALE_S + held, f"{seconds:.2f} s, {held:.2f} s of it the machine's"
