"""A reloaded bundle takes over between two parts, the pair of recipe and runtime at once."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from inspector.contract.verdict import Limits
from inspector.runtime.loader import open_runtime
from inspector.station.cycle import Job
from inspector.station.exchange import JobExchange
from inspector.station.inbox import Order
from inspector.station.recipe import Recipe
from inspector.station.state import Event
from tests.running import Running
from tests.support import make_bundle, until


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Job]:
    """Two of one product: what passes by the first does not by the second."""
    folder = tmp_path_factory.mktemp("bundles")
    strict = Limits(review_at=0.0, reject_at=0.0)
    bundles = make_bundle(folder), make_bundle(folder, limits=strict)
    recipe = Recipe(name="tiny", bundle=bundles[0].id, deadline_ms=5_000)
    first, second = (
        Job(recipe.model_copy(update={"bundle": each.id}), open_runtime(each)) for each in bundles
    )
    return first, second


@pytest.fixture
def running(tmp_path: Path, jobs: tuple[Job, Job]) -> Iterator[Running]:
    running = Running(tmp_path, jobs[0])
    yield running
    running.stop()


def test_every_part_is_judged_by_one_bundle_and_says_by_which(
    running: Running, jobs: tuple[Job, Job]
) -> None:
    for job in (jobs[1], jobs[0], jobs[1]):
        before = running.journal.last_seq()
        assert until(lambda: running.journal.last_seq() > before + 5)  # noqa: B023 - at once
        assert running.exchange.offer(job, timeout_s=5.0)
    before = running.journal.last_seq()
    assert until(lambda: running.journal.last_seq() > before + 5)
    results = running.results()
    first, second = jobs[0].runtime.bundle_id, jobs[1].runtime.bundle_id
    assert set(results) == {(first, "OK"), (second, "NOT_OK")}
    changes = [(a, b) for (a, _), (b, _) in itertools.pairwise(results) if a != b]
    assert changes == [(first, second), (second, first), (first, second)]


def test_a_job_of_another_recipe_is_not_taken(running: Running, jobs: tuple[Job, Job]) -> None:
    other = Job(jobs[1].recipe.model_copy(update={"name": "other"}), jobs[1].runtime)
    assert not running.exchange.offer(other, timeout_s=5.0)
    assert until(lambda: len(running.results()) > 5)
    assert {bundle for bundle, _ in running.results()} == {jobs[0].runtime.bundle_id}


def test_a_station_without_a_recipe_lets_the_next_prepare_bring_it(
    tmp_path: Path, jobs: tuple[Job, Job]
) -> None:
    running = Running(tmp_path, jobs[0], prepared=False)
    try:
        assert running.exchange.offer(jobs[1], timeout_s=5.0)
        assert running.station.message().bundle is None
    finally:
        running.stop()


def test_a_station_that_never_comes_by_takes_nothing(jobs: tuple[Job, Job]) -> None:
    exchange = JobExchange()
    assert not exchange.offer(jobs[1], timeout_s=0.05)
    assert exchange.take(jobs[0], None) is None


@pytest.mark.parametrize(("ordered", "begins_with"), [(0, 1), (2, 0)])
def test_a_station_begins_with_the_newer_of_what_it_took_and_what_its_order_brings(
    tmp_path: Path, jobs: tuple[Job, Job], ordered: int, begins_with: int
) -> None:
    running = Running(tmp_path, jobs[0], prepared=False)
    try:
        assert running.exchange.offer(replace(jobs[1], number=1), timeout_s=5.0)
        job = replace(jobs[0], number=ordered)
        for event in (Event.SELECT_AUTOMATIC, Event.PREPARE_RECIPE, Event.START_CONTINUOUS):
            assert running.station.offer(Order(event, "test", job))
        assert until(lambda: len(running.results()) > 2)
        assert {bundle for bundle, _ in running.results()} == {jobs[begins_with].runtime.bundle_id}
    finally:
        running.stop()


def test_who_offers_to_a_station_that_ends_is_not_kept_waiting(
    running: Running, jobs: tuple[Job, Job]
) -> None:
    running.stop()
    began = time.monotonic()
    assert not running.exchange.offer(jobs[1], timeout_s=30.0)
    assert time.monotonic() - began < 10.0
