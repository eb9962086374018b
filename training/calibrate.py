"""One temperature, so that a probability of 0.9 is right nine times in ten.

Temperature scaling (Guo et al., On Calibration of Modern Neural Networks, ICML 2017): the logits
are divided by one number, fitted to the validation parts. Which class is likeliest never changes.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from inspector.contract.errors import TrainingError
from inspector.contract.strict import Strict
from inspector.contract.whole import write_whole
from training.fit import predict
from training.job import Data, Job, load_network
from training.looks import named
from training.plan_networks import Fit
from training.prior import prior_of
from training.run import Stage

SHARPEST, SOFTEST = 0.25, 10.0
"""A temperature outside says more of the few parts it was fitted to than of the network."""
AT_BOUND = 1.01
BINS = 15
TEMPERATURE = "temperature.json"


class Temperature(Strict):
    """The number, and how much better it explains the parts it was fitted to."""

    value: float
    prior: tuple[float, ...] = ()
    """Added to the logits before (prior.py); empty: nothing is."""
    parts: int
    nll_before: float
    """Mean negative log-likelihood in nats, at temperature 1."""
    nll_after: float
    sentence: str


class Bin(Strict):
    """Parts of about one confidence: were they right as often as the model was sure?"""

    n: int
    confidence: float
    accuracy: float


class Reliability(Strict):
    """The reliability diagram, and the error it shows."""

    ece: float
    """Expected calibration error: the bins' mean gap, weighted by their parts."""
    bins: tuple[Bin, ...]
    """Equally wide, the least sure first; an empty one has n 0."""


class Calibration(Strict):
    """A model's temperature, and what it changed on parts it was not fitted to."""

    temperature: Temperature
    before: Reliability
    after: Reliability


class _Likelihood(NamedTuple):
    logits: NDArray[np.float64]
    targets: NDArray[np.int64]

    def nll(self, temperature: float) -> float:
        logs = log_softmax(self.logits / temperature, axis=1)
        return float(-logs[np.arange(len(self.targets)), self.targets].mean())


def fit_temperature(
    logits: NDArray[np.float32], targets: NDArray[np.int64], of: str = "parts"
) -> Temperature:
    """The temperature under which the parts' classes are likeliest.

    logits: parts x classes; targets: parts; of: what they are called, "tiles" where they are those.
    The likelihood is log-concave in 1 / temperature, so
    a bounded search finds the one best. Where every part is right it grows for ever as the
    temperature falls: that is no evidence for being surer (and would crush the scores into 0 and
    1, where no limit can part them), so the temperature stays 1.
    Raises TrainingError where a logit is not finite.
    """
    broken = int((~np.isfinite(logits)).any(axis=1).sum())
    if broken:
        raise TrainingError(
            f"temperature: {broken} of {len(logits)} validation {of} have logits that are no "
            f"numbers (NaN or infinite)"
        )
    parts = _Likelihood(logits.astype(np.float64), targets)
    found = minimize_scalar(
        lambda log: parts.nll(float(np.exp(log))),
        bounds=(np.log(SHARPEST), np.log(SOFTEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    value = float(np.exp(found.x))
    right = int((logits.argmax(axis=1) == targets).sum())
    seen = f"{right} of {len(targets)} validation {of} are right"
    if value < SHARPEST * AT_BOUND:
        value, said = 1.0, f"left at 1: {seen}, which does not say how sure is too sure"
    elif value > SOFTEST / AT_BOUND:
        said = f"held at {SOFTEST:g}: {seen}, the model is no better than guessing"
        value = SOFTEST
    else:
        said = f"{value:.3g}, fitted to {len(targets)} validation {of}"
    return Temperature(
        value=value,
        parts=len(targets),
        nll_before=parts.nll(1.0),
        nll_after=parts.nll(value),
        sentence=f"temperature {said}",
    )


def reliability(probabilities: NDArray[np.float32], targets: NDArray[np.int64]) -> Reliability:
    """Confidence against accuracy in 15 equal bins (Naeini et al., AAAI 2015; Guo 2017, eq. 3).

    probabilities: parts x classes. The confidence is the likeliest class's probability; a bin
    holds its upper edge.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == targets
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for i in range(BINS):
        mine = place == i
        n = int(mine.sum())
        mean = float(confidence[mine].mean()) if n else 0.0
        bins.append(Bin(n=n, confidence=mean, accuracy=float(right[mine].mean()) if n else 0.0))
    ece = sum(each.n * abs(each.accuracy - each.confidence) for each in bins) / len(targets)
    return Reliability(ece=ece, bins=tuple(bins))


def at_temperature_1(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """What the graph would have answered without its temperature, from what it did answer."""
    tiny = float(np.finfo(np.float32).tiny)  # a probability that underflowed to 0 has no log
    logs = np.log(np.maximum(probabilities.astype(np.float64), tiny))
    return np.asarray(softmax(logs * temperature, axis=1), np.float32)


def calibration_of(
    temperature: Temperature,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    targets: NDArray[np.int64],
) -> Calibration:
    """On parts it was not fitted to; before, after: parts x classes, without it and with it."""
    return Calibration(
        temperature=temperature,
        before=reliability(before, targets),
        after=reliability(after, targets),
    )


def calibrate(job: Job, data: Data, how: Fit, trained: Stage, role: str) -> Stage:
    """The trained network's temperature on the validation parts."""
    prior, tta = prior_of(job.plan, data, how), job.plan.tta_of(role)

    def make(folder: Path) -> None:
        network = load_network(how, trained.folder, len(data.labels), tta=tta, prior=prior)
        network.to(job.machine.device)
        rows = data.labelled("validation")
        logits = predict(network, data.images.pixels, rows, job.machine)
        of = "tiles" if job.plan.tiles else "parts"
        found = fit_temperature(logits, data.targets[rows], of)
        if prior:
            words = f"{found.sentence}; the class shares of training are given back"
            found = found.model_copy(update={"prior": prior, "sentence": words})
        job.screen.say(f"{role}: {found.sentence}")
        write_whole(folder / TEMPERATURE, found.model_dump_json().encode())

    restored = [prior] if prior else []
    return job.run.stage(f"calibrate-{role}", make, 1, trained, *restored, *named(tta))


def read_temperature(stage: Stage) -> Temperature:
    return Temperature.model_validate_json((stage.folder / TEMPERATURE).read_bytes())
