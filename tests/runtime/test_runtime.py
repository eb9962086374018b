"""The runtime and its loader, on real models: good ones serve, every other one is refused."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

from inspector.contract.errors import BundleError
from inspector.contract.image import Image
from inspector.contract.verdict import Evaluation, Limits, judge
from inspector.runtime.loader import load_runtime, open_runtime
from tests.support import GREY, SIZE, make_bundle, picture


def sized(brightness: int, seed: int = 0) -> Image:
    return picture(brightness, SIZE, SIZE, seed)


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


def test_a_model_with_weights_in_another_file_is_refused_also_where_that_lies_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beside(draft: Path) -> None:
        path = draft / "model.onnx"
        onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin")

    bundle = make_bundle(tmp_path, work=3, spoil=beside)
    monkeypatch.chdir(bundle.folder)
    with pytest.raises(BundleError, match=r"model\.onnx: onnxruntime cannot open it: .*External"):
        open_runtime(bundle)


def test_a_golden_novelty_that_is_not_met_is_refused(tmp_path: Path) -> None:
    def tint(draft: Path) -> None:
        image = tinted(GREY + 51)  # of the same brightness but for noise, so of the same score
        cv2.imwrite(str(draft / "golden" / "good.png"), image - np.uint8(17))

    bundle = make_bundle(tmp_path, novelty_at=9.0, spoil=tint)
    with pytest.raises(
        BundleError, match=r"good\.png: differs by (1\.9|2).* from the expected novelty"
    ):
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
