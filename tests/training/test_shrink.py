"""Sizes to which a station shrinks a picture quickly."""

import pytest

from inspector.contract.image import ImageSpec
from training.shrink import advice, fit_ms, quick_size


@pytest.mark.parametrize(
    ("picture", "plan", "quick"),
    [
        ((300, 300), (160, 160), (150, 150)),
        ((300, 300), (150, 150), None),  # it is one
        ((300, 300), (224, 224), None),  # 300 and 150 are too far
        ((300, 300), (310, 310), (300, 300)),
        ((1920, 1080), (224, 224), (240, 216)),
        ((640, 480), (224, 224), None),  # one side would do, the other not
    ],
)
def test_the_nearest_size_of_whole_pixels_is_found(
    picture: tuple[int, int], plan: tuple[int, int], quick: tuple[int, int] | None
) -> None:
    assert quick_size(*picture, ImageSpec(width=plan[0], height=plan[1])) == quick


def test_padded_pictures_of_another_shape_have_none() -> None:
    assert quick_size(300, 300, ImageSpec(width=160, height=160, fit="pad")) == (150, 150)
    assert quick_size(300, 200, ImageSpec(width=160, height=160, fit="pad")) is None


def test_whole_pixels_are_put_together_in_a_small_part_of_the_time() -> None:
    whole = fit_ms(300, 300, ImageSpec(width=150, height=150))
    assert 3.0 * whole < fit_ms(300, 300, ImageSpec(width=160, height=160))


def test_advice_names_both_sizes_and_their_times() -> None:
    found = advice([(300, 300, 90), (64, 64, 10)], ImageSpec(width=160, height=160))
    assert found is not None
    assert "150 x 150" in found
    assert "160 x 160" in found


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([], 160),
        ([(300, 300, 90)], 150),
        ([(300, 300, 40), (301, 301, 35), (302, 302, 35)], 160),  # few are of that size
        ([(64, 64, 90)], 30),  # nothing to be gained
    ],
)
def test_there_is_no_advice_where_none_is_worth_giving(
    sizes: list[tuple[int, int, int]], side: int
) -> None:
    assert advice(sizes, ImageSpec(width=side, height=side)) is None
