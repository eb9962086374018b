"""A recipe changed on a station at work: taken whole between two parts, or refused in words."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.image import Region
from inspector.contract.regions import Grid, Rectangles
from inspector.contract.revision import RecipeChange, read_revisions
from inspector.contract.verdict import Limits
from inspector.runtime.reload import Reloader
from inspector.runtime.revise import Revisions
from inspector.station.cycle import Job
from inspector.station.inbox import Order
from inspector.station.recipe import FrameSize, Recipe
from inspector.station.state import Event
from tests.running import Running
from tests.runtime.test_reload import Bay
from tests.support import make_bundle, until

STRICTER = Limits(review_at=0.2, reject_at=0.6)
LOOSER = Limits(review_at=0.35, reject_at=0.7)
LEFT = Rectangles(regions=(Region(name="left", x=0, y=0, width=24, height=40),))


@pytest.fixture
def bay(tmp_path: Path) -> Iterator[Bay]:
    bay = Bay(tmp_path)
    yield bay
    bay.close()


def change(bay: Bay, **words: Any) -> RecipeChange:
    said = {"based_on": 0, "bundle": bay.first.id, "regions": None, "limits": None, "why": "test"}
    return RecipeChange.model_validate({**said, **words})


def asked(bay: Bay, reloader: Reloader, **words: Any) -> list[tuple[bool, str]]:
    """A change is asked for; what will have the answer."""
    answers: list[tuple[bool, str]] = []

    def done(taken: bool, said: str) -> None:  # noqa: FBT001 - as the loader calls it
        answers.append((taken, said))

    assert reloader.revise(change(bay, **words), "test, c-1", done)
    return answers


def revise(bay: Bay, reloader: Reloader, **words: Any) -> tuple[bool, str]:
    answers = asked(bay, reloader, **words)
    assert until(lambda: bool(answers), timeout_s=60.0)
    return answers[0]


def judged_by(bay: Bay) -> tuple[float, float, str, list[str]]:
    """Limits, whose they are, and the regions of the newest part."""
    assert bay.running is not None
    ((_, payload),) = bay.running.journal.after(bay.running.journal.last_seq() - 1, limit=1)
    result = json.loads(payload)
    limits = result["limits"]
    names = [each["name"] for each in result["regions"]]
    return limits["review_at"], limits["reject_at"], limits["source"], names


def test_a_change_is_taken_between_two_parts_and_outlives_a_restart(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.serves(bay.first)
    taken, words = revise(bay, reloader, limits=STRICTER, regions=LEFT)
    assert taken, words
    assert words == (
        "tiny, revision 1: limits: the bundle's own (review 0.3, reject 0.7) -> review 0.2, "
        "reject 0.6; regions: as the bundle was trained -> left 0,0 24x40; why: test"
    )
    assert until(lambda: judged_by(bay) == (0.2, 0.6, "recipe", ["left"]))
    assert bay.exchange.status.revision == 1
    (kept,) = read_revisions(bay.folder / "journal.db.recipes").recipes["tiny"].revisions
    assert (kept.number, kept.by, kept.why) == (1, "test, c-1", "test")
    bay.close()
    bay.start()
    assert until(lambda: judged_by(bay) == (0.2, 0.6, "recipe", ["left"]))
    assert bay.exchange.status.revision == 1


def test_a_check_changes_nothing(bay: Bay) -> None:
    reloader = bay.start()
    taken, words = revise(bay, reloader, limits=STRICTER, only_check=True)
    assert (taken, words[:20]) == (True, "would be taken: limi")
    assert bay.exchange.status.revision == 0
    assert reloader.job.recipe.limits is None
    assert not (bay.folder / "journal.db.recipes").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"based_on": 3, "limits": STRICTER}, "revision 0 of the recipe holds"),
        ({"bundle": "another", "limits": STRICTER}, "was made for bundle another"),
        ({}, "nothing would be another"),
        ({"limits": LOOSER}, "review_at 0.35 is above the bundle's 0.3"),
        (
            {"limits": Limits(review_at=1.0, reject_at=1.0), "beyond_certificate": True},
            "however it is meant: limits: they pass 2 of 2 golden defects",
        ),
        (
            {"limits": Limits(review_at=0.2, reject_at=0.6, novelty_at=1.0)},
            "measures no novelty",
        ),
        (
            {"regions": Rectangles(regions=(Region(name="r", x=40, y=0, width=9, height=9),))},
            "cannot judge the recipe's regions: the region reaches to 49x9",
        ),
        ({"regions": Grid(rows=8, columns=8, overlap=40)}, "cannot judge the recipe's regions"),
    ],
)
def test_what_may_not_be_is_refused_in_words_and_leaves_no_trace(
    bay: Bay, words: dict[str, Any], says: str
) -> None:
    bay.recipe = bay.recipe.model_copy(update={"frame": FrameSize(width=48, height=40)})
    reloader = bay.start()
    taken, said = revise(bay, reloader, **words)
    assert not taken
    assert says in said
    assert judged_by(bay)[2:] == ("bundle", ["whole"]) if bay.serves(bay.first) else False
    assert not (bay.folder / "journal.db.recipes").exists()


def test_a_machine_that_is_slow_just_now_keeps_no_stricter_limits_out(bay: Bay) -> None:
    """Other regions it does: parts would be late and rejected."""
    bay.first = make_bundle(bay.bundles, work=60)
    bay.recipe = Recipe(name="tiny", bundle=bay.first.id, deadline_ms=50)
    reloader = bay.start()
    taken, words = revise(bay, reloader, limits=STRICTER, regions=LEFT)
    assert (taken, "more than 25 ms" in words) == (False, True)
    taken, words = revise(bay, reloader, limits=STRICTER)
    assert taken, words


def test_limits_beyond_the_certificate_are_taken_where_the_change_says_so(bay: Bay) -> None:
    reloader = bay.start()
    taken, words = revise(bay, reloader, limits=LOOSER, beyond_certificate=True)
    assert taken, words
    assert until(lambda: bay.serves(bay.first) and judged_by(bay)[0] == 0.35)


def test_limits_of_the_recipe_keep_other_bundles_out_until_they_are_given_back(bay: Bay) -> None:
    reloader = bay.start()
    assert revise(bay, reloader, limits=STRICTER)[0]
    taken, words = bay.ask(reloader, bay.second.id)
    assert (taken, "give it the bundle's own limits first" in words) == (False, True)
    assert revise(bay, reloader, based_on=1)[0]
    assert bay.ask(reloader, bay.second.id)[0]
    assert bay.serves(bay.second)
    taken, words = revise(bay, reloader, based_on=2, bundle=bay.second.id, regions=LEFT)
    assert (taken, "on trial" in words) == (False, True)
    assert bay.exchange.status.on_trial


def test_a_bundle_that_was_reloaded_serves_on_when_the_recipe_changes(bay: Bay) -> None:
    reloader = bay.reloader(trial_s=0.0)
    job = reloader.prepare(bay.recipe)
    bay.run(reloader, job)
    assert bay.ask(reloader, bay.second.id)[0]
    assert revise(bay, reloader, bundle=bay.second.id, regions=LEFT)[0]
    bay.close()
    bay.start()
    assert until(lambda: bay.serves(bay.second) and judged_by(bay)[3] == ["left"])


@pytest.mark.parametrize(
    ("rewritten", "holds"),
    [
        ({"deadline_ms": 4_000}, True),
        ({"limits": Limits(review_at=0.1, reject_at=0.2)}, False),
        ({"regions": Grid(rows=2, columns=1)}, False),
    ],
)
def test_the_file_wins_again_once_a_person_wrote_other_limits_or_regions_into_it(
    bay: Bay, rewritten: dict[str, Any], *, holds: bool
) -> None:
    reloader = bay.start()
    assert revise(bay, reloader, limits=STRICTER)[0]
    revisions = Revisions(bay.folder / "journal.db.recipes")
    anew = bay.recipe.model_copy(update=rewritten)
    assert (revisions.held(anew).limits == STRICTER) is holds
    assert revisions.held(anew).deadline_ms == anew.deadline_ms
    assert (revisions.newest(anew) is not None) is holds


def test_revisions_that_cannot_be_read_stop_the_start_and_not_the_caution(bay: Bay) -> None:
    (bay.folder / "journal.db.recipes").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="move it aside and the recipe's file holds"):
        bay.reloader().prepare(bay.recipe)


def test_a_change_is_kept_whole_or_refused_where_it_cannot_be_written(bay: Bay) -> None:
    reloader = bay.start()
    (bay.folder / "journal.db.recipes.part").mkdir()
    taken, words = revise(bay, reloader, limits=STRICTER)
    assert (taken, "cannot be written" in words) == (False, True)
    assert reloader.job.recipe.limits is None


def test_a_change_that_comes_before_the_station_has_its_first_recipe_is_what_it_begins_with(
    bay: Bay,
) -> None:
    """Its order holds the job of before the change: at an autostart, a command may be quicker."""
    reloader = bay.reloader()
    job = reloader.prepare(bay.recipe)
    answers = asked(bay, reloader, limits=STRICTER)
    bay._started = reloader
    reloader.start()
    assert until(lambda: bay.exchange._waiting is not None), "it waits for the station"
    bay.running = Running(bay.folder, job, exchange=bay.exchange)
    assert until(lambda: bool(answers))
    assert answers[0][0], answers[0][1]
    assert bay.serves(bay.first)
    rows = bay.running.journal.after(0, limit=100_000)
    used = {json.loads(payload)["limits"]["review_at"] for _, payload in rows}
    assert used == {0.2}, "no part was judged by the limits of before"
    assert bay.exchange.status.revision == 1


def test_a_change_while_a_recipe_is_selected_waits_and_is_not_undone_by_it(bay: Bay) -> None:
    reloader = bay.start()
    assert bay.serves(bay.first)
    running = bay.running
    assert running is not None
    answers: list[list[tuple[bool, str]]] = []

    def ask(event: Event, job: Job | None = None) -> str:
        order = Order(event, "test", job)
        assert running.station.offer(order)
        return order.wait(20.0, 20.0).outcome

    def take(job: Job) -> bool:
        """As a select does; the loader has a change in its hands meanwhile."""
        answers.append(asked(bay, reloader, limits=STRICTER))
        assert until(reloader._requests.empty), "it has begun with it"
        return ask(Event.PREPARE_RECIPE, job) == "done"

    assert ask(Event.STOP) == "done"
    reloader.prepare(bay.recipe, take)
    assert until(lambda: bool(answers[0]))
    assert answers[0][0][0], answers[0][0][1]
    before = running.journal.last_seq()
    assert ask(Event.START_CONTINUOUS) == "done"
    assert until(lambda: running.journal.last_seq() > before)
    assert judged_by(bay)[0] == 0.2
