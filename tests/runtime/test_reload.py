"""Hot reload on a station at work: one that fits takes over, any other leaves the old one there."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.contract.variant import Wanted
from inspector.contract.verdict import Limits
from inspector.runtime.folder import POINTER, BundleSettings, point_to
from inspector.runtime.reload import Reloader
from inspector.runtime.revise import Revisions
from inspector.runtime.signature import make_keys, sign_bundle
from inspector.station.cycle import Job
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Grid, Recipe
from tests.running import Running
from tests.support import make_bundle, until

LOOK_S = 0.1


class Bay:
    """A bundles' folder, a station at work on it, and the loader between them."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.bundles = folder / "bundles"
        self.first = make_bundle(self.bundles)
        self.second = make_bundle(self.bundles, limits=Limits(review_at=0.2, reject_at=0.7))
        self.settings = BundleSettings.model_validate({"folder": self.bundles, **settings})
        self.recipe = Recipe(name="tiny", bundle=self.first.id, deadline_ms=5_000)
        self.record = folder / "journal.db.bundles"
        self.wanted: Wanted = "auto"
        self.running: Running | None = None

    def reloader(self, trial_s: float = 3_600.0) -> Reloader:
        self.exchange = JobExchange()
        return Reloader(
            self.settings,
            record=self.record,
            revisions=Revisions(self.folder / "journal.db.recipes"),
            exchange=self.exchange,
            wanted=self.wanted,
            look_s=LOOK_S,
            trial_s=trial_s,
        )

    def start(self, recipe: Recipe | None = None) -> Reloader:
        reloader = self.reloader()
        return self.run(reloader, reloader.prepare(recipe or self.recipe))

    def run(self, reloader: Reloader, job: Job) -> Reloader:
        self.running = Running(self.folder, job, exchange=self.exchange)
        self._started = reloader
        reloader.start()
        return reloader

    def ask(self, reloader: Reloader, bundle_id: str | None) -> tuple[bool, str]:
        """Ask as a command does, and wait for the answer."""
        answers: list[tuple[bool, str]] = []

        def done(taken: bool, words: str) -> None:  # noqa: FBT001 - as the loader calls it
            answers.append((taken, words))

        if bundle_id is None:
            assert reloader.rollback("test", done)
        else:
            assert reloader.offer(bundle_id, "test", done)
        assert until(lambda: bool(answers), timeout_s=60.0)
        return answers[0]

    def serves(self, bundle: Bundle) -> bool:
        assert self.running is not None
        results = self.running.results
        return until(lambda: bool(results()) and results()[-1][0] == bundle.id)

    def served(self) -> dict[str, object]:
        """What the record on disk says of the recipe."""
        found: dict[str, object] = json.loads(self.record.read_bytes())["recipes"]["tiny"]
        return found

    def die(self) -> None:
        """As a killed process: its record stays as it is now, since nobody ended a trial."""
        left = self.record.read_bytes()
        self.close()
        self.record.write_bytes(left)

    def close(self) -> None:
        if self.running is not None:
            self._started.stop()
            self.running.stop()
            self.running = None


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    bay = Bay(tmp_path)
    yield bay
    bay.close()


def test_a_bundle_asked_for_takes_over_and_rollback_brings_the_old_one_back(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.serves(bay.first)
    assert bay.ask(reloader, bay.second.id) == (True, f"bundle {bay.second.id} serves")
    assert bay.serves(bay.second)
    assert reloader.job.recipe.bundle == bay.second.id
    assert bay.exchange.status.previous == bay.first.id
    assert bay.ask(reloader, None)[0]
    assert bay.serves(bay.first)
    assert bay.exchange.status.previous == bay.second.id
    assert bay.exchange.status.loads == {"taken": 2}


def test_the_pointer_in_the_folder_is_followed_once(bay: Bay) -> None:
    reloader = bay.start()
    point_to(bay.second.folder)
    assert bay.serves(bay.second)
    assert bay.ask(reloader, None)[0]
    time.sleep(5 * LOOK_S)  # the pointer is the same, and was followed already
    assert bay.serves(bay.first)
    point_to(bay.second.folder)
    assert bay.serves(bay.second)


def test_a_bundle_half_copied_is_refused_and_loaded_once_it_is_whole(bay: Bay) -> None:
    aside = bay.second.folder.rename(bay.folder / "aside")
    bay.start()
    point_to(bay.bundles / bay.second.id)
    assert until(lambda: "no such folder" in (bay.exchange.status.refused or ""))
    shutil.copytree(aside, bay.second.folder, ignore=shutil.ignore_patterns("model.onnx"))
    assert until(lambda: "model.onnx is missing" in (bay.exchange.status.refused or ""))
    shutil.copy(aside / "model.onnx", bay.second.folder / "model.onnx")
    assert bay.serves(bay.second)
    assert until(lambda: bay.exchange.status.loads == {"refused": 2, "taken": 1})
    assert bay.exchange.status.refused is None


@pytest.mark.parametrize("text", ["", "../outside", "a" * 5_000, "nul\0", "/etc", "."])
def test_a_pointer_that_names_no_bundle_is_refused(bay: Bay, text: str) -> None:
    bay.start()
    (bay.bundles / POINTER).write_text(text)
    assert until(lambda: "is no bundle's name" in (bay.exchange.status.refused or ""))
    assert bay.serves(bay.first)


@pytest.mark.parametrize(
    ("options", "recipe", "says"),
    [
        ({"name": "other"}, {}, "is for other, what is inspected is tiny"),
        ({"nan_above": 0.0}, {}, "expected probabilities that are none"),
        ({"limits": Limits(review_at=1.0, reject_at=1.0)}, {}, "limits: they pass 2 of 2"),
        ({"work": 60}, {"deadline_ms": 50}, "more than 25 ms, half of the recipe's deadline"),
        (
            {"work": 4},
            {"deadline_ms": 60, "regions": Grid(rows=4, columns=4)},
            "16 regions.*more than 30 ms",
        ),
        ({}, {"limits": Limits(review_at=0.3, reject_at=0.7)}, "has limits of its own, made for"),
    ],
)
def test_what_does_not_suit_leaves_the_old_bundle_serving_and_says_why(
    bay: Bay, options: dict[str, object], recipe: dict[str, object], says: str
) -> None:
    candidate = make_bundle(bay.bundles, **{"name": "tiny", "notice": "n", **options})  # type: ignore[arg-type]
    reloader = bay.start(bay.recipe.model_copy(update=recipe))
    taken, words = bay.ask(reloader, candidate.id)
    assert not taken
    assert re.search(says, words), words
    assert bay.exchange.status.loads == {"refused": 1}
    assert candidate.id in (bay.exchange.status.refused or "")
    assert bay.serves(bay.first)


def test_without_a_bundle_before_there_is_no_rollback(bay: Bay) -> None:
    taken, words = bay.ask(bay.start(), None)
    assert (taken, words) == (False, "there is no bundle before this one")


def test_a_restart_goes_on_with_what_served_not_with_what_failed(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.ask(reloader, bay.second.id)[0]
    assert not bay.ask(reloader, "tiny-000000000000")[0]
    bay.close()
    again = bay.reloader()
    assert again.prepare(bay.recipe).runtime.bundle_id == bay.second.id
    assert "tiny-000000000000" in (bay.exchange.status.refused or "")
    assert bay.exchange.status.previous == bay.first.id


def test_a_process_that_dies_while_a_bundle_is_on_trial_starts_with_the_one_before(
    bay: Bay,
) -> None:
    assert bay.ask(bay.start(), bay.second.id)[0]
    bay.die()
    again = bay.reloader()
    assert again.prepare(bay.recipe).runtime.bundle_id == bay.first.id
    assert "did not end in order while it was on trial" in (bay.exchange.status.refused or "")


def test_a_recipe_selected_again_goes_on_with_the_bundle_on_trial_and_its_trial(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.ask(reloader, bay.second.id)[0]
    for _ in range(2):
        assert reloader.prepare(bay.recipe).runtime.bundle_id == bay.second.id
        status = bay.exchange.status
        assert (status.previous, status.on_trial, status.refused) == (bay.first.id, True, None)
    assert bay.served()["on_trial"] is True
    bay.die()
    assert bay.start().job.runtime.bundle_id == bay.first.id, "it died within the trial"
    assert bay.ask(bay._started, bay.second.id)[0]
    assert bay._started.prepare(bay.recipe).runtime.bundle_id == bay.second.id
    assert bay.ask(bay._started, None) == (True, f"bundle {bay.first.id} serves")


def test_a_trial_ends_in_its_time_also_where_the_recipe_was_selected_again(bay: Bay) -> None:
    reloader = bay.reloader(trial_s=0.2)
    bay.run(reloader, reloader.prepare(bay.recipe))
    assert bay.ask(reloader, bay.second.id)[0]
    reloader.prepare(bay.recipe)
    assert until(lambda: bay.served()["on_trial"] is False)
    assert bay.served()["serving"] == bay.second.id


def test_a_bundle_on_trial_that_is_damaged_by_now_gives_way_and_is_said_to_be_damaged(
    bay: Bay,
) -> None:
    reloader = bay.start()
    assert bay.ask(reloader, bay.second.id)[0]
    (bay.second.folder / "model.onnx").write_bytes(b"rot")
    assert reloader.prepare(bay.recipe).runtime.bundle_id == bay.first.id
    assert "model.onnx is damaged" in (bay.exchange.status.refused or "")
    assert not bay.exchange.status.on_trial


def test_a_bundle_is_not_to_blame_for_what_dies_after_another_recipe_took_over(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.ask(reloader, bay.second.id)[0]
    reloader.prepare(Recipe(name="other", bundle=bay.first.id, deadline_ms=5_000))
    bay.die()
    assert bay.reloader().prepare(bay.recipe).runtime.bundle_id == bay.second.id
    assert bay.exchange.status.refused is None


def test_limits_written_into_the_recipe_bring_its_own_bundle_back_and_it_is_said_why(
    bay: Bay,
) -> None:
    reloader = bay.start()
    assert bay.ask(reloader, bay.second.id)[0]
    own = bay.recipe.model_copy(update={"limits": Limits(review_at=0.1, reject_at=0.7)})
    assert reloader.prepare(own).runtime.bundle_id == bay.first.id
    words = f"{bay.second.id}: the recipe has limits of its own, made for {bay.first.id}"
    assert (bay.exchange.status.refused, bay.exchange.status.on_trial) == (words, False)


def test_a_select_that_the_station_refuses_leaves_what_is_said_to_serve(bay: Bay) -> None:
    reloader = bay.start()
    before, status, kept = reloader.job, bay.exchange.status, bay.served()
    anew = bay.recipe.model_copy(update={"bundle": bay.second.id})
    assert reloader.prepare(anew, lambda _job: False).runtime.bundle_id == bay.second.id
    assert (reloader.job, bay.exchange.status, bay.served()) == (before, status, kept)


def test_a_trial_ends_by_itself(bay: Bay) -> None:
    reloader = bay.reloader(trial_s=0.2)
    bay.running = Running(bay.folder, reloader.prepare(bay.recipe), exchange=bay.exchange)
    bay._started = reloader
    reloader.start()
    assert bay.ask(reloader, bay.second.id)[0]
    assert until(lambda: bay.served()["on_trial"] is False)
    assert bay.served()["serving"] == bay.second.id


def test_a_damaged_bundle_at_the_start_lets_the_one_before_serve(bay: Bay) -> None:
    assert bay.ask(bay.start(), bay.second.id)[0]
    bay.close()
    (bay.second.folder / "model.onnx").write_bytes(b"rot")
    assert bay.reloader().prepare(bay.recipe).runtime.bundle_id == bay.first.id
    assert "model.onnx is damaged" in (bay.exchange.status.refused or "")
    (bay.first.folder / "model.onnx").write_bytes(b"rot")
    with pytest.raises(BundleError, match=r"model.onnx is damaged"):
        bay.reloader().prepare(bay.recipe)


def test_a_recipe_that_names_another_bundle_wins_over_record_and_pointer(bay: Bay) -> None:
    point_to(bay.second.folder)
    reloader = bay.start()
    time.sleep(5 * LOOK_S)
    assert bay.serves(bay.first)  # the pointer was older than the recipe
    assert bay.ask(reloader, bay.second.id)[0]
    bay.close()
    third = make_bundle(bay.bundles, notice="third")
    newer = bay.recipe.model_copy(update={"bundle": third.id})
    assert bay.reloader().prepare(newer).runtime.bundle_id == third.id


def test_a_record_that_cannot_be_read_or_written_stops_nothing(bay: Bay) -> None:
    bay.record.write_text("{")
    assert bay.reloader().prepare(bay.recipe).runtime.bundle_id == bay.first.id
    bay.record.unlink()
    bay.record.mkdir()
    assert bay.reloader().prepare(bay.recipe).runtime.bundle_id == bay.first.id


def test_a_station_with_a_key_takes_only_what_that_key_signed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    bay = Bay(tmp_path, public_key=make_keys(ours))
    make_keys(theirs)
    with pytest.raises(BundleError, match="is not signed, and this station takes only what"):
        bay.reloader().prepare(bay.recipe)
    sign_bundle(bay.first.folder, ours)
    try:
        reloader = bay.start()
        assert "is not signed" in bay.ask(reloader, bay.second.id)[1]
        sign_bundle(bay.second.folder, theirs)
        assert "is not by the key" in bay.ask(reloader, bay.second.id)[1]
        sign_bundle(bay.second.folder, ours)
        assert bay.ask(reloader, bay.second.id)[0]
    finally:
        bay.close()


def test_a_key_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    settings = BundleSettings(folder=tmp_path, public_key=tmp_path / "none.pub")
    with pytest.raises(ConfigError, match=r"none\.pub: No such file"):
        Reloader(
            settings,
            record=tmp_path / "record",
            revisions=Revisions(tmp_path / "recipes"),
            exchange=JobExchange(),
        )
