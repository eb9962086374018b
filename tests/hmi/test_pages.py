"""The pages in a real browser, as a person meets them."""

import json
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect

from inspector.hmi.pages import APART, PAGES
from tests.brokers import Listener
from tests.delivery.results import result
from tests.hmi.clock import note_when, require_soon
from tests.hmi.plant import PASSWORD, SIZES, Client, Plant, Watched, shown_state
from tests.sparkplug.oracles import node_modules
from tests.support import until

EVIL = '"><img src=x onerror=document.title="owned"><script>document.title="owned"</script>'
TARGET_PX = 44
SMALL_TARGETS = """() => {
  const all = [...document.querySelectorAll("a[href], button, input, select")];
  const boxes = all.map((each) => [each.outerHTML.slice(0, 80), each.getBoundingClientRect()]);
  return boxes.filter(([text, box]) => box.width > 0 && !text.includes("skip")
    && (box.height < 44 || box.width < 44)).map(([text]) => text);
}"""
PICTURES = "/api/stations/test/pictures"
A_PICTURE_SOON = """async () => {
  const { picture } = await import("/static/picture.js");
  const shown = picture("test", { seq: 1, image: "later" }, { soon: true });
  document.querySelector("main").append(shown);
}"""
FOCUS = """() => [document.activeElement.textContent,
  getComputedStyle(document.activeElement).outlineStyle]"""


@pytest.fixture(scope="module")
def axe() -> str:
    folder = node_modules("axe", ("axe-core@4.14.1",))
    return (folder / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture
def panel(browser: Browser, plant: Plant) -> Iterator[Watched]:
    with Watched(browser, plant, "admin", viewport=SIZES["panel"]) as watched:
        yield watched


def violations(page: Page, axe: str) -> list[str]:
    # by the debugger, which no policy of the page forbids
    page.evaluate(axe)
    words = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = page.evaluate(f"axe.run(document, {json.dumps(words)})")
    assert len(found["passes"]) > 10
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


@pytest.mark.parametrize("path", [*PAGES, *APART])
def test_a_page_is_accessible_quiet_and_asks_nobody_outside(
    browser: Browser, plant: Plant, axe: str, path: str
) -> None:
    role = None if path in APART else "admin"
    with Watched(browser, plant, role, viewport=SIZES["panel"], locale="en") as watched:
        page = watched.open(path)
        if path == "/":
            expect(page.locator(".verdict").first).to_be_visible()
        assert violations(page, axe) == []
        small = page.evaluate(SMALL_TARGETS)
        assert small == [], f"targets below {TARGET_PX} px"
        for size in SIZES.values():
            page.set_viewport_size(ViewportSize(width=size["width"], height=size["height"]))
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, "the page must not scroll sideways"
        # a stranger's old link is refused, which a browser calls an error
        refused = [each for each in watched.errors if "409" in each]
        assert (watched.errors, watched.outside) == (refused if path == "/welcome" else [], [])


def test_live_shows_the_station_and_its_last_part_as_the_journal_has_it(panel: Watched) -> None:
    page = panel.open("/")
    expect(page.locator(".state")).to_have_text("RUNNING")
    expect(page.locator(".age")).to_contain_text("heartbeat")
    rejected = page.locator(".part").nth(1)
    expect(rejected.locator(".verdict")).to_have_text("NOT OK")
    expect(rejected.locator("img")).to_be_visible()
    expect(rejected.locator("rect.NOT_OK")).to_have_count(1)
    assert page.locator(".plot canvas").count() == 1
    page.get_by_role("link", name="Details").last.click()
    expect(page.locator("dialog[open] h2").first).to_contain_text("Part part")
    assert panel.errors == []


def test_a_picture_that_is_not_in_the_archive_yet_comes_without_a_browsers_error(
    plant: Plant, panel: Watched
) -> None:
    page = panel.open("/")
    expect(page.locator(".part img").first).to_be_visible()
    assert plant.clients["viewer"].ask("GET", f"{PICTURES}/later?soon=true").status == 204
    for none in ("later", ".hidden?soon=true"):
        assert plant.clients["viewer"].ask("GET", f"{PICTURES}/{none}").status == 404
    with page.expect_response(lambda answer: f"{PICTURES}/later" in answer.url) as first:
        page.evaluate(A_PICTURE_SOON)
    assert first.value.status == 204
    some = next((plant.folder / "images").glob("*.jpg"))
    shutil.copy(some, some.with_name("later.jpg"))
    expect(page.locator("main > figure img")).to_be_visible()
    assert panel.errors == []


def test_history_finds_by_part_verdict_and_score_and_goes_back_in_pages(
    plant: Plant, panel: Watched
) -> None:
    asked = plant.clients["viewer"]

    def rows(query: str) -> Any:
        return asked.ask("GET", f"/api/stations/test/results?{query}").json()

    assert until(lambda: len(rows("limit=30")["rows"]) == 30)
    first, more = rows("limit=7"), []
    more = rows(f"limit=7&before={first['before']}")["rows"]
    seqs = [row["seq"] for row in first["rows"] + more]
    assert seqs == list(range(seqs[0], seqs[0] - 14, -1))
    assert {row["evaluation"] for row in rows("evaluation=NOT_OK")["rows"]} == {"NOT_OK"}
    assert {row["cause"] for row in rows("cause=defect")["rows"]} == {"defect"}
    assert all(row["score"] >= 0.9 for row in rows("score_from=0.9")["rows"])
    assert rows(f"until={time.time() - 86_400}")["rows"] == []
    assert rows(f"since={time.time() + 60}")["rows"] == []
    csv = asked.ask("GET", "/api/stations/test/export?evaluation=NOT_OK").body.decode()
    assert csv.startswith("station,seq,")
    assert ",NOT_OK," in csv
    assert ",OK," not in csv

    page = panel.open("/history")
    page.fill("#part", "PART002")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr").first).to_contain_text("part002")
    # it may have stood first before the search, too
    expect(page.locator("tbody tr").filter(has_not_text="part002")).to_have_count(0)
    assert set(page.locator("tbody tr td:nth-child(2)").all_inner_texts()) == {"part002"}
    page.get_by_role("button", name="Open part002").first.click()
    detail = page.locator("dialog[open]")
    for text in ("brightness", "predict", "tiny-", "dark"):
        expect(detail).to_contain_text(text)
    expect(detail.locator("img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(detail).to_have_count(0)
    assert panel.errors == []


def test_what_is_dangerous_is_asked_twice_and_stands_in_both_audits(
    plant: Plant, browser: Browser
) -> None:
    with Watched(browser, plant, "operator", viewport=SIZES["panel"]) as watched:
        page = watched.open("/")
        page.get_by_role("button", name="Stop").click()
        page.get_by_role("button", name="Cancel").click()
        time.sleep(0.5)
        assert shown_state(plant.clients["viewer"]) == "CONTINUOUS_EXECUTION"
        page.get_by_role("button", name="Stop").click()
        page.fill("#why", EVIL)
        page.locator("dialog[open] .primary").click()
        expect(page.locator(".commands .said")).to_contain_text("Done")
        expect(page.locator(".state")).to_have_text("READY")
        page.get_by_role("button", name="Start", exact=True).click()
        expect(page.locator(".state")).to_have_text("RUNNING")
        assert page.locator("nav").first.inner_text().split() == [
            "Live",
            "History",
            "Review",
            "Camera",
            "Alarms",
            "System",
        ]
        assert watched.errors == []
    row = next(each for each in plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"]
               if each["what"] == "command stop")  # fmt: skip
    assert (row["who"], row["old"], row["new"]) == ("operator", "CONTINUOUS_EXECUTION", "READY")
    assert row["why"] == EVIL
    theirs = plant.clients["engineer"].ask("GET", "/api/stations/test/audit").json()
    assert theirs["tampered"] is None
    assert any(each["sender"] == "hmi" and (each["id"] or "").startswith("operator-")
               for each in theirs["rows"])  # fmt: skip


@pytest.mark.parametrize("asked", [
    {"action": "halt"}, {"action": "reload", "confirmed": True}, {"action": "status"},
    {"action": "image", "confirmed": True}])  # fmt: skip
def test_what_is_not_in_the_table_or_not_confirmed_is_not_sent(
    plant: Plant, asked: dict[str, object]
) -> None:
    answer = plant.clients["admin"].ask("POST", "/api/stations/test/commands", asked)
    assert answer.status in (403, 409)


def test_where_there_are_no_shared_workers_hidden_tabs_let_go_of_their_stream(
    plant: Plant, panel: Watched
) -> None:
    panel.context.add_init_script("delete window.SharedWorker")
    page = panel.open("/")
    expect(page.locator(".state")).to_have_text("RUNNING")
    system = plant.clients["viewer"]
    streams = system.ask("GET", "/api/system").json()["streams"]
    page.evaluate(
        """() => { Object.defineProperty(document, "hidden", {value: true, configurable: true});
                   document.dispatchEvent(new Event("visibilitychange")); }"""
    )
    assert until(lambda: system.ask("GET", "/api/system").json()["streams"] == streams - 1)


def test_hostile_text_in_every_field_is_only_ever_text(plant: Plant, panel: Watched) -> None:
    whole = json.loads(result(1).to_json())
    region = {"name": EVIL, "x": 0, "y": 0, "width": EVIL, "height": 9, "evaluation": EVIL,
              "reason": EVIL, "label": EVIL, "score": EVIL, "novelty": None}  # fmt: skip
    evil = dict.fromkeys(whole, EVIL) | {
        "station": "test", "seq": 10**7, "regions": [region, region], "limits": {"review_at": EVIL},
        "part": {"id": EVIL, "sequence": EVIL}, "times_ms": {EVIL: EVIL}, "image": EVIL,
    }  # fmt: skip
    alarm = {"schema": 2, "station": "test", "boot": EVIL, "line_stop": EVIL,
             "alarms": [{"kind": EVIL, "cause": EVIL, "since": EVIL}, EVIL, 7]}  # fmt: skip
    state = {
        "station": "test", "boot": EVIL, "state": EVIL, "cause": EVIL, "since": EVIL,
        "withheld": EVIL,
        "recipe": EVIL, "bundle": EVIL, "tally": {"verdicts": {EVIL: EVIL}, "causes": {EVIL: 3}},
        "consumers": [{"name": EVIL, "acknowledged": EVIL}], "bundles": {"refused": EVIL},
    }  # fmt: skip
    plant.station.kill()
    plant.station.wait()
    try:
        with Listener(plant.broker.port, "nothing", name="line") as line:
            for what, message in (("result", evil), ("alarm", alarm), ("state", state)):
                line.publish(f"plant/line/test/{what}", json.dumps(message).encode())
            for broken in (b"{", b"[]", b"7", b"\xff", b'{"station": "other"}', b"[" * 10_000):
                line.publish("plant/line/test/state", broken)
            assert until(lambda: shown_state(plant.clients["viewer"]) == EVIL)
            for path in PAGES:
                page = panel.open(path)
                if path == "/":
                    expect(page.locator(".line")).to_contain_text("onerror")
                page.wait_for_timeout(300)
                assert "owned" not in page.title()
                assert page.locator("img[src=x]").count() == 0
                assert page.locator("body script").count() == 0
                page.close()
            line.publish("plant/line/test/alarm", b"", retain=True)
        assert [each for each in panel.errors if "404" not in each] == []
    finally:
        plant.restart_station()
    assert until(lambda: shown_state(plant.clients["viewer"]) == "CONTINUOUS_EXECUTION", 40.0)


def test_a_changed_row_of_the_audit_is_shown_on_its_page(plant: Plant, panel: Watched) -> None:
    page = panel.open("/audit")
    expect(page.get_by_text("No row was changed")).to_be_visible()
    page.select_option("#source", "test")
    expect(page.get_by_text("No row was changed")).to_be_visible()
    with closing(sqlite3.connect(plant.folder / "hmi" / "hmi.db", timeout=10.0)) as db:
        (rule,) = db.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'audit_unchanged'"
        ).fetchone()
        (entry,) = db.execute("SELECT entry FROM audit WHERE seq = 2").fetchone()
        change = "UPDATE audit SET entry = ? WHERE seq = 2"
        db.execute("DROP TRIGGER audit_unchanged")
        db.execute(change, (entry.replace("admin", "nobody"),))
        db.commit()
        page.select_option("#source", "")
        expect(page.get_by_text("TAMPERED")).to_contain_text("row 2 is not as it was written")
        db.execute(change, (entry,))
        db.execute(rule)
        db.commit()
    assert panel.errors == []


def test_a_person_comes_in_by_keyboard_alone_and_sees_where_they_are(
    plant: Plant, browser: Browser
) -> None:
    with Watched(browser, plant, None, viewport=SIZES["panel"]) as watched:
        page = watched.open("/login")
        page.keyboard.type("viewer")
        page.keyboard.press("Tab")
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(plant.url + "/")
        page.wait_for_selector("body[data-ready]")
        seen = []
        for _ in range(4):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(FOCUS))
        assert [text for text, _ in seen] == ["To the content", "Live", "History", "Camera"]
        assert {style for _, style in seen} == {"solid"}
        assert watched.errors == []


def test_the_other_language_is_one_button_away_and_stays(panel: Watched) -> None:
    page = panel.open("/")
    page.get_by_role("button", name="Deutsch").click()
    page.wait_for_selector("body[data-ready]")
    expect(page.locator(".state")).to_have_text("LÄUFT")
    assert page.evaluate("document.documentElement.lang") == "de"
    page = panel.open("/history")
    expect(page.get_by_role("heading", name="Verlauf")).to_be_visible()


@pytest.mark.parametrize("language", ["en", "de"])
def test_all_pages_and_who_looks_stand_in_one_line_of_a_panel(
    plant: Plant, browser: Browser, language: str
) -> None:
    with Watched(browser, plant, "admin", viewport=SIZES["panel"], locale=language) as watched:
        page = watched.open("/accounts")
        assert page.locator(".top nav a").count() == 10
        line = page.locator(".top").bounding_box()
        assert line is not None
        assert line["height"] < 60.0  # a row of keys is 44 px
        assert page.evaluate("document.documentElement.scrollWidth") <= SIZES["panel"]["width"]


def test_a_killed_station_is_shown_as_silent_within_three_seconds_and_never_as_ok(
    plant: Plant, panel: Watched
) -> None:
    page = panel.open("/")
    expect(page.locator(".state")).to_have_text("RUNNING")
    note_when(page, ".station.stale")
    plant.station.kill()
    plant.station.wait()
    try:
        require_soon(page)
        expect(page.locator(".part .verdict").first).to_have_text("no verdict: old")
        assert page.locator(".part .verdict", has_text="OK").count() == 0
        assert page.locator(".part", has_text="passed").count() == 0
        expect(page.locator(".state")).to_have_text("OFFLINE")
        expect(page.locator(".age")).to_contain_text("heartbeat")
    finally:
        plant.restart_station()
    expect(page.locator(".state")).to_have_text("RUNNING", timeout=40_000)
    assert page.locator(".station.stale").count() == 0


def test_a_hanging_station_is_silent_with_its_age_and_can_still_be_read(
    plant: Plant, panel: Watched, axe: str
) -> None:
    camera = panel.open("/camera")
    page = panel.open("/")
    for each in (camera, page):
        expect(each.locator(".state")).to_have_text("RUNNING")
    note_when(page, ".station.stale")
    plant.station.send_signal(signal.SIGSTOP)  # nothing closes, nothing is said
    try:
        require_soon(page)
        expect(page.locator(".state")).to_have_text("SILENT")
        expect(page.locator(".age")).to_contain_text("silent for")
        expect(camera.locator(".station.stale")).to_have_count(1)
        for each in (camera, page):
            each.bring_to_front()
            assert violations(each, axe) == []
        assert page.locator(".part .verdict", has_text="OK").count() == 0
    finally:
        plant.station.send_signal(signal.SIGCONT)
    expect(page.locator(".state")).to_have_text("RUNNING")


def test_a_page_whose_server_is_gone_says_so_and_comes_back(plant: Plant, panel: Watched) -> None:
    page = panel.open("/")
    expect(page.locator(".state")).to_have_text("RUNNING")
    note_when(page, ".banner")
    plant.pages.kill()
    require_soon(page)
    expect(page.locator(".station.stale")).to_have_count(1)
    assert page.locator(".part .verdict", has_text="OK").count() == 0
    plant.pages.start()
    expect(page.locator(".banner")).to_be_hidden(timeout=20_000)
    expect(page.locator(".state")).to_have_text("RUNNING")
    # the token of before is no longer good, the session is
    client = plant.clients["viewer"]
    assert client.look()["role"] == "viewer"


def test_an_administrator_adds_an_account_by_its_page_and_its_owner_comes_in(
    plant: Plant, panel: Watched, tmp_path: Path
) -> None:
    page = panel.open("/accounts")
    page.fill("#new-name", "nora")
    page.select_option("#new-role", "viewer")
    page.get_by_role("button", name="Add").click()
    link = page.locator(".link-box .mono").inner_text()
    client = Client(plant.pages.port)
    assert client.accept(link.partition("#")[2]).status == 200
    page.get_by_role("button", name="Remove: nora").click()
    page.locator("dialog[open] .primary").click()
    expect(page.get_by_text("nora", exact=True)).to_have_count(0)
    assert client.ask("GET", "/api/system").status == 401
    assert panel.errors == []
