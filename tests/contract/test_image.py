"""The pixels the model sees: every shape of picture comes out as the spec says, or not at all."""

import numpy as np
import pytest

from inspector.contract.image import ImageSpec, Region, cut, fit, whole
from tests.support import picture

SPEC = ImageSpec(width=64, height=48)


@pytest.mark.parametrize("fitting", ["stretch", "pad"])
@pytest.mark.parametrize("interpolation", ["area", "linear"])
@pytest.mark.parametrize("shape", [(48, 64, 3), (10, 9, 3), (300, 17, 3), (1, 1, 3), (480, 640)])
def test_any_picture_gets_the_size_of_the_spec(
    fitting: str, interpolation: str, shape: tuple[int, ...]
) -> None:
    spec = ImageSpec.model_validate(
        {"width": 64, "height": 48, "fit": fitting, "interpolation": interpolation}
    )
    fitted = fit(np.full(shape, 100, np.uint8), spec)
    assert fitted.shape == (48, 64, 3)
    assert fitted.dtype == np.uint8
    assert fitted.max() == 100


def test_padding_keeps_the_aspect_ratio_and_is_black() -> None:
    fitted = fit(np.full((64, 16, 3), 200, np.uint8), ImageSpec(width=32, height=32, fit="pad"))
    assert (fitted[:, 12:20] == 200).all()
    assert not fitted[:, :12].any()
    assert not fitted[:, 20:].any()


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    image = picture(99, width=64, height=48)
    assert np.array_equal(fit(image, SPEC), image)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((48, 64, 4), np.uint8),
        np.zeros((48, 64, 3), np.uint16),
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros(64, np.uint8),
    ],
)
def test_what_is_not_a_picture_is_refused(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match="picture"):
        fit(image, SPEC)


def test_a_region_outside_the_picture_is_refused_in_words() -> None:
    image = picture(99, width=64, height=48)
    region = Region(name="edge", x=60, y=0, width=10, height=10)
    with pytest.raises(ValueError, match="reaches to 70x10, the picture is 64x48"):
        cut(image, region)
    assert cut(image, whole(image)).shape == image.shape
