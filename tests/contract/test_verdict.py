"""From a score to a verdict: only what is understood and below review_at passes."""

import math

import pytest

from inspector.contract.errors import ConfigError
from inspector.contract.strict import parse
from inspector.contract.verdict import Evaluation, Limits, Prediction, Verdict, judge, worst

LIMITS = Limits(review_at=0.3, reject_at=0.7)


@pytest.mark.parametrize(
    ("score", "evaluation"),
    [
        (0.0, Evaluation.OK),
        (math.nextafter(0.3, 0.0), Evaluation.OK),
        (0.3, Evaluation.NOT_DECIDABLE),
        (math.nextafter(0.7, 0.0), Evaluation.NOT_DECIDABLE),
        (0.7, Evaluation.NOT_OK),
        (1.0, Evaluation.NOT_OK),
        (-0.1, Evaluation.UNDEFINED),
        (-1e-9, Evaluation.UNDEFINED),
        (1.1, Evaluation.UNDEFINED),
        (math.nan, Evaluation.UNDEFINED),
        (math.inf, Evaluation.UNDEFINED),
        (-math.inf, Evaluation.UNDEFINED),
    ],
)
def test_a_score_gets_its_verdict_and_only_ok_passes(score: float, evaluation: Evaluation) -> None:
    verdict = judge(Prediction("good", "crack", score), LIMITS)
    assert verdict.evaluation is evaluation
    assert verdict.passes is (evaluation is Evaluation.OK)
    assert verdict.reason


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ((0.2, 0.8, None), (0.3, 0.7, None), (0.2, 0.7, None)),
        ((0.8, 0.9, 2.0), (0.1, 0.2, 3.0), (0.1, 0.2, 2.0)),
        ((0.3, 0.7, None), (0.3, 0.7, 1.5), (0.3, 0.7, 1.5)),
    ],
)
def test_the_stricter_of_two_limits_stops_what_either_stops(
    one: tuple[float, ...], other: tuple[float, ...], both: tuple[float, ...]
) -> None:
    first, second, expected = (
        Limits.model_validate(dict(zip(Limits.model_fields, each, strict=True)))
        for each in (one, other, both)
    )
    assert first.stricter(second) == second.stricter(first) == expected


@pytest.mark.parametrize(
    ("score", "novelty", "evaluation", "says"),
    [
        (0.0, math.nextafter(2.0, 0.0), Evaluation.OK, "below review_at"),
        (0.0, 2.0, Evaluation.NOT_DECIDABLE, "unlike anything seen in training: novelty 2"),
        (0.5, 2.5, Evaluation.NOT_DECIDABLE, "unlike anything seen in training"),
        (0.5, 1.9, Evaluation.NOT_DECIDABLE, "crack, in the review band"),
        (0.9, 2.5, Evaluation.NOT_OK, "crack"),
        (0.9, math.nan, Evaluation.UNDEFINED, "novelty nan is no distance"),
        (0.0, math.inf, Evaluation.UNDEFINED, "novelty inf is no distance"),
        (0.0, -0.1, Evaluation.UNDEFINED, "novelty -0.1 is no distance"),
        (math.nan, 2.5, Evaluation.UNDEFINED, "score nan is outside 0..1"),
        (0.0, None, Evaluation.UNDEFINED, "no novelty to hold to it"),
    ],
)
def test_a_part_unlike_training_is_not_decidable_and_a_sure_defect_stays_one(
    score: float, novelty: float | None, evaluation: Evaluation, says: str
) -> None:
    limits = Limits(review_at=0.3, reject_at=0.7, novelty_at=2.0)
    verdict = judge(Prediction("good", "crack", score, novelty=novelty), limits)
    assert verdict.evaluation is evaluation
    assert says in verdict.reason


def test_a_recipe_that_says_nothing_of_novelty_keeps_the_bundles_limit() -> None:
    bundle = Limits(review_at=0.3, reject_at=0.7, novelty_at=2.0)
    silent = Limits(review_at=0.1, reject_at=0.2)
    assert silent.over(bundle) == Limits(review_at=0.1, reject_at=0.2, novelty_at=2.0)
    assert silent.model_copy(update={"novelty_at": 3.0}).over(bundle).novelty_at == 3.0


@pytest.mark.parametrize("written", [0.0, -1.0, math.inf, math.nan, True, "2"])
def test_a_novelty_limit_is_a_finite_distance(written: object) -> None:
    with pytest.raises(ConfigError, match="novelty_at"):
        parse(Limits, {"review_at": 0.1, "reject_at": 0.5, "novelty_at": written}, "recipe.toml")


def test_equal_limits_leave_no_review_band() -> None:
    limits = Limits(review_at=0.5, reject_at=0.5)
    assert judge(Prediction("good", "crack", 0.5), limits).evaluation is Evaluation.NOT_OK
    assert judge(Prediction("good", "crack", 0.49), limits).evaluation is Evaluation.OK


@pytest.mark.parametrize(
    ("review_at", "reject_at"), [(0.8, 0.2), (-0.1, 0.5), (0.1, 1.1), (math.nan, 0.5)]
)
def test_limits_that_make_no_sense_are_refused(review_at: float, reject_at: float) -> None:
    with pytest.raises(ConfigError, match=r"recipe\.toml"):
        parse(Limits, {"review_at": review_at, "reject_at": reject_at}, "recipe.toml")


def verdicts(*evaluations: Evaluation) -> list[Verdict]:
    return [Verdict(each, each.name, None) for each in evaluations]


def test_the_worst_region_stands_for_the_part() -> None:
    ok, review = Evaluation.OK, Evaluation.NOT_DECIDABLE
    undefined, reject = Evaluation.UNDEFINED, Evaluation.NOT_OK
    assert worst(verdicts(ok, review, ok), [0.1, 0.5, 0.2]) == 1
    assert worst(verdicts(review, undefined), [0.5, math.nan]) == 1
    assert worst(verdicts(undefined, reject), [math.nan, 0.9]) == 1
    assert worst(verdicts(ok, ok, ok), [0.1, 0.25, 0.2]) == 1


def test_a_part_without_regions_has_no_verdict() -> None:
    with pytest.raises(ValueError, match="at least one region"):
        worst([], [])


def test_no_mixture_with_a_region_that_is_not_ok_passes() -> None:
    for bad in (Evaluation.UNDEFINED, Evaluation.NOT_OK, Evaluation.NOT_DECIDABLE):
        mixed = verdicts(Evaluation.OK, bad, Evaluation.OK)
        assert not mixed[worst(mixed, [0.0, math.nan, 0.2])].passes


@pytest.mark.parametrize("written", [True, "0.9", None])
def test_a_limit_is_a_number_and_nothing_that_could_become_one(written: object) -> None:
    with pytest.raises(ConfigError, match="reject_at"):
        parse(Limits, {"review_at": 0.5, "reject_at": written}, "recipe.toml")
