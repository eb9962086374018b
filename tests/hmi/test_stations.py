"""Several stations on one page, in a real browser: which one needs a person is seen at a glance."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.brokers import Mosquitto
from tests.hmi.clock import note_when, require_soon
from tests.hmi.line import ILL, KILLED, WELL, Line, make_line
from tests.hmi.plant import SIZES, START_S, Watched
from tests.support import until

TABS = 8


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    with Mosquitto(folder, quiet=True) as broker:
        broker.start()
        made = make_line(folder, broker)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def panel(browser: Browser, line: Line) -> Iterator[Watched]:
    with Watched(browser, line, "operator", viewport=SIZES["panel"]) as watched:
        yield watched


def tile(page: Page, name: str) -> Any:
    return page.locator(".tile").filter(has=page.get_by_text(name, exact=True))


@contextmanager
def killed(line: Line) -> Iterator[None]:
    line.kill(KILLED)
    try:
        yield
    finally:
        line.start(KILLED)


def test_which_station_is_killed_and_which_has_an_alarm_is_seen_at_a_glance(
    line: Line, panel: Watched
) -> None:
    """In each of eight tabs within three seconds, over one stream."""
    asked = line.clients["admin"]
    before = asked.ask("GET", "/api/system").json()["streams"]
    tabs = [panel.open(f"/?station={(WELL, KILLED)[n % 2]}") for n in range(TABS)]
    for page in tabs:
        for name in (WELL, ILL, KILLED):
            expect(tile(page, name)).to_contain_text("RUNNING", timeout=1_000 * START_S)
        expect(tile(page, ILL)).to_contain_text("The line should stop: Parts cannot be judged")
    assert asked.ask("GET", "/api/system").json()["streams"] <= before + 1
    tabs.pop(0).close()  # the one that began the stream
    for page in tabs:
        note_when(page, ".tile.stale")
    since = time.time()
    with killed(line):
        for page in tabs:
            require_soon(page, since)
            assert page.locator(".tile.stale strong").all_inner_texts() == [KILLED]
            expect(tile(page, KILLED)).to_contain_text("OFFLINE")
            expect(tile(page, WELL)).to_have_attribute("class", "tile")
            expect(tile(page, ILL)).to_have_attribute("class", "tile troubled")
        expect(tabs[0].locator(".station.stale .name")).to_have_text(KILLED)
        assert tabs[0].locator(".part .verdict", has_text="OK").count() == 0
        # no tab starves: the parts go on, and a person's request is answered beside the stream
        for page in tabs[1::2]:
            seen = page.locator(".part").first.inner_text()
            expect(page.locator(".part").first).not_to_have_text(seen)
            assert page.evaluate("fetch('/api/system').then((answer) => answer.status)") == 200
    for page in tabs:
        expect(page.locator(".tile.stale")).to_have_count(0, timeout=1_000 * START_S)
    assert panel.errors == []


def test_history_and_alarms_are_of_the_station_that_was_chosen(line: Line, panel: Watched) -> None:
    page = panel.open("/history")
    page.select_option("#station", ILL)
    expect(page.locator("tbody tr").first).to_contain_text("NOT JUDGED")
    expect(page.locator("tbody tr", has_text="passed")).to_have_count(0)
    page.select_option("#station", WELL)
    expect(page.locator("tbody tr td .badge", has_text="OK").first).to_be_visible()
    page = panel.open("/alarms")
    expect(page.locator("h3")).to_have_text([WELL, ILL, KILLED])
    expect(page.locator("tbody tr", has_text="Parts cannot be judged").first).to_be_visible()
    page.select_option("#station", WELL)
    expect(page.locator("h3")).to_have_text([WELL])
    expect(page.locator("tbody tr", has_text="Parts cannot be judged")).to_have_count(0)
    page = panel.open(f"/alarms?station={ILL}")
    expect(page.locator("h3")).to_have_text([ILL])
    expect(page.locator("tbody tr td:first-child").first).to_have_text(ILL)
    assert panel.errors == []


def test_an_alarm_of_before_the_restart_is_shown_with_who_acknowledged_it(
    line: Line, panel: Watched
) -> None:
    admin = line.clients["admin"]

    def kept(station: str) -> Any:
        rows = admin.ask("GET", f"/api/alarms?station={station}").json()["rows"]
        return next((row for row in rows if row["station"] == station), None)

    with killed(line):
        assert until(lambda: (kept(KILLED) or {}).get("ended", 0) is None, START_S)
    assert until(lambda: kept(KILLED)["ended"] is not None, START_S)
    page = panel.open(f"/alarms?station={KILLED}")
    row = page.locator("tbody tr", has_text="Offline").first
    expect(row).to_contain_text("returned to normal, not acknowledged")
    row.get_by_role("button", name="Acknowledge").click()
    expect(row).to_contain_text("operator,")
    assert kept(ILL)["ended"] is None
    line.pages.kill()
    line.pages.start()
    page = panel.open(f"/alarms?station={KILLED}")
    row = page.locator("tbody tr", has_text="Offline").first
    expect(row).to_contain_text("operator,")
    expect(row.locator("td").nth(2)).to_have_text("normal")
    expect(page.locator("tbody tr", has_text="These pages did not run").first).to_be_visible()
    assert kept(ILL)["ended"] is None, "it stands, and is the same one"
    audit = admin.ask("GET", "/api/audit").json()["rows"]
    assert any(each["what"].endswith(": offline") and each["station"] == KILLED for each in audit)
