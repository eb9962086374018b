"""A search as a user starts it: what is too slow is not trained, the winner becomes a bundle."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from inspector.bench_profile import measure_profile
from inspector.contract.bundle import read_bundle
from tests.training.plates import PLAN, write_class_folders
from training.cli import main
from training.cli_search import share
from training.models import macs
from training.plan import Plan, read_plan
from training.search import Goals, Study
from training.search_found import Found, Tried
from training.search_space import Entrant, Stopwatch, plan_of, space_of, untrained

TINY = PLAN.replace("resnet18", "test_resnet").replace("epochs = 3", "epochs = 1")
SPACE = '[search]\nmodels = ["test_resnet", "test_vit"]\nwidths = [32, 64]\nweights = "none"\n'


class Searched:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_class_folders(folder / "data")
        self.plan = folder / "plan.toml"
        self.plan.write_text(TINY + SPACE.replace(', "test_vit"', ""), encoding="utf-8")

    def arguments(self, out: str, *more: str) -> list[str]:
        where = ["--data", str(self.data), "--out", str(self.folder / out)]
        budgets = ["--latency-ms", "1000", "--escape", "90%", "--overkill", "99%"]
        return ["search", str(self.plan), *where, *budgets, *more]

    def found(self, out: str) -> Found:
        text = (self.folder / out / "search.json").read_text(encoding="utf-8")
        return Found.model_validate_json(text)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searched:
    return Searched(tmp_path_factory.mktemp("search"))


def test_the_smallest_that_holds_both_is_released_as_its_own_plan(
    searched: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(searched.arguments("whole")) == 0
    page, winner, bundle = (Path(line) for line in capsys.readouterr().out.split())
    found = searched.found("whole")
    assert len(found.judged) == found.space == 4
    assert found.winner is not None
    won = Entrant(found.winner.model, found.winner.width, found.winner.precision)
    assert read_plan(winner) == plan_of(read_plan(searched.plan), won)
    assert read_bundle(bundle).manifest.image.width == won.width
    assert found.verdict() in page.read_text(encoding="utf-8").replace("&amp;", "&")
    trained = list((searched.folder / "whole" / "work").glob("student-*/done.json"))
    assert len(trained) == 2  # each width once, for both precisions and for the release


def test_what_proves_the_winners_limits_did_not_choose_it(searched: Searched) -> None:
    found, split = searched.found("whole"), {}
    for path in (searched.folder / "whole" / "work").glob("split-*/split.json"):
        split = json.loads(path.read_text(encoding="utf-8"))
    assert found.goods + found.defects == len(split["validation"]) < len(split["train"])
    page = (searched.folder / "whole" / "search.html").read_text(encoding="utf-8")
    assert "Calibration and golden set were not looked at" in page


CUT = """prune = [1.0, 0.5, 0.001]
precisions = ["fp32"]
[compress]
epochs = 1
step_epochs = 1
prune = { macs = 0.9, steps = 1, multiple = 4 }
"""


def test_a_search_prunes_and_the_winners_plan_says_how(
    searched: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    space = SPACE.replace('"test_resnet", "test_vit"', '"test_efficientnet"')
    plan = searched.folder / "cut.toml"
    plan.write_text(TINY + space.replace("[32, 64]", "[32]") + CUT, encoding="utf-8")
    words = searched.arguments("cut")
    words[1] = str(plan)
    assert main(words) == 0
    page, winner, bundle = (Path(line) for line in capsys.readouterr().out.split())
    found = searched.found("cut")
    whole, half, hopeless = sorted(found.tried, key=lambda tried: -tried.prune)
    assert (whole.outcome, half.outcome, hopeless.outcome) == ("judged", "judged", "failed")
    assert half.name == "test_efficientnet 32 px fp32 pruned to 0.5"
    assert half.macs is not None
    assert whole.macs is not None
    assert 0 < half.macs <= 0.5 * whole.macs
    assert "compress.prune.macs 0.001: channels in multiples of 4 leave" in hopeless.why
    assert half.name in page.read_text(encoding="utf-8")
    won = read_plan(winner)
    assert won == plan_of(read_plan(plan), Entrant(half.model, 32, "fp32", 0.5))
    assert won.compress is not None
    assert won.compress.prune is not None
    assert won.compress.prune.target == ("macs", 0.5)
    assert read_bundle(bundle).manifest.model.architecture == "test_efficientnet + prune"
    work = searched.folder / "cut" / "work"
    # one training for both: the cut one goes on from the whole one
    assert len(list(work.glob("student-*/done.json"))) == 1
    untrained = next((searched.folder / "cut").glob("untrained-ms-*.json"))
    assert set(json.loads(untrained.read_text("utf-8"))) == {each.name for each in found.tried}


def test_a_student_is_timed_untrained_as_narrow_as_it_will_be(searched: Searched) -> None:
    plan = plan_of(read_plan(searched.plan), Entrant("test_efficientnet", 32, "fp32"))
    spec = plan.image
    whole, half, hopeless = (
        macs(untrained(plan, Entrant("test_efficientnet", 32, "fp32", share)), spec)
        for share in (1.0, 0.6, 0.001)
    )
    assert 0 < half <= 0.6 * whole
    assert hopeless == whole


def test_a_search_begun_before_there_was_pruning_goes_on() -> None:
    plan = plan_with(2)
    assert "prune" not in plan.search.model_dump()
    assert plan_of(plan, space_of(plan)[0]).compress is None


def test_what_is_too_slow_is_not_trained(
    searched: Searched, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = searched.arguments("slow")
    arguments[arguments.index("1000")] = "0.001"
    assert main(arguments) == 3
    assert "none is as quick as 0.001 ms" in capsys.readouterr().err
    assert {each.outcome for each in searched.found("slow").tried} == {"too slow"}
    assert not list((searched.folder / "slow" / "work").glob("student-*"))


def test_a_search_for_another_station_takes_its_times_from_its_profile(
    searched: Searched, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of this machine, and of one that would take a thousand times as long."""
    here = measure_profile(1, rounds=2)
    slow = here.model_copy(
        update={
            "run_ms": 1000 * here.run_ms,
            "operations": tuple(
                each.model_copy(update={"ms": 1000 * each.ms}) for each in here.operations
            ),
            "graphs": tuple(each.model_copy(update={"ms": 1000 * each.ms}) for each in here.graphs),
        }
    )
    plan = read_plan(searched.plan)
    times = [
        Stopwatch(tmp_path, plan, profile).time_all(space_of(plan), lambda some, _: some)
        for profile in (here, slow)
    ]
    for entrant, ms in times[0].items():
        assert 0.0 < ms < 100.0
        assert times[1][entrant] == pytest.approx(1000 * ms)
    file = tmp_path / "slow.json"
    file.write_text(slow.model_dump_json(by_alias=True), encoding="utf-8")
    arguments = searched.arguments("elsewhere", "--profile", str(file))
    arguments[arguments.index("1000")] = "1"
    assert main(arguments) == 3
    found = searched.found("elsewhere")
    assert {each.outcome for each in found.tried} == {"too slow"}
    assert found.timed_by == f"foretold of {here.machine.cpu}"
    file.write_text('{"schema": 1}', encoding="utf-8")
    assert main(arguments) == 78
    assert "is not what `inspector bench --profile` writes: machine" in capsys.readouterr().err


def test_killed_processes_are_resumed_and_no_student_is_judged_twice(searched: Searched) -> None:
    arguments = searched.arguments("two", "--jobs", "2", "--no-release")
    small = searched.folder / "small.toml"
    small.write_text(searched.plan.read_text("utf-8").replace("[32, 64]", "[32]"), "utf-8")
    arguments[1] = str(small)
    command = [sys.executable, "-m", "training.cli", *arguments]
    log = searched.folder / "two.log"
    with log.open("w") as file:
        first = subprocess.Popen(command, stderr=file, start_new_session=True)
        kept = searched.folder / "two" / "search.json"  # written a moment after it was said
        while first.poll() is None and not (
            kept.exists() and "holds both" in log.read_text(encoding="utf-8")
        ):
            time.sleep(0.05)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    before = searched.found("two").judged
    assert before
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = searched.found("two")
    assert [each.name for each in after.tried] == list(dict.fromkeys(t.name for t in after.tried))
    assert len(after.judged) == 2
    assert set(before) <= set(after.judged)
    alone = [word for word in arguments if word not in ("--jobs", "2", "--no-release")]
    assert main(alone) == 0  # what a helper has trained is what is released
    work = searched.folder / "two" / "work"
    assert all(path.is_symlink() for path in work.glob("student-*"))


def plan_with(models: int) -> Plan:
    names = [f"model{i:02d}" for i in range(models)]
    search = {"models": names, "widths": [64, 96, 128], "weights": "none"}
    student = {"model": "resnet18", "weights": "none", "epochs": 1, "alpha": 0.0}
    image = {"width": 128, "height": 128}
    return Plan.model_validate(
        {"name": "p", "good": ["good"], "image": image, "student": student, "search": search}
    )


def judged(entrant: Entrant, latency_ms: float, overkill: float, parameters: int = 1) -> Tried:
    return Tried(
        model=entrant.model,
        width=entrant.width,
        precision=entrant.precision,
        outcome="judged",
        latency_ms=latency_ms,
        overkill=overkill,
        parameters=parameters,
    )


def test_a_large_space_is_sampled_towards_the_budgets_and_each_student_comes_once(
    tmp_path: Path,
) -> None:
    """Wider pictures and models of low number are better; 40 of 120 may be tried."""
    plan = plan_with(20)
    study = Study(tmp_path, plan, Goals(4.5, 0.01, 0.2), "data", space_of(plan))
    seen: list[Entrant] = []
    missed: list[float] = []
    while (taken := study.next(at_most=40)) is not None:
        trial, entrant = taken
        seen.append(entrant)
        missed.append(0.04 * int(entrant.model[-2:]) + (128 - entrant.width) / 640)
        study.tell(trial, judged(entrant, 1.0 + entrant.width / 128, missed[-1]))
    assert len(seen) == len(set(seen)) == 40 < len(space_of(plan))
    by_chance = 40 * (0.04 * 9.5 + 0.05)
    assert sum(missed) < 0.85 * by_chance


def test_a_student_in_work_when_everything_died_comes_first_again(tmp_path: Path) -> None:
    plan, goals = plan_with(20), Goals(5.0, 0.01, 0.2)
    study = Study(tmp_path, plan, goals, "data", space_of(plan))
    taken = study.next(at_most=9)
    assert taken is not None
    again = Study(tmp_path, plan, goals, "data", space_of(plan))
    assert again.recover() == 1
    resumed = again.next(at_most=9)
    assert resumed is not None
    assert resumed[1] == taken[1]


def test_another_plan_goal_or_data_set_is_another_search(tmp_path: Path) -> None:
    plan, goals = plan_with(2), Goals(5.0, 0.01, 0.2)
    study = Study(tmp_path, plan, goals, "data", space_of(plan))
    taken = study.next(at_most=1)
    assert taken is not None
    study.tell(taken[0], judged(taken[1], 1.0, 0.1))

    def tried(its: Plan, goal: Goals, data: str) -> int:
        return len(Study(tmp_path, its, goal, data, space_of(its)).tried())

    assert tried(plan, goals, "data") == 1
    assert tried(plan, goals, "other data") == 0
    assert tried(plan, Goals(4.0, 0.01, 0.2), "data") == 0
    assert tried(plan_with(3), goals, "data") == 0


def found_of(*tried: Tried, **goals: Any) -> Found:
    facts = {
        "plan": "p",
        "latency_goal_ms": 2.0,
        "escape_goal": 0.01,
        "overkill_goal": 0.1,
        "defects": 50,
        "goods": 80,
        "timed_by": "this machine",
        "machine": "m",
        "code": "c",
        "space": 9,
    }
    return Found.model_validate({**facts, **goals, "tried": tried})


def test_the_front_and_the_winner_are_what_a_person_would_draw() -> None:
    a, b, c, d = (Entrant(name, 64, "fp32") for name in "abcd")
    quick, middle = judged(a, 1.0, 0.30, 5), judged(b, 1.5, 0.08, 4)
    worse, slow = judged(c, 1.8, 0.09, 3), judged(d, 3.0, 0.01, 1)
    found = found_of(slow, worse, middle, quick)
    assert found.front == (quick, middle, slow)
    assert found.winner == worse  # both budgets, fewest parameters
    wider = judged(Entrant("c", 96, "fp32"), 1.9, 0.07, 3)
    assert found_of(worse, wider).winner == wider  # of the same network: time was given, parts not
    none = found_of(slow, quick)
    assert none.winner is None
    assert "within 2 ms a 64 px fp32 comes nearest: overkill 30.00 %" in none.verdict()


@pytest.mark.parametrize(("text", "value"), [("0.5%", 0.005), ("5 %", 0.05), ("0.02", 0.02)])
def test_a_share_is_read_with_and_without_percent(text: str, value: float) -> None:
    assert share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "half", "100%", "-1%", "nan"])
def test_what_is_no_share_is_refused_in_words(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a share, as in 0\.5%"):
        share(text)


def test_a_model_twice_or_a_width_of_nothing_is_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    twice = SPACE.replace('"test_vit"', '"test_resnet"')
    plan.write_text(TINY + twice, encoding="utf-8")
    with pytest.raises(Exception, match=r"models: 'test_resnet' appears twice"):
        read_plan(plan)
