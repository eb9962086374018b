"""Recipe and bundles in a real browser: drawn, checked by the station, applied, gone back on."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from inspector.contract.bundle import Bundle
from inspector.hmi import bundles
from tests.brokers import Mosquitto
from tests.hmi.plant import SIZES, Client, Plant, Watched
from tests.hmi.test_pages import EVIL, SMALL_TARGETS, axe, violations
from tests.hmi.workshop import DEFECTS, GOOD, make_workshop
from tests.support import until

__all__ = ["axe"]
DEMO = Path(bundles.__file__).parent.parent / "demo" / "bundle"
SLOW_MS = 60_000
"""The station opens a bundle and times it, on a machine that may be busy."""


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plant, Bundle, Bundle]]:
    folder = tmp_path_factory.mktemp("workshop")
    with Mosquitto(folder, quiet=True) as broker:
        broker.start()
        plant, serving, other = make_workshop(folder, broker)
        try:
            yield plant, serving, other
        finally:
            plant.stop()


@pytest.fixture(scope="module")
def plant(workshop: tuple[Plant, Bundle, Bundle]) -> Plant:
    return workshop[0]


@pytest.fixture
def desk(browser: Browser, plant: Plant) -> Iterator[Watched]:
    with Watched(browser, plant, "engineer", viewport=SIZES["panel"], locale="en") as watched:
        yield watched


def recipe(plant: Plant) -> Any:
    return plant.clients["engineer"].ask("GET", "/api/stations/test/recipe").json()


def give_limits_back(plant: Plant) -> None:
    """As the bundle has them: others may take over then."""
    known = recipe(plant)
    if known["holds"]["limits"] is not None:
        words = {"based_on": known["revision"], "bundle": known["serving"], "regions": None,
                 "limits": None, "why": "test"}  # fmt: skip
        asked = {"change": words, "confirmed": True}
        reply = plant.clients["engineer"].ask("POST", "/api/stations/test/recipe", asked)
        assert reply.json()["outcome"] == "done"
        assert until(lambda: recipe(plant)["revision"] > known["revision"])  # the station says so


def newest(plant: Plant) -> Any:
    rows = plant.clients["engineer"].ask("GET", "/api/stations/test/results?limit=1").json()["rows"]
    return (
        plant.clients["engineer"].ask("GET", f"/api/stations/test/results/{rows[0]['seq']}").json()
    )


def drag(page: Page, box: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From and to shares of the box."""
    at = box.bounding_box()
    assert at is not None
    (x1, y1), (x2, y2) = (
        (at["x"] + x * at["width"], at["y"] + y * at["height"]) for x, y in (start, end)
    )
    page.mouse.move(x1, y1)
    page.mouse.down()
    page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    page.mouse.move(x2, y2)
    page.mouse.up()


def regions(page: Page) -> list[list[str]]:
    rows = page.locator(".regions tbody tr")
    return [
        [cell.input_value() for cell in rows.nth(i).locator("input").all()]
        for i in range(rows.count())
    ]


def confirm(page: Page, why: str) -> None:
    dialog = page.locator("dialog[open]")
    expect(dialog).to_be_visible(timeout=SLOW_MS)
    page.fill("#why", why)
    dialog.locator(".primary").click()


@pytest.mark.parametrize("path", ["/recipe", "/bundles"])
def test_both_are_accessible_with_all_they_can_show(
    browser: Browser, plant: Plant, axe: str, path: str
) -> None:
    with Watched(browser, plant, "engineer", viewport=SIZES["panel"], locale="en") as watched:
        page = watched.open(path)
        if path == "/recipe":
            page.select_option("#kind", "drawn")
            page.locator("#review_at-slider").fill("0.5")
            expect(page.locator(".draw [data-corner]")).to_have_count(4)
            # the rules of another page's list had made it one of narrow columns
            shown = page.locator("table.figures").evaluate("each => getComputedStyle(each).display")
            assert shown == "table"
        else:
            expect(page.locator(".shadow tbody tr").nth(1)).to_be_visible()
        assert violations(page, axe) == []
        assert page.evaluate(SMALL_TARGETS) == []
        reach = page.evaluate("""() => [...document.querySelectorAll(".reach")]
            .map((each) => each.getBoundingClientRect().width)""")
        assert all(each >= 40 for each in reach)
        for size in SIZES.values():
            page.set_viewport_size(ViewportSize(width=size["width"], height=size["height"]))
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (watched.errors, watched.outside) == ([], [])


def test_regions_are_drawn_moved_resized_and_deleted_by_pointer_and_by_keyboard(
    desk: Watched,
) -> None:
    page = desk.open("/recipe")
    expect(page.locator(".board img")).to_be_visible()
    page.select_option("#kind", "drawn")
    assert regions(page) == [["region-1", "5", "4", "38", "32"]]
    page.get_by_role("button", name="Delete region").click()
    assert regions(page) == []
    expect(page.locator("#kind")).to_have_value("trained")

    page.select_option("#kind", "drawn")
    page.get_by_role("button", name="Delete region").click()
    page.select_option("#kind", "drawn")
    box = page.locator(".draw")
    drag(page, page.locator(".draw [data-corner='11']"), (0.5, 0.5), (-2.0, -2.0))
    _, _, _, width, height = regions(page)[0]
    assert int(width) < 38
    assert int(height) < 32
    before = regions(page)[0]
    drag(page, box, (0.3, 0.3), (0.4, 0.3))
    moved = regions(page)[0]
    assert int(moved[1]) > int(before[1])
    assert moved[3:] == before[3:]

    chosen = page.locator(".draw [data-region='0']")
    chosen.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    by_key = regions(page)[0]
    assert (int(by_key[1]), int(by_key[4])) == (int(moved[1]) - 1, int(moved[4]) + 1)
    drag(page, box, (0.78, 0.5), (0.99, 0.95))
    assert len(regions(page)) == 2
    assert len({row[0] for row in regions(page)}) == 2
    page.keyboard.press("Delete")
    assert regions(page) == [by_key]
    field = page.locator(".regions input[data-key='width']")
    field.fill("4000")
    field.press("Tab")
    left, wide = int(regions(page)[0][1]), int(regions(page)[0][3])
    assert left + wide <= 48, "no region leaves the picture"
    assert desk.errors == []


def test_moved_limits_show_what_the_bundles_own_curve_predicts(desk: Watched) -> None:
    page = desk.open("/recipe")
    row = page.locator(".figures tr", has_text="Defects that pass").first
    good = page.locator(".figures tr", has_text="Good parts not passed").first
    for review in (0.3, 0.45, 0.8):
        page.locator("#review_at-slider").fill(str(review))
        escapes, overkill = int((review > DEFECTS).sum()), int((review <= GOOD).sum())
        said = [
            int(each.inner_text().split("/")[0])
            for each in (row.locator("td").last, good.locator("td").last)
        ]
        # of two points of the curve the worse one, each a hundredth apart at most
        assert escapes <= said[0] <= escapes + 2
        assert overkill <= said[1] <= overkill + 3
    expect(page.locator("#reject_at-slider")).to_have_value("0.8")
    expect(page.get_by_text("Looser than the bundle's own limits")).to_be_visible()
    chart = page.locator(".tradeoff")
    drag(page, chart, (0.75, 0.5), (0.4, 0.5))
    assert 0.2 < float(page.locator("#review_at-slider").input_value()) < 0.5
    page.get_by_role("button", name="The bundle's own limits").click()
    expect(page.get_by_text("Nothing would be another")).to_be_visible()
    assert desk.errors == []


def test_a_change_is_checked_by_the_station_applied_audited_and_gone_back_on(
    plant: Plant, desk: Watched
) -> None:
    page = desk.open("/recipe")
    page.select_option("#kind", "drawn")
    page.locator("#review_at-slider").fill("0.2")
    page.get_by_role("button", name="Check the change").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_be_visible(timeout=SLOW_MS)
    for text in ("0.3000", "0.2000", "as the bundle was trained", "region-1", "it would take it"):
        expect(dialog).to_contain_text(text)
    assert recipe(plant)["revision"] == 0, "looking changes nothing"
    confirm(page, EVIL)
    expect(page.locator(".line").first).to_contain_text("revision 1 holds", timeout=SLOW_MS)
    expect(page.locator(".apply .said")).to_contain_text("Done: tiny, revision 1")
    assert until(lambda: newest(plant)["result"]["limits"]["review_at"] == 0.2)
    found = newest(plant)["result"]
    assert (found["limits"]["source"], [each["name"] for each in found["regions"]]) == (
        "recipe",
        ["region-1"],
    )

    audit = plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"]
    row = next(each for each in audit if each["what"] == "command recipe")
    assert (row["who"], row["why"]) == ("engineer", EVIL)
    own = "limits the bundle's own (review 0.3, reject 0.7); regions as the bundle was trained"
    assert row["old"] == f"revision 0: {own}"
    assert row["new"].startswith("limits review 0.2, reject 0.7; regions region-1 ")
    theirs = plant.clients["engineer"].ask("GET", "/api/stations/test/audit").json()["rows"]
    assert any(each["action"] == "recipe" and "revision 1" in each["reason"] for each in theirs)

    plant.restart_station()
    expect(page.locator(".stale")).to_have_count(0, timeout=SLOW_MS)
    page.reload()
    expect(page.locator(".line").first).to_contain_text("revision 1 holds", timeout=SLOW_MS)
    page.get_by_role("button", name="Load revision 0").click()
    expect(page.get_by_text("Nothing has changed yet")).to_be_visible()
    page.get_by_role("button", name="Check the change").click()
    confirm(page, "back to what was commissioned")
    expect(page.locator(".line").first).to_contain_text("revision 2 holds", timeout=SLOW_MS)
    assert recipe(plant)["holds"]["limits"] is None
    assert page.title() == "Recipe · inspector"
    assert desk.errors == []


def test_who_is_in_the_midst_of_a_change_is_told_that_another_was_quicker(
    plant: Plant, desk: Watched
) -> None:
    page = desk.open("/recipe")
    page.locator("#review_at-slider").fill("0.11")
    known = recipe(plant)
    words = {"based_on": known["revision"], "bundle": known["serving"], "regions": None,
             "limits": {"review_at": 0.12, "reject_at": 0.7}, "why": "quicker"}  # fmt: skip
    asked = {"change": words, "confirmed": True}
    reply = plant.clients["admin"].ask("POST", "/api/stations/test/recipe", asked).json()
    assert reply["outcome"] == "done", reply
    expect(page.locator(".apply .said")).to_contain_text("changed the recipe meanwhile")
    expect(page.locator("#review_at-slider")).to_have_value("0.11")
    page.get_by_role("button", name="Discard").click()
    expect(page.locator("#review_at-slider")).to_have_value("0.12")
    expect(page.locator(".apply .said")).to_have_text("")
    give_limits_back(plant)
    assert desk.errors == []


def test_limits_beyond_the_certificate_need_a_person_who_takes_that_on(desk: Watched) -> None:
    page = desk.open("/recipe")
    page.locator("#review_at-slider").fill("0.4")
    page.get_by_role("button", name="Check the change").click()
    expect(page.locator("dialog[open]")).to_be_visible(timeout=SLOW_MS)
    page.fill("#why", "too many good parts rejected")
    page.locator("dialog[open] .primary").click()
    expect(page.locator("dialog[open]")).to_be_visible()
    assert page.evaluate("document.querySelector('#sure').validity.valueMissing")
    page.keyboard.press("Escape")
    assert desk.errors == []


def test_what_the_station_refuses_is_said_in_its_words(desk: Watched) -> None:
    page = desk.open("/recipe")
    page.locator("#review_at-slider").fill("1")
    page.get_by_role("button", name="Check the change").click()
    expect(page.locator(".apply .said")).to_contain_text("golden defects", timeout=SLOW_MS)
    assert page.locator("dialog[open]").count() == 0


def test_a_change_needs_its_second_step_and_who_came_late_is_told(plant: Plant) -> None:
    asked = plant.clients["engineer"]
    known = recipe(plant)
    change = {"based_on": known["revision"], "bundle": known["serving"], "regions": None,
              "limits": {"review_at": 0.25, "reject_at": 0.7}, "why": "test"}  # fmt: skip
    path = "/api/stations/test/recipe"
    assert asked.ask("POST", path, {"change": change}).json()["error"] == "confirm"
    late = {**change, "based_on": 99}
    reply = asked.ask("POST", path, {"change": late, "confirmed": True}).json()
    assert (reply["outcome"], "look at what holds now" in reply["reason"]) == ("refused", True)
    assert (
        asked.ask("POST", path, {"change": {**change, "why": " "}, "confirmed": True}).status == 422
    )
    assert recipe(plant)["revision"] == known["revision"]


def test_bundles_shows_what_serves_what_it_proved_here_and_what_the_shadow_says(
    workshop: tuple[Plant, Bundle, Bundle], desk: Watched
) -> None:
    _, serving, other = workshop
    page = desk.open("/bundles")
    now = page.locator(".serves")
    expect(now).to_contain_text(serving.id)
    expect(now).to_contain_text("passed when it was loaded")
    expect(page.locator(".shadow")).to_contain_text(other.id)
    disagreement = page.locator(".shadow tr", has_text="part002").first
    expect(disagreement).to_contain_text("NOT OK")
    expect(disagreement).to_contain_text("DOUBTFUL")
    disagreement.get_by_role("button").click()
    picture = page.locator("dialog[open] img")
    expect(picture).to_be_visible()
    assert until(lambda: picture.evaluate("(each) => each.naturalWidth") == 48)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Open: {other.id}").click()
    dialog = page.locator("dialog[open]")
    for text in ("3 / 90 (3.3 %)", "Every byte is as it was written", "dark"):
        expect(dialog).to_contain_text(text)
    assert dialog.locator(".thumbs img").count() == 3
    assert until(
        lambda: dialog.locator(".thumbs img").first.evaluate("(each) => each.naturalWidth") > 0
    )
    assert desk.errors == []


def test_a_report_runs_no_script_loads_nothing_and_stays_in_its_frame(
    workshop: tuple[Plant, Bundle, Bundle], desk: Watched
) -> None:
    plant, serving, _ = workshop
    page = desk.open("/bundles")
    page.get_by_role("button", name=f"Open: {serving.id}").click()
    page.get_by_role("button", name="Show the report").click()
    inside = page.frame_locator("iframe.report")
    expect(inside.get_by_role("heading", name="A report")).to_be_visible()
    sizes = "(all) => all.map((each) => [each.alt, each.naturalWidth])"
    assert inside.locator("img").evaluate_all(sizes) == [["elsewhere", 0], ["", 0], ["mine", 1]]
    path = f"/api/stations/test/bundles/{serving.id}/report"
    headers = plant.clients["engineer"].ask("GET", path).headers
    assert headers["content-security-policy"].startswith(
        "sandbox; default-src 'none'; img-src data:"
    )
    assert headers["x-content-type-options"] == "nosniff"


def test_a_bundle_is_promoted_and_rolled_back_in_two_steps_each(
    workshop: tuple[Plant, Bundle, Bundle], desk: Watched
) -> None:
    plant, serving, other = workshop
    give_limits_back(plant)
    page = desk.open("/bundles")
    page.get_by_role("button", name=f"Promote: {other.id}").click()
    dialog = page.locator("dialog[open]")
    for text in (
        serving.id,
        other.id,
        "review 0.300",
        "review 0.200",
        "As the shadow it has judged",
    ):
        expect(dialog).to_contain_text(text)
    dialog.locator(".primary").click()
    expect(dialog).to_be_visible()  # no reason, no promotion
    confirm(page, "fewer good parts rejected")
    expect(page.locator(".said").first).to_contain_text("Done", timeout=SLOW_MS)
    expect(page.locator(".serves .id")).to_have_text(other.id, timeout=SLOW_MS)
    expect(page.locator(".serves")).to_contain_text("on trial")
    assert until(lambda: newest(plant)["result"]["bundle"] == other.id)
    page.get_by_role("button", name="Roll back").click()
    confirm(page, "more doubtful parts than before")
    expect(page.locator(".serves .id")).to_have_text(serving.id, timeout=SLOW_MS)

    def told() -> dict[str, tuple[str, str, str]]:
        rows = plant.clients["engineer"].ask("GET", "/api/audit").json()["rows"]
        return {each["what"]: (each["old"], each["new"], each["why"]) for each in rows}

    assert until(lambda: "command rollback" in told())
    assert told()["command reload"] == (serving.id, other.id, "fewer good parts rejected")
    assert told()["command rollback"] == (other.id, serving.id, "more doubtful parts than before")
    assert desk.errors == []


def test_the_curve_is_found_in_a_report_that_training_wrote() -> None:
    (folder,) = DEMO.iterdir()
    curve = bundles.curve(folder)
    assert curve is not None
    assert (curve["defects"], curve["good"], curve["chosen_on"]) == (96, 185, "calibration")
    limit = bundles.read_manifest(folder).limits.review_at
    (point,) = (each for each in curve["points"] if each[0] == limit)
    assert (point[1], point[3]) == (11, 71), "as the certificate says"


ODD = {"role": "student", "choice": {"curve": [{"review_at": "0"}], "goals": [[]]}}


@pytest.mark.parametrize(
    "report",
    ["", "[]", '{"models": 3}', json.dumps({"shipped": "student", "models": [ODD]}), "[" * 100_000],
)
def test_a_report_that_says_nothing_we_know_is_no_curve(tmp_path: Path, report: str) -> None:
    (tmp_path / "report.json").write_text(report, encoding="utf-8")
    assert bundles.curve(tmp_path) is None


@pytest.mark.parametrize("name", ["..%2f..", "%2e%2e", "no-such-bundle", ".hidden", "a%00b"])
def test_a_bundle_is_named_by_its_id_and_by_nothing_else(plant: Plant, name: str) -> None:
    client: Client = plant.clients["engineer"]
    for rest in ("", "/report", "/golden/0"):
        answer = client.ask("GET", f"/api/stations/test/bundles/{name}{rest}")
        assert answer.status in (404, 422)
    assert client.ask("GET", f"/api/stations/test/shadow/pictures/{name}").status in (404, 422)


def test_a_bundle_of_pipes_holds_no_page_up_and_a_link_of_folders_leads_nowhere(
    workshop: tuple[Plant, Bundle, Bundle], tmp_path: Path
) -> None:
    _, serving, _ = workshop
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "good.png").write_bytes(b"outside")
    odd = tmp_path / "bundles" / "odd"
    odd.mkdir(parents=True)
    (odd / "SHA256SUMS").touch()
    os.mkfifo(odd / "manifest.json")
    (odd / "golden").symlink_to(tmp_path / "out")
    (row,) = bundles.listed(tmp_path / "bundles")
    assert "manifest.json" in row["trouble"]
    with pytest.raises((OSError, ValueError)):
        bundles.golden_picture(odd, serving.manifest, 0)
    (odd / "SHA256SUMS").unlink()
    os.mkfifo(odd / "SHA256SUMS")
    assert bundles.detail(odd, serving.manifest)["sha256"] == ""


def test_a_golden_picture_that_leads_out_of_its_bundle_is_not_shown(
    workshop: tuple[Plant, Bundle, Bundle], tmp_path: Path
) -> None:
    _, serving, _ = workshop
    (tmp_path / "golden").mkdir()
    (tmp_path / "golden" / "good.png").symlink_to("/etc/hostname")
    for file in ("golden/good.png", "../secret.png", "/etc/hostname", "golden/../x.png"):
        golden = [each.model_copy(update={"file": file}) for each in serving.manifest.golden]
        manifest = serving.manifest.model_copy(update={"golden": tuple(golden)})
        with pytest.raises((OSError, ValueError)):
            bundles.golden_picture(tmp_path, manifest, 0)
    with pytest.raises(ValueError, match=r"^$"):
        bundles.golden_picture(tmp_path, serving.manifest, 99)
