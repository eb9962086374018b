"""Where the defect is, over the picture: seen, said, hidden and missed in a real browser."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from inspector.contract.defect_map import LEAST, MIDDLE, MOST
from inspector.delivery.kept import MAP
from tests.hmi.plant import Plant, Watched, shown_state
from tests.support import until

PANEL = {"width": 1024, "height": 768}
FILLED = """(canvas) => {
  const pen = new OffscreenCanvas(canvas.width, canvas.height)
    .getContext("2d", { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const at = (x, y) => pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data[3] > 0;
  return [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]].map(([x, y]) => at(x, y));
}"""
LIES_ALIKE = """(canvas) => {
  const image = canvas.parentElement.querySelector("img");
  const [a, b] = [canvas.getBoundingClientRect(), image.getBoundingClientRect()];
  const shape = (w, h) => Math.round(100 * w / h);
  return [a.x === b.x, a.y === b.y, a.width === b.width, a.height === b.height,
    shape(canvas.width, canvas.height) === shape(image.naturalWidth, image.naturalHeight)];
}"""
expect.set_options(timeout=20_000)  # a busy machine


@pytest.fixture(scope="module", autouse=True)
def at_rest(plant: Plant) -> None:
    """The station has judged parts and rests: a page stays as it is while it is looked at."""
    admin = plant.clients["admin"]
    rejected(plant)
    asked = {"action": "stop", "confirmed": True}
    assert admin.ask("POST", "/api/stations/test/commands", asked).json()["outcome"] == "done"
    assert until(lambda: shown_state(admin) == "READY", 20.0)


@pytest.fixture
def panel(browser: Browser, plant: Plant) -> Iterator[Watched]:
    with Watched(browser, plant, "viewer", viewport=PANEL, locale="en") as watched:
        yield watched


def rejected(plant: Plant) -> dict[str, Any]:
    """A result whose picture is on the disk; not the newest, which Live shows as it was written."""

    def newest() -> list[dict[str, Any]]:
        query = "/api/stations/test/results?evaluation=NOT_OK&limit=2"
        return plant.clients["viewer"].ask("GET", query).json()["rows"]  # type: ignore[no-any-return]

    assert until(lambda: len(newest()) == 2, 40.0)
    row = newest()[1]
    assert until((plant.folder / "images" / f"{row['image']}.jpg").exists)
    return row


def draw(plant: Plant, row: dict[str, Any], grid: list[list[int]]) -> Path:
    path = plant.folder / "images" / f"{row['image']}{MAP}"
    assert cv2.imwrite(str(path), np.array(grid, np.uint8))
    return path


def detail(watched: Watched, row: dict[str, Any]) -> Page:
    page = watched.open(f"/history?seq={row['seq']}")
    expect(page.locator("dialog[open] .map-words")).to_be_visible()
    return page


def test_live_shows_where_the_last_part_not_ok_was_unlike_good_ones(panel: Watched) -> None:
    page = panel.open("/")
    card = page.locator(".part").nth(1)
    expect(card.locator("canvas.map")).to_be_visible()
    # a dark plate is dark everywhere
    expect(card.locator(".map-words")).to_contain_text(
        "100.0 % of the picture is unlike good parts"
    )
    assert card.locator("canvas.map").evaluate(FILLED) == [True] * 4
    assert card.locator("canvas.map").evaluate(LIES_ALIKE) == [True] * 5
    assert panel.errors == []


@pytest.mark.parametrize(
    ("grid", "filled", "words"),
    [
        ([[LEAST, LEAST], [MOST, LEAST]], [2], "25.0 % of the picture is unlike good parts, most "
         "of all at the bottom left"),
        ([[MIDDLE, LEAST], [0, 0]], [], "no place is unlike good parts"),
        ([[0, MOST], [0, MIDDLE + 1]], [1, 3], "100.0 %"),
    ],
)  # fmt: skip
def test_the_history_fills_and_says_what_the_file_holds(
    plant: Plant, panel: Watched, grid: list[list[int]], filled: list[int], words: str
) -> None:
    row = rejected(plant)
    draw(plant, row, grid)
    page = detail(panel, row)
    expect(page.locator("dialog .map-words")).to_contain_text(words)
    canvas = page.locator("dialog canvas.map")
    assert canvas.evaluate(FILLED) == [i in filled for i in range(4)]
    assert canvas.evaluate(LIES_ALIKE) == [True] * 5
    assert panel.errors == []


def test_a_part_without_a_map_says_so_and_nothing_fails(plant: Plant, panel: Watched) -> None:
    row = rejected(plant)
    draw(plant, row, [[MOST]]).unlink()
    page = detail(panel, row)
    expect(page.locator("dialog .map-words")).to_have_text("No defect map")
    expect(page.locator("dialog img")).to_be_visible()
    assert page.locator("dialog canvas.map, dialog .map-button").count() == 0
    assert panel.errors == []


def test_a_map_is_hidden_by_its_button_or_alt_m_on_every_page_until_it_is_wanted_again(
    plant: Plant, panel: Watched
) -> None:
    row = rejected(plant)
    draw(plant, row, [[MOST]])
    page = detail(panel, row)
    canvas, button = page.locator("dialog canvas.map"), page.locator("dialog .map-button")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    expect(canvas).to_be_hidden()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.locator("dialog img")).to_be_visible()
    other = panel.open("/")
    expect(other.locator(".part canvas.map").last).to_be_hidden()
    expect(other.locator(".part .map-button").last).to_have_attribute("aria-pressed", "false")
    other.keyboard.press("m")  # a letter alone is nobody's
    expect(other.locator(".part .map-button").last).to_have_attribute("aria-pressed", "false")
    other.keyboard.press("Alt+m")
    expect(other.locator(".part canvas.map").last).to_be_visible()
    expect(canvas).to_be_visible()
    assert panel.errors == []


@pytest.mark.parametrize(
    "name",
    ["../journal.db", "%2e%2e%2fjournal.db", ".inspector-archive", "a%00b", "x" * 300, "%2fetc"],
)
def test_a_map_is_named_by_its_result_and_by_nothing_else(plant: Plant, name: str) -> None:
    answer = plant.clients["viewer"].ask("GET", f"/api/stations/test/maps/{name}")
    assert answer.status in (204, 404, 422)
    assert answer.body == b"" or b"error" in answer.body or b"detail" in answer.body
