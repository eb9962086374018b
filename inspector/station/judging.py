"""What the model says of one image: every region judged, the worst stands for the part."""

from concurrent.futures import Executor
from dataclasses import dataclass, field, replace

from inspector.contract.defect_map import RegionMaps
from inspector.contract.errors import DeviceTimeout, FrameError, ModelError
from inspector.contract.image import Image, Overview, Region, cut, fit
from inspector.contract.result import NAMES, LimitsUsed, RegionResult
from inspector.contract.verdict import Cause, Evaluation, Limits, Prediction, Verdict, judge, worst
from inspector.station.attest import Attested, attest
from inspector.station.ports import Runtime
from inspector.station.recipe import Recipe, limits_of, region_rule, regions_for
from inspector.station.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class Job:
    """What to inspect by: a recipe and the runtime of its bundle. Never one without the other."""

    recipe: Recipe
    runtime: Runtime
    number: int = 0
    """Who makes several for one station counts them: of two the newer has the higher."""

    def __post_init__(self) -> None:
        """Raises ConfigError now, not at every part, where the two do not go together."""
        _ = self.limits, region_rule(self.recipe, self.runtime.tiles)

    @property
    def limits(self) -> Limits:
        return limits_of(self.recipe, self.runtime.limits)

    @property
    def limits_used(self) -> LimitsUsed:
        source: str = "recipe" if self.recipe.limits else "bundle"
        return LimitsUsed.model_validate({**self.limits.model_dump(), "source": source})


@dataclass(frozen=True, slots=True)
class Judged:
    """What the model says of a frame: the part's verdict is its worst region's."""

    verdict: Verdict
    label: str | None = None
    score: float | None = None
    novelty: float | None = None
    regions: tuple[RegionResult, ...] = ()
    maps: RegionMaps | None = field(default=None, compare=False, repr=False)
    """Where the model looked; nothing is decided by it. None where its bundle has no map."""


def cause_of(error: Exception) -> Cause:
    """Why a part could not be judged, in one word."""
    match error:
        case FrameError():
            return error.cause
        case DeviceTimeout():
            return "no_frame"
        case ModelError():
            return "model"
        case _:
            return "unsuitable"


def judge_attested(
    image: Image, job: Job, watch: Stopwatch, attester: Executor
) -> tuple[Judged, Attested]:
    """Judge an image that is fit for it; one that is not is UNDEFINED, whatever the model said.

    attester: where the image is attested meanwhile, since neither needs the other. What is wrong
    with the image comes before what the model makes of it.
    """
    attesting = attester.submit(attest, image, job.recipe.attest)
    try:
        judged = judge_image(image, job, watch)
    except (ModelError, ValueError) as error:
        judged = Judged(Verdict.by(cause_of(error), str(error)))
    attested = attesting.result()
    watch.lap("attest")
    if attested.fault is not None:
        judged = Judged(Verdict.by("attestation", f"attestation: {attested.fault}"))
    return judged, attested


def judge_image(image: Image, job: Job, watch: Stopwatch) -> Judged:
    """Judge every region of one image; the worst stands for the part.

    Raises ValueError where the image does not suit the recipe, ModelError where the model fails.
    """
    seen = regions_for(image, job.recipe, job.runtime.tiles)
    cuts = [fit(cut(image, region), job.runtime.spec) for region in seen]
    watch.lap("fit")
    regions = tuple(region for region in seen if not isinstance(region, Overview))
    predictions = job.runtime.predict(cuts)
    watch.lap("predict")
    limits = job.limits
    verdicts = [judge(prediction, limits) for prediction in predictions]
    judged = zip(regions, predictions, verdicts, strict=True)
    results = tuple(_region_result(*each) for each in judged)
    i = worst(verdicts, [prediction.defect_score for prediction in predictions])
    verdict, result = verdicts[i], results[i]
    if len(regions) > 1:
        verdict = replace(verdict, reason=f"{result.name}: {verdict.reason}")
    watch.lap("judge")
    cells = tuple(each.defect_map for each in predictions if each.defect_map is not None)
    maps = RegionMaps(regions, cells, job.runtime.spec) if len(cells) == len(regions) else None
    return Judged(verdict, result.label, result.score, result.novelty, results, maps)


def _region_result(region: Region, prediction: Prediction, verdict: Verdict) -> RegionResult:
    understood = verdict.evaluation is not Evaluation.UNDEFINED
    label = prediction.label if verdict.passes else prediction.defect_label
    novelty = prediction.novelty
    return RegionResult(
        name=region.name,
        x=region.x,
        y=region.y,
        width=region.width,
        height=region.height,
        evaluation=NAMES[verdict.evaluation],
        reason=verdict.reason,
        label=label if understood else None,
        score=round(prediction.defect_score, 6) if understood else None,
        novelty=round(novelty, 6) if understood and novelty is not None else None,
    )
