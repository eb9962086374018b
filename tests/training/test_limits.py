"""Limits chosen by risk control for the escape goals, and said with their bounds."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import beta, binom

from inspector.contract.bounds import events_allowed, upper_bound
from training.evaluate import Held
from training.limits import CURVE_POINTS_MAX, choose_limits, controlled_limit
from training.plan_quality import Quality, Severities, Severity

LABELS, GOOD = ("crack", "ok", "stain"), ("ok",)
CRACK, OK, STAIN = range(3)


def parts(good: np.ndarray, cracks: np.ndarray, stains: np.ndarray | None = None) -> Held:
    """Scores by class, each of a part of its own."""
    by_class = ((OK, good), (CRACK, cracks), (STAIN, np.zeros(0) if stains is None else stains))
    scores = np.concatenate([values for _, values in by_class])
    targets = np.concatenate([np.full(len(values), c) for c, values in by_class])
    return Held(scores, targets, LABELS, GOOD, np.arange(len(scores)))


def drawn(seed: int, good: int, defects: int) -> Held:
    rng = np.random.default_rng(seed)
    return parts(rng.beta(1, 8, good), rng.beta(6, 2, defects))


def severities(**goals: float) -> Severities:
    classes = {"critical": "crack", "minor": "stain"}
    return Severities.model_validate(
        {
            name: Severity(classes=(classes[name],), escape_rate_at_most=goal)
            for name, goal in goals.items()
        }
    )


def test_the_bound_of_the_escape_rate_meets_the_goal_with_as_little_overkill_as_it_can() -> None:
    held = drawn(1, 500, 300)
    choice = choose_limits(held, Quality(escape_rate_at_most=0.05), margin=0.0)
    review_at = choice.limits.review_at
    assert choice.basis == "certified"
    assert choice.escape.at_most <= 0.05 < upper_bound(choice.escape.events + 1, 300)
    assert choice.escape.events == int((held.scores[held.is_defect] < review_at).sum())
    assert choice.overkill.events == int((held.scores[~held.is_defect] >= review_at).sum())
    assert f"at an overkill of {choice.overkill.events}/500" in choice.sentence


def test_where_novelty_stops_parts_too_the_certificate_says_that_its_overkill_is_the_scores() -> (
    None
):
    held = drawn(1, 500, 300)
    far = held._replace(novelty=np.where(held.is_defect, 1.0, 9.0))  # all good parts are strange
    plain, strange = (choose_limits(each, Quality(), margin=0.0) for each in (held, far))
    assert f"at an overkill of {strange.overkill} by score alone; the goal" in strange.sentence
    assert "by score alone" not in plain.sentence


DRAWS = 2_000
MORE_BY_CHANCE = float(binom.ppf(0.999, DRAWS, 0.05)) / DRAWS
"""Of so many draws, if one in twenty may fail."""


def test_the_true_escape_rate_exceeds_the_goal_as_rarely_as_the_confidence_says() -> None:
    rng, goal, failed, naive = np.random.default_rng(5), 0.05, 0, 0
    for _ in range(DRAWS):
        scores = np.sort(rng.beta(6, 2, 300))
        limit = controlled_limit(scores, goal, 0.95)
        assert limit is not None
        failed += beta.cdf(limit, 6, 2) > goal
        naive += beta.cdf(scores[int(goal * 300)], 6, 2) > goal
    assert 0.02 < failed / DRAWS <= MORE_BY_CHANCE
    assert naive / DRAWS > 0.4  # what the observed rate alone would promise


def test_equal_scores_cost_no_confidence() -> None:
    rng, goal, failed = np.random.default_rng(6), 0.05, 0
    steps = np.arange(21) / 20
    below = np.concatenate([[0.0], np.cumsum(beta_steps := np.diff(beta.cdf(steps, 6, 2)))])
    assert beta_steps.sum() == pytest.approx(1.0)
    for _ in range(DRAWS):
        scores = np.sort(rng.choice(steps[1:], 300, p=beta_steps))
        limit = controlled_limit(scores, goal, 0.95)
        # P(score < the k-th step) is what the steps before it hold together
        failed += limit is not None and below[round(limit * 20) - 1] > goal
    assert failed / DRAWS <= MORE_BY_CHANCE


def test_several_goals_are_held_at_once_with_the_confidence_of_one() -> None:
    rng, failed = np.random.default_rng(7), 0
    quality = Quality(escape_rate_at_most=0.1, severity=severities(critical=0.05, minor=0.2))
    for _ in range(DRAWS):
        cracks, stains = rng.beta(7, 2, 120), rng.beta(4, 2, 120)
        goals = ((np.append(cracks, stains), 0.1), (cracks, 0.05), (stains, 0.2))
        limits = [controlled_limit(np.sort(scores), goal, 0.95) for scores, goal in goals]
        limit = min(each for each in limits if each is not None)
        crack, stain = beta.cdf(limit, 7, 2), beta.cdf(limit, 4, 2)
        failed += crack > 0.05 or stain > 0.2 or (crack + stain) / 2 > 0.1
    assert failed / DRAWS <= MORE_BY_CHANCE
    choice = choose_limits(parts(rng.beta(1, 8, 50), cracks, stains), quality, margin=0.0)
    assert min(goal.review_at for goal in choice.goals) == pytest.approx(limit)
    assert choice.limits.review_at <= limit
    assert [goal.name for goal in choice.goals] == ["all defects", "critical", "minor"]
    assert "all goals are met at once" in choice.sentence


@pytest.mark.parametrize("n", [59, 60, 150, 300, 611])
def test_as_many_escapes_are_allowed_as_the_exact_bound_allows(n: int) -> None:
    scores = np.arange(1, n + 1) / (n + 1)
    limit = controlled_limit(scores, 0.05, 0.95)
    assert limit is not None
    assert int((scores < limit).sum()) == events_allowed(n, 0.05)
    assert controlled_limit(scores[:58], 0.05, 0.95) is None


def test_too_few_defects_certify_nothing_and_say_what_to_collect() -> None:
    choice = choose_limits(drawn(2, 100, 112), Quality(escape_rate_at_most=0.01), margin=0.0)
    assert choice.basis == "uncertified"
    assert "not certifiable" in choice.sentence
    assert "299 missed-free defects needed, 112 here; collect 187 more of " in choice.sentence


def test_each_severity_needs_its_own_defects() -> None:
    rng = np.random.default_rng(3)
    held = parts(rng.beta(1, 8, 200), rng.beta(6, 2, 20), rng.beta(6, 2, 280))
    quality = Quality(escape_rate_at_most=0.05, severity=severities(critical=0.05))
    choice = choose_limits(held, quality, margin=0.0)
    assert [goal.certified for goal in choice.goals] == [True, False]
    assert choice.basis == "uncertified"
    assert "critical (crack) at most 5 %: 59 missed-free defects needed, 20 here" in choice.sentence
    assert "collect 39 more of crack and" in choice.sentence


def test_the_limits_hold_the_gravest_class_where_it_is_the_hardest() -> None:
    rng = np.random.default_rng(4)
    held = parts(rng.beta(1, 8, 200), rng.beta(3, 3, 100), rng.beta(9, 1, 400))
    plain = choose_limits(held, Quality(), margin=0.0)
    graded = choose_limits(held, Quality(severity=severities(critical=0.04)), margin=0.0)
    assert graded.limits.review_at < plain.limits.review_at
    assert graded.limits.review_at <= graded.goals[1].review_at < graded.goals[0].review_at
    assert graded.goals[1].escape.at_most <= 0.04
    assert graded.basis == "certified"


def test_overkill_to_spend_lowers_review_at_and_further_good_parts_are_stopped_as_rarely() -> None:
    rng, spent = np.random.default_rng(7), []
    further = np.random.default_rng(9).beta(1, 8, 4_000)
    quality = Quality(overkill_to_spend=0.04)
    for _ in range(200):
        held = parts(rng.beta(1, 8, 120), 0.98 + 0.02 * rng.beta(6, 2, 120))
        choice = choose_limits(held, quality, margin=0.0)
        assert choice.needed_review_at is not None
        assert choice.limits.review_at < choice.needed_review_at
        assert choice.overkill.events == 3  # (3 + 1) / 121 is at most 4 %, (4 + 1) / 121 is not
        assert choice.basis == "certified"
        spent.append((further >= choice.limits.review_at).mean())
    assert 0.025 < np.mean(spent) < 0.04
    assert "review_at is lower than the goals need: 4 % of the good parts" in choice.sentence


def test_overkill_to_spend_changes_nothing_where_the_goals_cost_as_much_or_parts_are_too_few() -> (
    None
):
    held = drawn(1, 500, 300)
    plain = choose_limits(held, Quality(escape_rate_at_most=0.01), margin=0.0)
    assert plain.overkill.rate > 0.01
    same = choose_limits(
        held, Quality(escape_rate_at_most=0.01, overkill_to_spend=0.01), margin=0.0
    )
    assert same == plain
    few = drawn(1, 40, 300)  # one of 41 is more than 2 %
    assert choose_limits(few, Quality(overkill_to_spend=0.02), margin=0.0) == choose_limits(
        few, Quality(), margin=0.0
    )


def test_parts_that_chose_something_else_guarantee_nothing() -> None:
    choice = choose_limits(drawn(1, 500, 300), Quality(), margin=0.0, chosen_on="validation")
    assert choice.basis == "uncertified"
    assert "no guarantee" in choice.sentence
    assert "split.calibration" in choice.sentence


def test_the_pictures_of_one_part_are_one_trial_and_its_least_suspicious_picture_counts() -> None:
    one = drawn(1, 100, 70)
    twice = Held(
        np.concatenate([one.scores, np.minimum(one.scores + 0.1, 1.0)]),
        np.concatenate([one.targets, one.targets]),
        LABELS,
        GOOD,
        np.concatenate([one.parts, one.parts]),
    )
    single, double = (choose_limits(held, Quality(), margin=0.0) for held in (one, twice))
    assert double.escape == single.escape
    assert double.goals[0].review_at == single.goals[0].review_at
    assert double.overkill.n == 100
    assert double.overkill.events >= single.overkill.events


def test_no_more_good_parts_are_rejected_outright_than_the_plan_allows() -> None:
    held = drawn(3, 1_000, 300)
    quality = Quality(escape_rate_at_most=0.01, reject_overkill_at_most=0.02, confidence=0.9)
    limits = choose_limits(held, quality, margin=0.0).limits
    assert limits.review_at < limits.reject_at
    rejected = held.scores[~held.is_defect] >= limits.reject_at
    assert rejected.mean() == pytest.approx(0.02, abs=0.001)


def test_the_margin_of_the_self_test_lowers_the_limit() -> None:
    held = drawn(4, 500, 300)
    exact, careful = (
        choose_limits(held, Quality(), margin=margin).limits for margin in (0.0, 0.02)
    )
    defects = held.scores[held.is_defect]
    assert defects[defects >= exact.review_at].min() - careful.review_at >= 0.02


def test_a_defect_that_can_be_stopped_for_nothing_is_stopped_whatever_the_goal_allows() -> None:
    defects = np.linspace(0.6, 0.99, 100)
    held = parts(np.linspace(0.01, 0.2, 100), defects)
    choice = choose_limits(held, Quality(escape_rate_at_most=0.1), margin=0.001)
    assert choice.goals[0].review_at > 0.6  # some of the defects may pass
    assert choice.escape.events == choice.overkill.events == 0
    assert choice.basis == "certified"
    odds = [x / (1.0 - x) for x in (0.2, choice.limits.review_at, 0.6)]
    assert odds[1] == pytest.approx(np.sqrt(odds[0] * odds[2]))


@pytest.mark.parametrize("seed", range(8))
def test_no_good_part_more_is_stopped_than_the_goal_alone_would_cost(seed: int) -> None:
    held = drawn(seed, 200, 150)
    choice = choose_limits(held, Quality(escape_rate_at_most=0.1), margin=0.0)
    ceiling, limit = choice.goals[0].review_at, choice.limits.review_at
    assert limit <= ceiling
    assert choice.overkill.events == int((held.scores[~held.is_defect] >= ceiling).sum())
    assert choice.escape.events <= int((held.scores[held.is_defect] < ceiling).sum())


@pytest.mark.parametrize("margin", [0.001, 0.02])
def test_the_margin_of_small_scores_leaves_good_parts_their_way_through(margin: float) -> None:
    """A rare defect's probability is small, whatever the model makes of it (export.prior)."""
    good, defects = np.linspace(1e-6, 2e-4, 500), np.linspace(1e-3, 5e-3, 100)
    choice = choose_limits(parts(good, defects), Quality(), margin=margin)
    assert 2e-4 < choice.limits.review_at < 1e-3
    assert choice.overkill.events == 0
    assert choice.basis == "certified"


def test_all_good_parts_may_be_rejected_outright_where_the_plan_says_so() -> None:
    held, every = drawn(3, 200, 300), Quality(reject_overkill_at_most=1.0)
    limits = choose_limits(held, every, margin=0.0).limits
    assert limits.reject_at == limits.review_at


@pytest.mark.parametrize("margin", [0.001, 0.02])
@pytest.mark.parametrize("seed", range(8))
def test_the_margin_does_not_take_the_limit_below_good_parts_that_the_goal_alone_would_spare(
    seed: int, margin: float
) -> None:
    held = drawn(seed, 200, 150)
    choice = choose_limits(held, Quality(escape_rate_at_most=0.1), margin=margin)
    good, alone = held.scores[~held.is_defect], choice.goals[0].review_at  # less its margin
    assert choice.limits.review_at <= alone
    assert choice.overkill.events == int((good >= alone).sum())


def test_scores_of_nought_and_one_have_a_limit_between_them() -> None:
    choice = choose_limits(parts(np.zeros(50), np.ones(100)), Quality(), margin=0.001)
    assert choice.limits.review_at == pytest.approx(0.5)
    assert choice.escape.events == choice.overkill.events == 0


def test_a_model_that_knows_nothing_passes_nothing_it_should_not() -> None:
    choice = choose_limits(parts(np.full(100, 0.5), np.full(100, 0.5)), Quality(), margin=0.001)
    assert choice.escape.events == 0
    assert choice.overkill.events == 100


def test_the_trade_off_runs_from_stopping_all_to_passing_all_with_exact_bounds() -> None:
    choice = choose_limits(drawn(8, 900, 400), Quality(), margin=0.0)
    points = choice.curve
    assert len(points) <= CURVE_POINTS_MAX
    assert (points[0].escapes, points[0].overkill) == (0, 900)
    assert (points[-1].escapes, points[-1].overkill) == (400, 0)
    assert choice.limits.review_at in [point.review_at for point in points]
    for point in points[::17]:
        assert point.escape_at_most == pytest.approx(upper_bound(point.escapes, 400))
    assert all(a.escapes <= b.escapes for a, b in pairwise(points))
