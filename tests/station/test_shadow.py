"""The shadow judges the same parts, and nothing it does changes a verdict or makes it wait."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.clock import SystemClock
from inspector.contract.bundle import Bundle
from inspector.contract.errors import ModelError
from inspector.contract.image import Image
from inspector.contract.shadow import Opinion, ShadowMessage
from inspector.contract.verdict import Limits, Prediction
from inspector.delivery import disagreements
from inspector.delivery.disagreements import (
    LIST,
    Disagreements,
    ShadowSettings,
    read_disagreements,
    read_tallies,
)
from inspector.runtime.loader import open_runtime
from inspector.runtime.model import ModelRuntime
from inspector.runtime.onnx import OnnxRuntime
from inspector.station.cycle import Job
from inspector.station.recipe import Recipe, Rectangle
from inspector.station.shadow import ShadowJudge
from tests.running import Running
from tests.support import DARK, GREY, make_bundle, picture, until


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle, Bundle]:
    """One that serves, one that rejects all, and one that takes 60 ms or more a part."""
    folder = tmp_path_factory.mktemp("bundles")
    strict = Limits(review_at=0.0, reject_at=0.0)
    return make_bundle(folder), make_bundle(folder, limits=strict), make_bundle(folder, work=60)


class Watched:
    """A station at work with a shadow, whose disagreements are kept as the daemon keeps them."""

    def __init__(
        self,
        folder: Path,
        serving: Bundle,
        shadow: ModelRuntime,
        queue_max: int = 4,
        images: Sequence[Image] = (),
    ) -> None:
        self.folder = folder / "shadow"
        self.sent: list[bytes] = []
        settings = ShadowSettings(bundle=shadow.bundle_id, folder=self.folder)
        self.disagreements = Disagreements(settings, self.sent.append)
        self.shadow = ShadowJudge(
            shadow,
            queue_max=queue_max,
            clock=SystemClock(),
            keep=self.disagreements.keep,
            note=self.disagreements.note,
        )
        recipe = Recipe(name="tiny", bundle=serving.id, deadline_ms=5_000)
        images = images or [picture(GREY), picture(DARK)]
        self.disagreements.start()
        self.shadow.start()
        job = Job(recipe, open_runtime(serving))
        self.running = Running(folder, job, shadow=self.shadow, images=images)

    def stop(self) -> None:
        self.running.stop()
        self.shadow.stop()
        self.disagreements.stop()


def test_a_disagreement_is_counted_kept_and_sent_and_the_verdict_stands(
    tmp_path: Path, bundles: tuple[Bundle, Bundle, Bundle]
) -> None:
    watched = Watched(tmp_path, bundles[0], open_runtime(bundles[1]))
    try:
        assert until(lambda: watched.shadow.status.judged >= 20)
    finally:
        watched.stop()
    status, results = watched.shadow.status, watched.running.results()
    assert {bundle for bundle, _ in results} == {bundles[0].id}
    assert {evaluation for _, evaluation in results} == {"OK", "NOT_OK"}
    assert status.judged + status.dropped == len(results)
    assert status.failed == 0
    # the dark ones are rejected by both, the grey ones by the shadow alone
    messages = [ShadowMessage.model_validate_json(payload) for payload in watched.sent]
    assert len(messages) == status.disagreements >= status.judged // 2 - status.dropped - 1
    assert [each.number for each in messages] == list(range(1, len(messages) + 1))
    assert {(m.serving.evaluation, m.shadow.evaluation) for m in messages} == {("OK", "NOT_OK")}
    assert all(m.serving.score == m.shadow.score for m in messages)
    lines = (watched.folder / LIST).read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [m.number for m in messages]
    assert [each.number for each in read_disagreements(watched.folder)] == [
        m.number for m in messages
    ]
    # of how many, which a folder without a disagreement would not tell
    (tally,) = read_tallies(watched.folder)
    assert (tally.serving, tally.shadow) == (bundles[0].id, bundles[1].id)
    assert (tally.judged, tally.disagreements) == (status.judged, status.disagreements)
    kept = cv2.imread(str(watched.folder / f"{messages[0].image}.jpg"))
    assert kept is not None
    assert abs(float(kept.mean()) - GREY) < 10


def test_a_shadow_looks_where_a_changed_recipe_does(
    tmp_path: Path, bundles: tuple[Bundle, Bundle, Bundle]
) -> None:
    """The same bundle twice never judges otherwise: the left is good, the whole is not."""
    half = np.hstack([picture(GREY, 8, 40), picture(DARK, 40, 40)])
    whole = Recipe(name="tiny", bundle=bundles[0].id, deadline_ms=5_000)
    left = whole.model_copy(update={"regions": Rectangle(x=0, y=0, width=8, height=40)})
    watched = Watched(tmp_path, bundles[0], open_runtime(bundles[0]), images=[half])
    try:
        assert until(lambda: watched.shadow.status.judged >= 3)
        assert watched.running.exchange.offer(Job(left, open_runtime(bundles[0])), 20.0)
        assert until(lambda: watched.running.results()[-1][1] == "OK")
        judged = watched.shadow.status.judged
        assert until(lambda: watched.shadow.status.judged > judged + 20)
    finally:
        watched.stop()
    assert {evaluation for _, evaluation in watched.running.results()} == {"OK", "NOT_OK"}
    assert watched.shadow.status.disagreements == 0


def test_a_slow_shadow_drops_parts_and_delays_none(
    tmp_path: Path, bundles: tuple[Bundle, Bundle, Bundle]
) -> None:
    watched = Watched(tmp_path, bundles[0], open_runtime(bundles[2]), queue_max=1)
    try:
        assert until(lambda: 3 <= watched.shadow.status.judged < watched.shadow.status.dropped)
    finally:
        watched.stop()
    status = watched.shadow.status
    timed = watched.running.station.message().tally.trigger_to_verdict_ms
    assert status.dropped > status.judged
    assert status.disagreements == 0
    assert timed is not None
    assert status.judge_ms is not None
    assert timed.p50 < status.judge_ms.p50 / 2


class Fails(OnnxRuntime):
    """A model that fails on every part."""

    def predict(self, images: Sequence[Image]) -> list[Prediction]:
        raise ModelError(f"no answer for {len(images)}")


def test_a_shadow_that_fails_is_counted_and_stops_nothing(
    tmp_path: Path, bundles: tuple[Bundle, Bundle, Bundle]
) -> None:
    watched = Watched(tmp_path, bundles[0], Fails(bundles[1]))
    try:
        assert until(lambda: watched.shadow.status.failed >= 3)
        before = watched.running.journal.last_seq()
        time.sleep(0.1)
        assert watched.running.journal.last_seq() > before
    finally:
        watched.stop()
    assert watched.sent == []


def _message(number: int, part: str) -> ShadowMessage:
    opinion = Opinion(bundle="tiny-1", evaluation="OK", label="Lötstelle", score=0.1)
    return ShadowMessage(
        station="cell-01",
        boot="boot",
        number=number,
        judged=number,
        result_id=f"boot-{number}",
        seq=number,
        part=part,
        captured_at=None,
        serving=opinion,
        shadow=opinion,
        image=f"boot-{number}",
    )


def _keep(folder: Path, *messages: ShadowMessage) -> None:
    kept = Disagreements(ShadowSettings(bundle="tiny-1", folder=folder), lambda _: None)
    for message in messages:
        kept.keep(message, picture(GREY))


def test_half_a_line_costs_that_disagreement_alone_wherever_it_was_cut(tmp_path: Path) -> None:
    """As a power cut leaves the list, or a disk that had no room for the rest."""
    _keep(tmp_path, _message(1, "P-1"), _message(2, "P-2"))
    whole = (tmp_path / LIST).read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        (tmp_path / LIST).write_bytes(whole[:cut])
        found = [each.number for each in read_disagreements(tmp_path)]
        assert found == ([1, 2] if cut == len(whole) - 1 else [1])
        _keep(tmp_path, _message(3, "P-3"))
        assert [each.number for each in read_disagreements(tmp_path)] == [*found, 3]


def test_a_part_may_be_called_what_looks_like_the_end_of_a_line(tmp_path: Path) -> None:
    ids = ["A\u2028B", "A\u0085B", "A\u001cB"]
    _keep(tmp_path, *(_message(number, part) for number, part in enumerate(ids, 1)))
    assert [each.part for each in read_disagreements(tmp_path)] == ids


def test_the_list_of_disagreements_is_bounded_and_keeps_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disagreements, "LIST_BYTES_MAX", 2_000)
    _keep(tmp_path, *(_message(number, "P") for number in range(1, 31)))
    found = [each.number for each in read_disagreements(tmp_path)]
    assert found == list(range(found[0], 31))
    assert found[0] > 1
    assert sum(each.stat().st_size for each in tmp_path.glob(f"{LIST}*")) <= 4_000
