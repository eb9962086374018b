"""One suite for every runtime: real models, good and bad, slow and endless, in each library."""

import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ModelError
from inspector.contract.image import Image
from inspector.contract.sums import sums_of
from inspector.contract.verdict import Evaluation, judge
from inspector.runtime.loader import find_bundle, new_runtime, open_runtime
from inspector.runtime.model import ModelRuntime
from inspector.runtime.settings import Kind, RuntimeSettings
from tests.support import (
    BRIGHT,
    DARK,
    ENDLESS,
    GREY,
    SIZE,
    make_bundle,
    make_model,
    picture,
    until,
)

KINDS: tuple[Kind, ...] = ("onnxruntime", "openvino")
WHITE = np.full((SIZE, SIZE, 3), 255, np.uint8)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param == "openvino":
        pytest.importorskip("openvino", reason="needs the openvino extra")
    found: Kind = request.param
    return found


def opened(kind: Kind, bundle: Bundle, threads: int = 1) -> ModelRuntime:
    return open_runtime(bundle, RuntimeSettings(kind=kind, threads=threads))


def sized(brightness: int, seed: int = 0) -> Image:
    return picture(brightness, SIZE, SIZE, seed)


def test_a_batch_gives_what_each_picture_gives_alone(kind: Kind, tmp_path: Path) -> None:
    runtime = opened(kind, make_bundle(tmp_path))
    images = [sized(value, seed) for seed, value in enumerate((GREY, DARK, BRIGHT, 70, 180) * 3)]
    together = runtime.predict(images)
    alone = [runtime.predict([image])[0] for image in images]
    again = [runtime.predict(images[:n])[-1] for n in (2, 3, 4, 5, 15)]  # one after another
    for one, other in zip(together, alone, strict=True):
        assert one.label == other.label
        assert one.defect_score == pytest.approx(other.defect_score, abs=1e-6)
    for n, one in zip((2, 3, 4, 5, 15), again, strict=True):
        assert one.defect_score == pytest.approx(together[n - 1].defect_score, abs=1e-6)
    assert [each.label for each in together[:3]] == ["good", "dark", "bright"]


def test_what_it_gave_stays_when_it_is_asked_again(kind: Kind, tmp_path: Path) -> None:
    runtime = opened(kind, make_bundle(tmp_path, novelty_at=9.0))
    first = runtime.outputs([sized(GREY)])
    kept = [np.array(each) for each in first]
    runtime.outputs([sized(DARK)])
    runtime.outputs([sized(BRIGHT), sized(DARK)])
    for one, other in zip(first, kept, strict=True):
        assert np.array_equal(np.asarray(one), other)


def test_the_defect_map_shows_where(kind: Kind, tmp_path: Path) -> None:
    image = sized(GREY)
    image[: SIZE // 4, : SIZE // 4] = DARK
    (prediction,) = opened(kind, make_bundle(tmp_path)).predict([image])
    assert prediction.defect_map is not None
    assert prediction.defect_map[0, 0] > 0.9
    assert prediction.defect_map[1:, 1:].max() < 0.1


def test_nan_spoils_its_own_row_only(kind: Kind, tmp_path: Path) -> None:
    runtime = opened(kind, make_bundle(tmp_path, nan_above=0.98))
    good, nonsense = runtime.predict([sized(GREY), WHITE])
    assert good.defect_score < 0.01
    assert math.isnan(nonsense.defect_score)
    assert judge(nonsense, runtime.limits).evaluation is Evaluation.UNDEFINED


def test_pictures_the_model_cannot_take_are_a_model_error(kind: Kind, tmp_path: Path) -> None:
    runtime = opened(kind, make_bundle(tmp_path))
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
        (no_model, "cannot open it"),
        (write_model(nan_above=0.0), "self-test: golden/good.png: differs by nan"),
    ],
)
def test_a_model_that_is_not_the_manifests_is_refused(
    kind: Kind, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    bundle = make_bundle(tmp_path, spoil=spoil)
    with pytest.raises(BundleError, match=says):
        opened(kind, bundle)


def test_a_graph_without_the_promised_novelty_is_refused(kind: Kind, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, novelty_at=1.0, spoil=write_model())
    with pytest.raises(BundleError, match="it has no output novelty, only "):
        opened(kind, bundle)


def test_a_model_that_answers_otherwise_than_expected_is_refused(
    kind: Kind, tmp_path: Path
) -> None:
    def exchange(draft: Path) -> None:
        shutil.copy(draft / "golden" / "dark.png", draft / "golden" / "good.png")

    bundle = make_bundle(tmp_path, spoil=exchange)
    with pytest.raises(BundleError, match=r"good\.png: differs by 0\.99.* at most 0\.01"):
        opened(kind, bundle)


def test_more_threads_give_the_same_scores(kind: Kind, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    one, two = opened(kind, bundle, threads=1), opened(kind, bundle, threads=2)
    expected = one.predict([sized(GREY)])[0].defect_score
    assert two.predict([sized(GREY)])[0].defect_score == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("file", ["model.onnx", "golden/good.png"])
def test_what_is_changed_after_it_was_verified_is_not_opened(
    kind: Kind, file: str, tmp_path: Path
) -> None:
    made = make_bundle(tmp_path)
    bundle = find_bundle(tmp_path, made.id)
    with (made.folder / file).open("ab") as changed:
        changed.write(b"\x32\x04evil")  # a model with a doc_string more, a picture as it was
    with pytest.raises(BundleError, match=f"{file} was changed after it had been verified"):
        open_runtime(bundle, RuntimeSettings(kind=kind))


class Asked:
    """A predict on a thread of its own, as the station's is."""

    def __init__(self, runtime: ModelRuntime, image: Image) -> None:
        self.said: list[str] = []
        self.ended_at = math.inf
        self._thread = threading.Thread(target=self._ask, args=(runtime, image), daemon=True)
        self._thread.start()

    def _ask(self, runtime: ModelRuntime, image: Image) -> None:
        try:
            runtime.predict([image])
            self.said.append("judged")
        except ModelError as error:
            self.said.append(str(error))
        self.ended_at = time.monotonic()

    def ended(self, within_s: float) -> bool:
        self._thread.join(within_s)
        return not self._thread.is_alive()


LONG = 2_000_000
"""Turns of a loop that take seconds."""


def chained(folder: Path, kind: Kind) -> ModelRuntime:
    """A model of many operators, without loops, whose run takes seconds. It was not warmed up."""
    bundle = make_bundle(folder, work=3)
    make_model(folder / "long.onnx", work=400)
    shutil.copy(folder / "long.onnx", bundle.model_path)
    bundle = replace(bundle, sums=sums_of(bundle.folder))
    return new_runtime(bundle, RuntimeSettings(kind=kind))


def test_a_run_that_takes_no_end_is_stopped_and_the_next_one_judges(
    kind: Kind, tmp_path: Path
) -> None:
    if kind == "onnxruntime":
        runtime = opened(kind, make_bundle(tmp_path, loops_above=(0.98, ENDLESS)))
    else:  # within a loop of the graph it does not look whether to stop: see the next test
        runtime = chained(tmp_path, kind)
    assert runtime.under_way() is None
    asked = Asked(runtime, WHITE)
    assert until(lambda: runtime.under_way() is not None)
    time.sleep(0.1)
    stop = runtime.under_way()
    assert stop is not None
    stop()
    stopped_at = time.monotonic()
    assert runtime.under_way() is None  # it is asked once
    assert asked.ended(30.0)
    assert asked.said == ["the model took no end and was stopped"]
    stop()  # too late for that run, and none of the next one's business
    before = time.monotonic()
    (next_one,) = runtime.predict([sized(GREY)])
    assert next_one.label == "good"
    if kind == "openvino":  # what was stopped would have taken as long as this one
        assert asked.ended_at - stopped_at < 0.5 * (time.monotonic() - before)


def test_openvino_does_not_stop_within_a_loop_and_the_part_is_not_judged(tmp_path: Path) -> None:
    """What the docstring of its runtime says; once this fails, it can say something better."""
    pytest.importorskip("openvino", reason="needs the openvino extra")
    bundle = make_bundle(tmp_path, loops_above=(0.98, LONG))
    runtime = opened("openvino", bundle)
    asked = Asked(runtime, WHITE)
    assert until(lambda: runtime.under_way() is not None)
    time.sleep(0.2)  # into the loop
    stop = runtime.under_way()
    assert stop is not None
    stop()
    assert not asked.ended(0.1)
    assert asked.ended(60.0)
    assert asked.said == ["the model took no end and was stopped"]
