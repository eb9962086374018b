"""The runtime and its loader, on real models: good ones serve, every other one is refused."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image
from inspector.contract.verdict import Evaluation, Limits, judge
from inspector.runtime.loader import load_runtime, open_runtime
from inspector.runtime.onnx import OnnxRuntime
from tests.support import BRIGHT, DARK, GREY, SIZE, make_bundle, make_model, picture


def sized(brightness: int, seed: int = 0) -> Image:
    return picture(brightness, SIZE, SIZE, seed)


def test_a_batch_gives_what_each_picture_gives_alone(tmp_path: Path) -> None:
    runtime = open_runtime(make_bundle(tmp_path))
    images = [sized(value, seed) for seed, value in enumerate((GREY, DARK, BRIGHT, 70, 180) * 3)]
    together = runtime.predict(images)
    alone = [runtime.predict([image])[0] for image in images]
    again = runtime.predict(images[:2])
    for one, other in zip(together, alone, strict=True):
        assert one.label == other.label
        assert one.defect_score == pytest.approx(other.defect_score, abs=1e-6)
    assert again[1].defect_score == pytest.approx(together[1].defect_score, abs=1e-6)
    assert [each.label for each in together[:3]] == ["good", "dark", "bright"]


def test_the_defect_map_shows_where(tmp_path: Path) -> None:
    image = sized(GREY)
    image[: SIZE // 4, : SIZE // 4] = DARK
    (prediction,) = open_runtime(make_bundle(tmp_path)).predict([image])
    assert prediction.defect_map is not None
    assert prediction.defect_map[0, 0] > 0.9
    assert prediction.defect_map[1:, 1:].max() < 0.1


def test_nan_spoils_its_own_row_only(tmp_path: Path) -> None:
    runtime = open_runtime(make_bundle(tmp_path, nan_above=0.98))
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    good, nonsense = runtime.predict([sized(GREY), white])
    assert good.defect_score < 0.01
    assert math.isnan(nonsense.defect_score)
    assert judge(nonsense, runtime.limits).evaluation is Evaluation.UNDEFINED


def tinted(red: int) -> Image:
    image = sized(GREY)
    image[:, :, 2] = red
    return image


def test_a_picture_unlike_any_of_training_is_not_decidable(tmp_path: Path) -> None:
    runtime = open_runtime(make_bundle(tmp_path, novelty_at=1.0))
    grey, reddish, red = runtime.predict([sized(GREY), tinted(GREY + 20), tinted(GREY + 51)])
    assert grey.novelty == pytest.approx(0.0, abs=0.1)
    assert reddish.novelty == pytest.approx(10 * 20 / 255, abs=0.1)
    assert red.novelty == pytest.approx(10 * 51 / 255, abs=0.1)
    assert judge(grey, runtime.limits).evaluation is Evaluation.OK
    assert judge(reddish, runtime.limits).evaluation is Evaluation.OK
    assert judge(red, runtime.limits).evaluation is Evaluation.NOT_DECIDABLE


def test_a_bundle_without_novelty_measures_none(tmp_path: Path) -> None:
    runtime = open_runtime(make_bundle(tmp_path))
    (prediction,) = runtime.predict([tinted(GREY + 51)])
    assert prediction.novelty is None
    assert judge(prediction, runtime.limits).evaluation is Evaluation.OK


def test_a_graph_without_the_promised_novelty_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, novelty_at=1.0, spoil=write_model())
    with pytest.raises(BundleError, match="it has no output novelty, only probabilities"):
        load_runtime(tmp_path, bundle.id)


def test_a_golden_novelty_that_is_not_met_is_refused(tmp_path: Path) -> None:
    def tint(draft: Path) -> None:
        image = tinted(GREY + 51)  # of the same brightness but for noise, so of the same score
        cv2.imwrite(str(draft / "golden" / "good.png"), image - np.uint8(17))

    bundle = make_bundle(tmp_path, novelty_at=9.0, spoil=tint)
    with pytest.raises(
        BundleError, match=r"good\.png: differs by (1\.9|2).* from the expected novelty"
    ):
        load_runtime(tmp_path, bundle.id)


def test_pictures_the_model_cannot_take_are_a_model_error(tmp_path: Path) -> None:
    runtime = open_runtime(make_bundle(tmp_path))
    odd_ones: list[Any] = [picture(GREY, 40, 40), sized(GREY) / 255.0, sized(GREY)[:, :, 0]]
    for odd in odd_ones:
        with pytest.raises(ModelError, match="the model takes uint8"):
            runtime.predict([odd])
    with pytest.raises(ModelError, match="no image"):
        runtime.predict([])


def write_model(**shape: float) -> Callable[[Path], None]:
    return lambda draft: make_model(draft / "model.onnx", **shape)  # type: ignore[arg-type]


def no_model(draft: Path) -> None:
    (draft / "model.onnx").write_bytes(b"not a model at all")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (write_model(size=64), r"image is .*64.*expected"),
        (write_model(labels=2), r"probabilities is .*2.*expected"),
        (no_model, "onnxruntime cannot open it"),
        (write_model(nan_above=0.0), "self-test: golden/good.png: differs by nan"),
    ],
)
def test_a_model_that_is_not_the_manifests_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    bundle = make_bundle(tmp_path, spoil=spoil)
    with pytest.raises(BundleError, match=says):
        load_runtime(tmp_path, bundle.id)


def test_a_model_that_answers_otherwise_than_expected_is_refused(tmp_path: Path) -> None:
    def exchange(draft: Path) -> None:
        shutil.copy(draft / "golden" / "dark.png", draft / "golden" / "good.png")

    bundle = make_bundle(tmp_path, spoil=exchange)
    with pytest.raises(BundleError, match=r"good\.png: differs by 0\.99.* at most 0\.01"):
        load_runtime(tmp_path, bundle.id)


def test_the_largest_accepted_difference_of_the_self_test_is_kept(tmp_path: Path) -> None:
    def a_little_darker(draft: Path) -> None:
        path = str(draft / "golden" / "dark.png")
        cv2.imwrite(path, np.asarray(cv2.imread(path)) + np.uint8(2))

    same = load_runtime(tmp_path, make_bundle(tmp_path).id)
    other = load_runtime(tmp_path, make_bundle(tmp_path, spoil=a_little_darker).id)
    assert same.golden_error < 1e-6
    assert 1e-5 < other.golden_error <= 0.01


def test_a_golden_score_at_a_limit_is_no_reason_to_refuse(tmp_path: Path) -> None:
    at_the_limit = Limits(review_at=9.0e-5, reject_at=0.5)
    assert load_runtime(tmp_path, make_bundle(tmp_path, limits=at_the_limit).id)


def test_a_bundle_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    with pytest.raises(BundleError, match=rf"no such folder; there are: {bundle.id}"):
        load_runtime(tmp_path, "tiny-000000000000")


def test_more_threads_give_the_same_scores(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    one, two = OnnxRuntime(bundle, threads=1), OnnxRuntime(bundle, threads=2)
    image = sized(GREY)
    expected = one.predict([image])[0].defect_score
    assert two.predict([image])[0].defect_score == pytest.approx(expected, abs=1e-6)
