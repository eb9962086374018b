"""Hostile text in every field that reaches a page, by every way there is: it is only ever text."""

import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from inspector.delivery.journal import Journal, JournalSettings
from inspector.delivery.ledger import Ledger
from inspector.hmi.pages import PAGES
from tests.brokers import Listener, Mosquitto
from tests.delivery.results import result
from tests.hmi.plant import SIZES, Client, Pages, Watched
from tests.support import until

VECTORS = (
    '"><img src=x onerror=document.title="owned">',
    '<script>document.title="owned"</script>',
    "<svg/onload=document.title='owned'>",
    "</title></textarea></style><iframe srcdoc='<script>top.document.title=`owned`</script>'>",
    "' onmouseover=document.title='owned' x='",
    "javascript:document.title='owned'",
)
EVIL = " ".join(VECTORS)
SHORT = "<img src=x onerror=document.t=1>"  # a name has 32 characters
MADE_OF_TEXT = """() => [...document.querySelectorAll("*")].flatMap((each) => [
  ...[...each.attributes].filter((one) => one.name.startsWith("on") || one.name === "srcdoc"
    || /^javascript:/i.test(one.value)).map((one) => `${each.tagName} ${one.name}=${one.value}`),
  ...(["IFRAME", "OBJECT", "EMBED", "BASE"].includes(each.tagName) ? [each.tagName] : []),
  ...(each.tagName === "SCRIPT" && each.parentElement.tagName !== "HEAD" ? ["SCRIPT"] : []),
  ...(each.tagName === "IMG" && each.hasAttribute("src")
    && !each.src.startsWith(location.origin) ? [each.outerHTML] : []),
])"""
ROWS = 2
SAYS_IT = ("/", "/history", "/alarms", "/system", "/audit")
"""Where a station's text must be seen, or the page was not tried."""
ADDRESSES = ("/?station={}", "/history?station={}&seq={}", "/alarms?station={}", "/welcome?x={}#{}",
             "/login?next={}#{}")  # fmt: skip


@dataclass(slots=True)
class Hostile:
    """Pages of one station, which is not there: whatever is said of it, we say."""

    pages: Pages
    folder: Path
    broker: Mosquitto
    clients: dict[str, Client] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.pages.port}"


def evil_result(seq: int) -> bytes:
    """Every value of a result, and every name where names are free."""
    whole = json.loads(result(seq).to_json())
    region = {**dict.fromkeys(whole["regions"][0], EVIL), "x": 0, "y": 0, "height": 9}
    found = dict.fromkeys(whole, EVIL) | {
        "station": "evil", "seq": seq, "regions": [region, region], "pass": False,
        "limits": {"review_at": EVIL, "reject_at": EVIL, "source": EVIL, EVIL: EVIL},
        "part": {"id": EVIL, "sequence": EVIL}, "trigger": {"id": EVIL, "deadline_ms": EVIL},
        "times_ms": {EVIL: EVIL, "predict": EVIL}, "attestation": {EVIL: EVIL, "sharpness": EVIL},
    }  # fmt: skip
    return json.dumps(found).encode()


MESSAGES = {
    "result": evil_result(10**7),
    "alarm": json.dumps({
        "schema": 2, "station": "evil", "boot": EVIL, "line_stop": EVIL,
        "alarms": [{"kind": EVIL, "cause": EVIL, "since": EVIL, EVIL: EVIL}, EVIL, 7],
    }).encode(),
    "state": json.dumps({
        "station": "evil", "boot": EVIL, "state": EVIL, "cause": EVIL, "since": EVIL,
        "withheld": EVIL, "recipe": EVIL, "bundle": EVIL, "bundles": {"refused": EVIL},
        "tally": {"verdicts": {EVIL: EVIL}, "causes": {EVIL: 3}, "images_dropped": EVIL,
                  "trigger_to_verdict_ms": {"p50": EVIL, "p99": EVIL}, "triggers_missed": EVIL},
        "consumers": [dict.fromkeys(("name", "acknowledged", "lag", "lost"), EVIL)],
        "model": {EVIL: EVIL, "variant": EVIL}, "shadow": {"bundle": EVIL}, "line": EVIL,
    }).encode(),
}  # fmt: skip


def write_journal(path: Path) -> None:
    journal = Journal(JournalSettings(path=path, disk_free_min_mb=0))
    for seq in range(1, ROWS + 1):
        journal.put(result(seq))
        journal.release(seq)
    for seq in range(1, ROWS + 1):
        journal._db.execute("UPDATE result SET payload = ? WHERE seq = ?", (evil_result(seq), seq))
    journal.close()
    ledger = Ledger(path, EVIL)
    ledger.add(ledger.entry(event="begun", sender=EVIL, action=EVIL, id=EVIL, reason=EVIL))
    ledger.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    folder = tmp_path_factory.mktemp("hostile")
    write_journal(folder / "journal.db")
    (folder / "key").write_text(f"{secrets.token_hex(32)}\n", encoding="utf-8")
    (folder / "key").chmod(0o600)
    with Mosquitto(folder, quiet=True) as broker:
        station = {"station": "evil", "topic_root": "plant", "journal": "journal.db",
                   "archive": "images", "mqtt": {"host": "127.0.0.1", "port": broker.start().port},
                   "commands": {"sender": "hmi", "key_file": "key", "wait_s": 0.1}}  # fmt: skip
        made = Hostile(Pages(folder, station), folder, broker)
        try:
            made.pages.start()
            admin = made.clients["admin"] = Client(made.pages.port)
            assert admin.accept(made.pages.first_token(), "admin").status == 200
            say_all(made, admin)
            yield made
        finally:
            made.pages.kill()


def say_all(hostile: Hostile, admin: Client) -> None:
    """By the broker, by the login, by what a person may write."""
    with Listener(hostile.broker.port, "nothing", name="evil") as line:
        for what, payload in MESSAGES.items():
            line.publish(f"plant/evil/{what}", payload, retain=True)
    ask = {"action": "start", "why": EVIL[:300]}
    assert admin.ask("POST", "/api/stations/evil/commands", ask).status == 504
    assert Client(hostile.pages.port).log_in(SHORT, "wrong wrong wrong").status == 403
    assert admin.ask("POST", "/api/accounts", {"name": SHORT, "role": "viewer"}).status == 409
    kept = "/api/alarms?station=evil"
    assert until(lambda: EVIL[:99] in admin.ask("GET", kept).body.decode().replace('\\"', '"'))
    (row, *_) = admin.ask("GET", kept).json()["rows"]
    assert admin.ask("POST", "/api/alarms/acknowledged", {"ids": [row["id"]]}).status == 200


@pytest.fixture
def panel(browser: Browser, hostile: Hostile) -> Iterator[Watched]:
    with Watched(browser, hostile, "admin", viewport=SIZES["panel"]) as watched:
        yield watched


def require_text_only(page: Page, panel: Watched) -> None:
    page.wait_for_timeout(300)  # what is made of text would act at once
    assert page.evaluate(MADE_OF_TEXT) == []
    assert "owned" not in page.title()
    # a policy that had to step in would have said so
    assert [each for each in panel.errors if "status of 4" not in each] == []
    assert panel.outside == []


def test_every_page_shows_hostile_text_as_text(panel: Watched) -> None:
    for path in PAGES:
        page = panel.open(path)
        if path in SAYS_IT:
            page.get_by_text("onerror").first.wait_for()
        require_text_only(page, panel)
        page.close()


def test_details_station_audit_and_dialogs_do_too(panel: Watched) -> None:
    page = panel.open("/history")
    page.locator("tbody button").first.click()
    page.locator("dialog[open]").get_by_text("onload").first.wait_for()
    require_text_only(page, panel)
    page = panel.open("/audit")
    page.get_by_text(SHORT).first.wait_for()
    page.select_option("#source", "evil")
    page.locator("td", has_text="onload").first.wait_for()
    require_text_only(page, panel)
    page = panel.open("/accounts")
    page.fill("#new-name", EVIL[:32])
    page.get_by_role("button", name="Add").click()
    page.locator(".said:not(:empty)").wait_for()
    require_text_only(page, panel)


def test_an_address_somebody_sends_and_what_a_browser_keeps_cannot_either(panel: Watched) -> None:
    kept = json.dumps(EVIL)
    panel.context.add_init_script(
        f"try {{ sessionStorage.setItem('inspector.station', {kept});"
        f"localStorage.setItem('inspector.language', {kept}) }} catch {{ /* of no page yet */ }}"
    )
    for path in ADDRESSES:
        page = panel.open(path.replace("{}", EVIL))
        require_text_only(page, panel)
        page.close()


def test_the_check_itself_finds_what_is_made_of_text(panel: Watched) -> None:
    page = panel.open("/system")
    page.evaluate("(text) => { document.body.insertAdjacentHTML('beforeend', text); }", EVIL)
    found = page.evaluate(MADE_OF_TEXT)
    assert any("onerror" in each for each in found)
    assert any("onload" in each for each in found)
    end = time.monotonic() + 10.0
    while not panel.errors and time.monotonic() < end:
        page.wait_for_timeout(50)
    assert any("Content Security Policy" in each for each in panel.errors)
    assert "owned" not in page.title()
