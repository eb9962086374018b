"""Review and camera in a real browser: parts are judged by keys, the camera is held against its
reference."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from inspector.cli import main
from inspector.contract.review import Kept
from inspector.contract.strict import read_toml
from inspector.delivery.review_policy import Policy, policy_path
from inspector.delivery.reviews import read_reviews
from inspector.hmi.routes_camera import Turn
from inspector.station.attest import reduced
from inspector.station.attest_rule import reference_text
from tests.brokers import Mosquitto
from tests.hmi.plant import Plant, Watched, make_plant
from tests.support import GREY, picture, toml, until

PANEL = {"width": 1024, "height": 768}
GOOD, DARK = "1", "2"  # the keys: the bundle's classes, the good ones first
DAY = {"holder": "a tab of a test", "count": 20}

expect.set_options(timeout=20_000)  # a busy machine


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """With a second station that is only heard of."""
    folder = tmp_path_factory.mktemp("plant")
    with Mosquitto(folder, quiet=True) as broker:
        broker.start()
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        far = {"station": "far", "topic_root": "plant/line", "mqtt": mqtt}
        made = make_plant(folder, broker, far)
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def desk(browser: Browser, plant: Plant) -> Iterator[Watched]:
    """The operator's browser; every rejected part is shown."""
    sample(plant, rejected=1.0)
    assert until(lambda: len(waiting(plant)) >= 8, 40.0)
    with Watched(browser, plant, "operator", viewport=PANEL, locale="en") as watched:
        yield watched


def sample(plant: Plant, *, rejected: float) -> None:
    """Of what was rejected; nothing else is drawn."""
    engineer = plant.clients["engineer"]
    was = engineer.ask("GET", "/api/stations/test/sampling").json()["policy"]
    rates = {**was["rates"], "rejected": rejected, "passed": 0.0}
    words = {"was": was, "now": {**was, "second_opinion": 0.0, "rates": rates}, "why": "a test"}
    assert engineer.ask("POST", "/api/stations/test/sampling", words).status in (200, 409)


def waiting(plant: Plant, role: str = "admin", **more: Any) -> list[dict[str, Any]]:
    client = plant.clients[role]
    found = client.ask("POST", "/api/review/next", {**DAY, **more}).json()["items"]
    client.ask("POST", "/api/review/next", {**DAY, "leave": True})
    return found  # type: ignore[no-any-return]


def reviews(plant: Plant, part: str | None = None) -> list[Kept]:
    """The store's, oldest first; of one result."""
    path = plant.folder / "reviews.db"
    found = read_reviews(path) if path.exists() else []
    return [each for each in found if part in (None, each.review.result_id)]


def shown(page: Page) -> str:
    """The result_id of the part that a person sees; its picture is there."""
    image = page.locator(".stage img")
    expect(image).to_be_visible()
    page.wait_for_timeout(300)  # a touch sooner than this is taken for the one before
    return str(image.get_attribute("src")).rpartition("/")[2]


def soon(page: Page, condition: Callable[[], bool]) -> bool:
    """As `until`, while the page's requests go on."""
    end = time.monotonic() + 20.0
    while not condition():
        if time.monotonic() > end:
            return False
        page.wait_for_timeout(20)
    return True


def said(page: Page) -> Any:
    return expect(page.locator(".say .said"))


def press(page: Page, key: str) -> str:
    """What was judged by this key."""
    part = shown(page)
    page.keyboard.press(key)
    expect(page.locator(f'.stage img[src$="{part}"]')).to_have_count(0)
    return part


def test_an_engineer_changes_the_sampling_with_a_reason_and_others_see_it(
    plant: Plant, browser: Browser
) -> None:
    with Watched(browser, plant, "engineer", viewport=PANEL, locale="en") as watched:
        page = watched.open("/review")
        page.keyboard.press("p")
        page.fill("#sampling-rejected", "100")
        page.fill("#sampling-band", "0.02")
        page.get_by_role("button", name="Save").click()
        assert not policy_path(plant.folder / "reviews.db").exists(), "no change without a reason"
        page.fill("#sampling-why", "a new lot")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved")).to_be_visible()
        assert watched.errors == []
    policy = read_toml(policy_path(plant.folder / "reviews.db"), Policy)
    assert (policy.rates.rejected, policy.band, policy.rates.passed) == (1.0, 0.02, 0.01)
    row = plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"][0]
    assert (row["what"], row["who"], row["why"]) == ("change sampling", "engineer", "a new lot")
    assert (row["old"], row["new"]) == ("rejected 0.05, band 0.05", "rejected 1, band 0.02")
    old = {"was": Policy().model_dump(), "now": policy.model_dump(), "why": "from an old page"}
    answer = plant.clients["admin"].ask("POST", "/api/stations/test/sampling", old)
    assert (answer.status, answer.json()["error"]) == (409, "changed_meanwhile")
    with Watched(browser, plant, "operator", viewport=PANEL, locale="en") as watched:
        page = watched.open("/review")
        page.keyboard.press("p")
        expect(page.locator("dialog[open]")).to_contain_text("100.0 %")
        assert page.locator("dialog[open] input").count() == 0
        assert watched.errors == []


def test_a_key_is_a_verdict_that_is_kept_and_can_be_taken_back(plant: Plant, desk: Watched) -> None:
    page = desk.open("/review")
    first = press(page, DARK)
    said(page).to_contain_text(": dark")
    (kept,) = reviews(plant, first)
    assert (kept.review.label, kept.review.by) == ("dark", "operator")
    expect(page.locator(".progress")).to_contain_text("1 by you")
    second = press(page, GOOD)
    assert until(lambda: len(reviews(plant, second)) == 1)
    page.keyboard.press("u")
    said(page).to_contain_text("Taken back")
    assert shown(page) == second
    assert reviews(plant, second)[0].undone is not None
    press(page, DARK)
    assert until(lambda: [each.review.label for each in reviews(plant, second)] == ["good", "dark"])
    page.reload()  # what was said before can be taken back all the same
    page.wait_for_selector("body[data-ready]")
    shown(page)
    page.keyboard.press("u")
    said(page).to_contain_text("Taken back")
    assert shown(page) == second
    rows = plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"]
    assert rows[0]["what"].startswith("undo review ")
    assert any(row["what"].startswith("review ") and (row["new"] or "").endswith(": good")
               and row["who"] == "operator" for row in rows)  # fmt: skip
    assert desk.errors == []


def test_the_next_picture_is_there_before_it_is_needed(desk: Watched) -> None:
    page = desk.open("/review")
    shown(page)
    # three pictures more are there, and no more come
    page.wait_for_function(
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('/pictures/')"
        " && e.responseEnd > 0).length >= 4"
    )
    page.route("**/pictures/**", lambda route: route.abort())
    for _ in range(3):
        press(page, "s")
        expect(page.locator(".stage img")).to_be_visible()
    said(page).to_contain_text("is skipped")


def test_no_part_is_judged_before_its_picture_is_seen(plant: Plant, desk: Watched) -> None:
    held: list[Route] = []
    going = threading.Event()

    def hold(route: Route) -> None:
        route.continue_() if going.is_set() else held.append(route)

    desk.context.route("**/pictures/**", hold)
    before = len(reviews(plant))
    page = desk.open("/review")
    dark = page.get_by_role("button", name="dark")
    expect(dark).to_have_attribute("aria-disabled", "true")
    assert soon(page, lambda: len(held) > 0)
    page.keyboard.press(DARK)
    page.keyboard.press("0")
    dark.dispatch_event("click")
    going.set()  # more are asked for meanwhile
    for route in held:
        route.continue_()
    shown(page)
    assert len(reviews(plant)) == before
    dark.click()
    assert soon(page, lambda: len(reviews(plant)) == before + 1)


def test_who_cannot_tell_asks_for_a_second_opinion_that_does_not_see_the_first(
    plant: Plant, desk: Watched, browser: Browser
) -> None:
    page = desk.open("/review")
    part = press(page, "0")
    said(page).to_contain_text("cannot tell")
    assert reviews(plant, part)[0].review.label is None
    sample(plant, rejected=0.0)  # only what somebody has spoken of
    assert until(lambda: part in [each["result_id"] for each in waiting(plant)], 40.0)
    item = next(each for each in waiting(plant) if each["result_id"] == part)
    assert item["second"]
    assert "operator" not in str(item), "nobody is told who spoke"
    with Watched(browser, plant, "admin", viewport=PANEL, locale="en") as other:
        there = other.open("/review")
        assert shown(there) == part
        expect(there.locator(".why")).to_contain_text("What they said is not shown")
        assert "operator" not in there.locator("main").inner_text()
        there.keyboard.press(DARK)
        assert soon(there, lambda: len(reviews(plant, part)) == 2)
    assert reviews(plant, part)[1].review.opinion == 2


def test_two_people_are_shown_different_parts_and_overwrite_nothing(
    plant: Plant, desk: Watched, browser: Browser
) -> None:
    page = desk.open("/review")
    with Watched(browser, plant, "engineer", viewport=PANEL, locale="en") as other:
        there = other.open("/review")
        mine, theirs = shown(page), shown(there)
        assert mine != theirs
        held = waiting(plant)
        assert {mine, theirs}.isdisjoint(each["result_id"] for each in held)
    # a third, on the command line, is not held back; what is said later is not kept over it
    settings = str(plant.folder / "station.toml")
    assert main(["review", settings, "label", mine, "dark", "--by", "carl"]) == 0
    page.keyboard.press(GOOD)
    said(page).to_contain_text("NOT kept: somebody else judged it meanwhile")
    assert [(each.review.by, each.review.label) for each in reviews(plant, mine)] == [
        ("carl", "dark")
    ]
    assert shown(page) != mine
    path = f"/api/stations/test/reviews/{reviews(plant, mine)[0].id}/undo"
    answer = plant.clients["operator"].ask("POST", path, {"holder": DAY["holder"]})
    assert (answer.status, answer.json()["error"]) == (403, "not_yours")
    assert reviews(plant, mine)[0].undone is None


def test_an_answer_that_did_not_arrive_comes_back(plant: Plant, desk: Watched) -> None:
    page = desk.open("/review")
    part = shown(page)
    page.route("**/reviews", lambda route: route.abort())
    page.keyboard.press(DARK)
    said(page).to_contain_text("NOT kept: The server does not answer")
    assert shown(page) == part
    assert reviews(plant, part) == []
    page.unroute("**/reviews")
    press(page, DARK)
    assert soon(page, lambda: len(reviews(plant, part)) == 1)


def test_a_new_class_is_an_engineers_own_step(
    plant: Plant, desk: Watched, browser: Browser
) -> None:
    page = desk.open("/review")
    part = shown(page)
    assert page.get_by_role("button", name="New", exact=True).count() == 0
    item = waiting(plant, "engineer")[0]
    word = {"seq": item["seq"], "result_id": item["result_id"], "opinions": 0, "label": "scratch"}
    answer = plant.clients["operator"].ask("POST", "/api/stations/test/reviews", word)
    assert (answer.status, answer.json()["error"]) == (409, "unknown_class")
    assert reviews(plant, item["result_id"]) == []
    with Watched(browser, plant, "engineer", viewport=PANEL, locale="en") as other:
        there = other.open("/review")
        named = shown(there)
        assert named != part
        there.keyboard.press("n")
        there.fill("#new-class", "scratch")
        there.fill("#new-why", "lot 7")
        there.get_by_role("button", name="Name this part so").click()
        expect(there.locator(".say .said")).to_contain_text("scratch")
        assert reviews(plant, named)[0].review.label == "scratch"
        assert other.errors == []
    page = desk.open("/review")
    expect(page.locator(".classes")).to_contain_text("scratch")
    part = press(page, "4")
    assert soon(page, lambda: len(reviews(plant, part)) == 1)
    assert reviews(plant, part)[0].review.label == "scratch"
    again = {**word, "label": "Scratch", "why": "lot 8"}
    answer = plant.clients["engineer"].ask("POST", "/api/stations/test/classes", again)
    assert (answer.status, answer.json()["error"]) == (409, "class_known")


def test_a_picture_that_is_gone_is_said_and_nobody_judges_it(plant: Plant, desk: Watched) -> None:
    page = desk.open("/review")
    part = shown(page)
    (plant.folder / "images" / f"{part}.jpg").unlink()
    page.keyboard.press(DARK)
    said(page).to_contain_text("NOT kept: the picture is gone")
    assert reviews(plant, part) == []
    assert part not in {each["result_id"] for each in waiting(plant)}
    desk.context.route("**/pictures/**", lambda route: route.fulfill(status=404))
    page = desk.open("/review")
    said(page).to_contain_text("nobody can say what it shows")
    before = len(reviews(plant))
    page.keyboard.press(DARK)
    page.keyboard.press("s")
    assert len(reviews(plant)) == before


def test_a_picture_that_could_not_be_fetched_is_not_called_gone_and_comes_later(
    desk: Watched,
) -> None:
    """A server that is busy, or away, for a while: of one try, and of all the quick ones."""
    failed: list[str] = []
    enough = 0

    def fail(route: Route) -> None:
        failed.append(route.request.url)
        if len(failed) <= enough:
            route.fulfill(status=503)
        else:
            route.continue_()

    desk.context.route("**/pictures/**", fail)
    enough = 1
    shown(desk.open("/review"))
    failed, enough = [], 10_000
    page = desk.open("/review")
    expect(page.locator(".stage")).to_contain_text("the server does not answer")
    said(page).not_to_contain_text("nobody can say")
    enough = 0
    shown(page)


@pytest.mark.slow  # 3 s; the keys themselves are tested above
def test_single_keys_can_be_turned_off_and_stay_so(plant: Plant, desk: Watched) -> None:
    page = desk.open("/review")
    page.get_by_role("button", name="Single keys").click()
    page.reload()
    page.wait_for_selector("body[data-ready]")
    part = shown(page)
    page.keyboard.press(DARK)
    page.keyboard.press("s")
    assert shown(page) == part
    assert reviews(plant, part) == []
    page.get_by_role("button", name="dark").click()  # the buttons do all the same
    assert soon(page, lambda: len(reviews(plant, part)) == 1)


def test_what_is_elsewhere_off_or_all_done_is_said_in_words(plant: Plant, desk: Watched) -> None:
    page = desk.open("/review")
    expect(page.locator(".notes")).to_contain_text("far: The journal is not on this machine")
    page.select_option("#review-station", "far")
    expect(page.locator(".stage")).to_contain_text("No parts can be shown here")
    page.select_option("#review-station", "test")
    shown(page)
    plant.station.terminate()  # killed, it would take the last parts' pictures along
    plant.station.wait()
    try:
        expect(page.locator(".notes")).to_contain_text("test is silent")
        part = press(page, DARK)  # what it left can be looked at
        assert soon(page, lambda: len(reviews(plant, part)) == 1)
        path = policy_path(plant.folder / "reviews.db")
        kept = path.read_text(encoding="utf-8")
        path.write_text(kept.replace("rejected = 1.0", "rejected = 0.0"), encoding="utf-8")
        assert until(lambda: not waiting(plant, "operator"), 40.0)
        page = desk.open("/review")
        expect(page.locator(".stage")).to_contain_text("Nothing to look at")
        path.write_text(kept, encoding="utf-8")
    finally:
        plant.restart_station()


# --- camera ---


def attested() -> dict[str, Any]:
    return {
        "brightness": {"min": 60.0},
        "reference": reference_text(reduced(picture(GREY, seed=0))),
    }


def test_the_camera_page_says_what_to_do_where_there_is_no_reference(
    plant: Plant, browser: Browser
) -> None:
    with Watched(browser, plant, "viewer", viewport=PANEL, locale="en") as watched:
        page = watched.open("/camera")
        without_reference(page)
        # who may only look is told so
        assert page.get_by_role("button", name="Get picture").count() == 0
        expect(page.get_by_text("An operator may ask")).to_be_visible()
        page = watched.open("/camera?station=far")
        expect(page.locator(".compare")).to_contain_text("The recipe is not on this machine")
        assert watched.errors == []


def without_reference(page: Page) -> None:
    expect(page.locator(".compare")).to_contain_text("inspector commission station.toml")
    expect(page.locator(".figures")).to_contain_text("no limit")
    expect(page.locator(".figure", has_text="Moved")).to_contain_text("not measured")
    expect(page.locator(".compare img").first).to_be_visible()
    assert page.get_by_role("button", name="Difference").is_disabled()


def test_the_camera_is_held_against_its_reference_and_its_limits(
    plant: Plant, desk: Watched
) -> None:
    path = plant.folder / "recipe.toml"
    before = path.read_text(encoding="utf-8")
    path.write_text(f"{before}\n[attest]\n{toml(attested(), 'attest.')}", encoding="utf-8")
    try:
        page = desk.open("/camera")
        expect(page.locator(".compare img")).to_have_count(2)
        brightness = page.locator(".figure", has_text="Brightness")
        expect(brightness).to_contain_text("≥ 60.0")
        expect(brightness.locator(".spark polyline")).to_have_count(1)
        expect(brightness).to_contain_text("outside", timeout=40_000)  # a dark part comes by
        expect(brightness).not_to_contain_text("outside", timeout=40_000)
        page.keyboard.press("2")
        expect(page.locator(".compare canvas")).to_be_visible()
        expect(page.locator(".words")).to_contain_text("grey levels apart")
        page.keyboard.press("3")
        top = page.locator(".layers.under")
        expect(top).to_have_count(1)
        expect(top).to_have_count(0)
        page.keyboard.press("4")
        page.locator("input[type=range]").fill("20")
        expect(page.locator(".layers img").last).to_have_css("opacity", "0.2")
        assert desk.errors == []
    finally:
        path.write_text(before, encoding="utf-8")


def test_a_picture_is_fetched_by_a_signed_command(plant: Plant, desk: Watched) -> None:
    page = desk.open("/camera")
    expect(page.locator(".compare img").first).to_be_visible()
    page.keyboard.press("g")
    expect(page.locator(".camera .said")).to_contain_text("Picture of part")
    row = next(each for each in plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"]
               if each["what"] == "pictures of the camera")  # fmt: skip
    assert (row["who"], row["station"]) == ("operator", "test")
    assert row["outcome"].startswith("done")
    theirs = plant.clients["engineer"].ask("GET", "/api/stations/test/audit").json()["rows"]
    assert any(each["action"] == "image" and each["sender"] == "hmi" for each in theirs)
    assert desk.errors == []


def test_a_station_is_asked_for_one_picture_at_a_time_and_not_at_once_again() -> None:
    turn = Turn()
    assert turn.take()
    assert not turn.take(), "one is in flight"
    turn.give()
    assert not turn.take(), "a person needs no more than one every two seconds"
    assert until(turn.take, 30.0)
