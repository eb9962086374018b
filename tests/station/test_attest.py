"""What is measured of a frame, with figures worked out by hand or held against a known change."""

import math

import cv2
import numpy as np
import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.image import Image
from inspector.contract.strict import parse
from inspector.landmarks import landmarks
from inspector.station.attest import attest, figures, reduced, same_pixels
from inspector.station.attest_rule import (
    FIGURES,
    Attest,
    Range,
    View,
    reference_of,
    reference_text,
)
from inspector.station.recipe import Recipe


def scene(seed: int, noise: float = 2.0) -> Image:
    """A plate with its own texture on a fixture: edges, corners, and a sensor's noise."""
    random = np.random.default_rng(seed)
    image = np.full((270, 480, 3), (40, 45, 50), np.float32)
    texture = cv2.resize(random.normal(0, 12, (12, 20)), (300, 170), interpolation=cv2.INTER_CUBIC)
    image[45:215, 90:390] = np.array((140, 150, 170)) + texture[:, :, None]
    for x, y in ((60, 40), (430, 60), (70, 240)):
        cv2.circle(image, (x, y), 9, (90, 90, 90), -1)
    image = cv2.GaussianBlur(image, (0, 0), 0.7).astype(np.float32)
    return np.clip(image + random.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def moved(image: Image, x: float = 0, y: float = 0, degrees: float = 0) -> Image:
    matrix = cv2.getRotationMatrix2D((240, 135), degrees, 1.0)
    matrix[:, 2] += np.array((x, y))
    out = cv2.warpAffine(image, matrix, (480, 270), borderMode=cv2.BORDER_REPLICATE)
    return out.astype(np.uint8)


def flat(brightness: int) -> Image:
    return np.full((40, 48, 3), brightness, np.uint8)


GOOD = [reduced(scene(seed)) for seed in range(20, 40)]
REFERENCE = np.median(np.stack(GOOD), axis=0).astype(np.float32)
VIEW = View(REFERENCE, landmarks(GOOD, REFERENCE))


def test_light_is_measured_as_a_person_would_work_it_out() -> None:
    image = flat(100)
    image[:10] = 0
    image[10:20] = 255
    image[20:30] = (10, 20, 60)
    found = figures(image, None)
    assert found["brightness"] == pytest.approx((0 + 255 + 30 + 100) / 4, abs=0.1)
    assert found["dark"] == found["bright"] == 0.25
    assert found["colour"] == pytest.approx(50 / 4, abs=0.1)
    assert found["cast"] == pytest.approx(50 / 4, abs=0.1)


@pytest.mark.parametrize("brightness", [0, 128, 255])
def test_a_flat_picture_is_blank_and_has_no_edges(brightness: int) -> None:
    found = figures(flat(brightness), None)
    assert (found["blank"], found["sharpness"], found["detail"]) == (1.0, 0.0, 0.0)


def test_a_step_is_as_much_steeper_than_blurred_as_the_gaussian_says() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[:30, :30] = image[30:, 30:] = 200  # an edge in every row and column
    # over two pixels a step blurred by sigma rises by erf(1 / (sigma * sqrt 2))
    blurred = cv2.GaussianBlur(image, (0, 0), 1.5).astype(np.uint8)
    assert figures(image, None)["sharpness"] == pytest.approx(1 / 0.383, rel=0.03)
    together = (2.0**2 + 1.5**2) ** 0.5
    expected = 0.495 / 0.311  # erf(1/(1.5*sqrt 2)), erf(1/(2.5*sqrt 2))
    assert together == 2.5
    assert figures(blurred, None)["sharpness"] == pytest.approx(expected, rel=0.05)


def test_a_blur_is_seen_also_where_the_sensor_adds_its_noise_afterwards() -> None:
    random = np.random.default_rng(3)
    good = min(figures(scene(seed), None)["sharpness"] for seed in range(5))
    for sigma in (2, 4):
        soft = cv2.GaussianBlur(scene(9), (0, 0), sigma).astype(np.float32)
        noisy = np.clip(soft + random.normal(0, 2, soft.shape), 0, 255).astype(np.uint8)
        assert figures(noisy, None)["sharpness"] < 0.8 * good


@pytest.mark.parametrize(("x", "y"), [(10, 0), (0, 10), (-25, 0), (0, -17), (3.5, 0)])
def test_a_shift_is_told_in_pixels_of_the_frame(x: float, y: float) -> None:
    found = figures(moved(scene(1), x, y), VIEW)
    assert found["shift_px"] == pytest.approx(np.hypot(x, y), abs=1.5)
    assert found["match"] > 0.5


def test_parts_with_their_own_texture_in_the_right_place_do_not_move() -> None:
    for seed in range(1, 12):
        found = figures(scene(seed), VIEW)
        assert found["shift_px"] < 1.5
        assert found["match"] > 0.9


@pytest.mark.parametrize("degrees", [3, 5, 90])
def test_a_turned_picture_moves_its_landmarks(degrees: float) -> None:
    assert figures(moved(scene(1), degrees=degrees), VIEW)["shift_px"] > 3.0


def test_a_torn_frame_is_seen() -> None:
    rolled = scene(1)
    rolled[135:] = np.roll(rolled[135:], 60, axis=1)
    assert figures(rolled, VIEW)["match"] < 0.7
    for fill in (0, 128):
        half = scene(1)
        half[135:] = fill
        assert figures(half, VIEW)["blank"] == pytest.approx(0.5, abs=0.02)
    repeated = scene(1)
    repeated[135:] = repeated[134]
    assert figures(repeated, None)["blank"] == pytest.approx(0.5, abs=0.02)
    assert figures(scene(1), None)["blank"] == 0.0


def test_swapped_channels_and_grey_are_other_colours() -> None:
    image = scene(1)
    swapped = np.ascontiguousarray(image[:, :, ::-1])
    assert figures(image, None)["cast"] == pytest.approx(-figures(swapped, None)["cast"])
    assert figures(image, None)["cast"] > 10
    grey = np.repeat(image[:, :, 1:2], 3, axis=2)
    assert figures(grey, None)["colour"] == 0.0


def test_a_frame_outside_a_limit_is_faulted_with_figure_and_limit() -> None:
    rule = Attest(sharpness=Range(min=20.0), brightness=Range(min=10.0, max=60.0))
    attested = attest(scene(1), rule)
    assert attested.fault is not None
    assert attested.fault.startswith("sharpness 2.")
    assert attested.fault.endswith(" is below 20")
    bright = attest(scene(1), Attest(brightness=Range(max=60.0)))
    assert bright.fault is not None
    assert bright.fault.endswith("is above 60")
    assert attest(scene(1), Attest(sharpness=Range(min=1.0))).fault is None
    assert attest(scene(1), None).fault is None


def test_another_form_than_the_reference_is_a_fault() -> None:
    rule = Attest(
        shift_px=Range(max=5.0), reference=reference_text(REFERENCE), landmarks=VIEW.landmarks
    )
    fault = attest(np.ascontiguousarray(scene(1)[:200]), rule).fault
    assert fault == "the picture reduces to 240x100, the reference is 240x135"
    assert attest(scene(1), rule).fault is None


def test_what_cannot_be_measured_is_outside_its_limits() -> None:
    fault = attest(flat(128)[:8, :8], Attest(sharpness=Range(min=0.1))).fault
    assert fault == "sharpness cannot be measured in this picture"
    assert Range(min=0.0).broken_by(float("nan")) is not None
    assert Range(max=0.0).broken_by(float("nan")) is not None


def test_figures_have_the_names_that_limits_have() -> None:
    assert set(figures(scene(1), VIEW)) == set(FIGURES)


def test_equal_pixels_are_frozen_and_one_other_is_not() -> None:
    image, other = scene(1), scene(1)
    assert same_pixels(image, other)
    other[-1, -1, 2] ^= 1
    assert not same_pixels(image, other)
    assert not same_pixels(image, image[:-1])


def test_a_reference_survives_the_way_through_a_recipe() -> None:
    again = reference_of(reference_text(REFERENCE))
    assert float(np.abs(again - REFERENCE).mean()) < 2.0


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"sharpness": {}}, "attest.sharpness: needs min, max or both"),
        ({"dark": {"min": 2, "max": 1}}, "min 2 must not be above max 1"),
        ({"sharpnes": {"min": 1}}, "is not a key here; known keys: blank, bright"),
        ({"shift_px": {"max": 4}}, "shift_px and match need a reference and landmarks"),
        (
            {"reference": reference_text(REFERENCE), "landmarks": [[230, 5]]},
            "landmarks: 230, 5 is not in the reference of 240x135",
        ),
        ({"reference": "?"}, "reference: is not base64"),
        ({"reference": "aGVsbG8="}, "reference: is not a picture"),
        ({"brightness": {"min": float("nan")}}, "attest.brightness.min"),
    ],
)
def test_a_fault_in_the_limits_is_said_in_words(table: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse(Recipe, {"name": "r", "bundle": "b", "attest": table}, "recipe.toml")


@pytest.mark.parametrize(
    ("limits", "value", "used"),
    [
        (Range(min=10.0, max=30.0), 20.0, 0.0),
        (Range(min=10.0, max=30.0), 10.0, 1.0),
        (Range(min=-4.0, max=4.0), 6.0, 1.5),
        (Range(min=5.0, max=5.0), 5.0, 1.0),
        (Range(min=0.6), 0.8, 0.75),
        (Range(min=0.6), 0.3, 2.0),
        (Range(min=0.6), -0.1, math.inf),
        (Range(min=-2.0), -1.0, 0.5),
        (Range(min=-2.0), 3.0, 0.0),
        (Range(max=0.02), 0.01, 0.5),
        (Range(max=0.0), 0.0, 1.0),
        (Range(max=0.0), 0.1, math.inf),
        (Range(max=5.0), math.nan, math.inf),
    ],
)
def test_a_figure_says_how_near_its_limit_it_is_and_above_one_it_is_broken(
    limits: Range, value: float, used: float
) -> None:
    assert limits.used_by(value) == pytest.approx(used)
    assert (limits.broken_by(value) is not None) == (used > 1.0)
