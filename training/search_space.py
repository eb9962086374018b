"""What a search may choose from, and what of it is too slow before anything is trained."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from inspector.contract.errors import ConfigError
from inspector.contract.image import ImageSpec
from inspector.contract.whole import write_whole
from inspector.runtime.latency import Profile, estimate_ms
from training.compress import quantize
from training.compress.prune import prune_blindly
from training.compress.ranges import ranges_of
from training.export import export_onnx, measure
from training.exported import Exported
from training.latency import operations_of
from training.models import Network, alike, settle_padding
from training.origin import plan_sha256
from training.pictures import pictures_in
from training.plan import Plan, fingerprint, with_weights_from
from training.plan_compress import Compress, Prune
from training.report import machine_text
from training.search_found import student_name
from training.teaching import weights_key
from training.unlabelled import contents_of

SAMPLE = 16
"""Pictures of noise that an untrained network is timed on: its time does not hang on its weights.

They calibrate its INT8 form too, for the same reason.
"""

Bar = Callable[[Iterable["Entrant"], int], Iterable["Entrant"]]


@dataclass(frozen=True, slots=True, order=True)
class Entrant:
    """One student of the space."""

    model: str
    width: int
    precision: Literal["fp32", "int8"]
    prune: float = 1.0
    """Share of its MACs that pruning leaves; 1: uncut."""

    def __str__(self) -> str:
        return student_name(self.model, self.width, self.precision, self.prune)


def space_of(plan: Plan) -> tuple[Entrant, ...]:
    """Every student that the plan's [search] allows."""
    search = plan.search
    widths, shares = search.widths or (plan.image.width,), search.prune or (1.0,)
    each = product(search.models, widths, search.precisions, shares)
    return tuple(Entrant(*choice) for choice in each)


def plan_of(plan: Plan, entrant: Entrant, *, trying: bool = False) -> Plan:
    """The plan with this student; everything else as it is. Raises ConfigError where weights lack.

    trying: as it is tried, by `search.epochs` and one way to quantise, not as it is released.
    """
    search = plan.search
    weights = search.weights if search.weights in ("hub", "none") else "hub"
    changes: dict[str, object] = {"model": entrant.model, "weights": weights}
    if trying and search.epochs:
        warmup = min(plan.student.warmup_epochs, search.epochs / 2)
        changes |= {"epochs": search.epochs, "warmup_epochs": warmup}
    student = plan.student.model_copy(update=changes)
    int8 = "never" if entrant.precision == "fp32" else "if_safe"
    export = plan.export.model_copy(update={"int8": int8})
    if trying:
        quick = export.quantise.model_copy(update={"methods": ("minmax",)})
        export = export.model_copy(update={"quantise": quick, "variants": ()})
    update: dict[str, object] = {"student": student, "export": export}
    update["image"] = image_of(plan, entrant)
    if search.prune:
        update["compress"] = _compress_of(plan, entrant, search.epochs if trying else None)
    changed = plan.model_copy(update=update)
    changed = Plan.model_validate(changed.model_dump())  # hints and the rest must go with it
    return (
        changed if search.weights == weights else with_weights_from(changed, Path(search.weights))
    )


def contents_of_plan(plan: Plan) -> str:
    """Names the plan as a search reads it, by what is in its files and folders.

    Raises ConfigError where weights lack.
    """
    of_model = {each.model: plan_of(plan, each) for each in space_of(plan)}
    weights = {model: weights_key(its.student.weights) for model, its in of_model.items()}
    one = next(iter(of_model.values()))  # beside its student, each starts from the same weights
    same = plan.model_copy(
        update={
            "teacher": one.teacher,
            "ensemble": one.ensemble,
            "student": plan.student.model_copy(
                update={"weights": "none", "peers": one.student.peers}
            ),
            "search": plan.search.model_copy(update={"weights": "none"}),
        }
    )
    rule = plan.student.unlabelled
    unlabelled = contents_of(pictures_in(Path(rule.folder))) if rule else None
    return fingerprint(plan_sha256(same), weights, unlabelled)


def image_of(plan: Plan, entrant: Entrant) -> ImageSpec:
    """What this student sees."""
    height = round(plan.image.height * entrant.width / plan.image.width)
    return plan.image.model_copy(update={"width": entrant.width, "height": height})


def cut_of(plan: Plan, share: float) -> Prune:
    """The plan's way of pruning, or the usual one, to this share of the MACs."""
    own = plan.compress.prune if plan.compress else None
    target = {"macs": share, "parameters": None, "latency": None}
    return (own or Prune(macs=0.5)).model_copy(update=target)


def _compress_of(plan: Plan, entrant: Entrant, epochs: int | None) -> Compress | None:
    """The plan's [compress] with this cut, or without any. epochs: at most, after each cut."""
    cut = None if entrant.prune == 1.0 else cut_of(plan, entrant.prune)
    if plan.compress is None:
        rule = Compress(prune=cut) if cut else None
    else:
        rule = plan.compress.model_copy(update={"prune": cut})
    if rule is None or not rule.kinds:
        return None
    if epochs is None:
        return rule
    fewer = {"epochs": min(rule.epochs, epochs), "step_epochs": min(rule.step_epochs, epochs)}
    return rule.model_copy(update=fewer)


def untrained(plan: Plan, entrant: Entrant) -> Network:
    """As wide as it will be. One that cannot be cut so far is left uncut: trying it says why.

    Raises ConfigError for a model that timm does not have.
    """
    spec = image_of(plan, entrant)
    torch.manual_seed(plan.seed)
    network = alike(entrant.model, plan.student.members, classes=2)
    if entrant.prune < 1.0:
        with suppress(ConfigError):
            return prune_blindly(network, cut_of(plan, entrant.prune), spec)
    return network


class Stopwatch:
    """How long an untrained student of each kind takes, found once and kept in a file."""

    def __init__(self, folder: Path, plan: Plan, profile: Profile | None = None) -> None:
        """profile: of the station that is meant; else it is measured on this machine."""
        self.by = fingerprint(profile or machine_text())[:12]
        """Who says how long a student takes: a station's profile, or this machine."""
        cut = cut_of(plan, 1.0) if plan.search.prune else None
        what = fingerprint(plan.image, plan.student.members, plan.export.tta, cut)[:12]
        kept = folder / f"untrained-ms-{self.by}-{what}.json"
        self._kept = kept
        self._plan = plan
        self._profile = profile
        self.ms: dict[str, float] = {}
        if kept.exists():
            self.ms = json.loads(kept.read_text(encoding="utf-8"))

    def time_all(self, entrants: Iterable[Entrant], bar: Bar) -> dict[Entrant, float]:
        """Milliseconds of one picture, or tile, one thread, onnxruntime.

        Raises ConfigError for a model that timm does not have.
        """
        wanted = tuple(entrants)
        missing = [each for each in wanted if str(each) not in self.ms]
        for entrant in bar(missing, len(missing)):
            self.time(entrant)
        return {each: self.ms[str(each)] for each in wanted}

    def time(self, entrant: Entrant) -> float:
        """The same of one."""
        if str(entrant) not in self.ms:
            self.ms[str(entrant)] = self._time(entrant)
            write_whole(self._kept, json.dumps(self.ms, indent=1).encode())
        return self.ms[str(entrant)]

    def _time(self, entrant: Entrant) -> float:
        spec = image_of(self._plan, entrant)
        network = untrained(self._plan, entrant)
        settle_padding(network, spec)
        network.tta = self._plan.export.tta
        shape = (SAMPLE, spec.height, spec.width, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        with TemporaryDirectory() as name, torch.no_grad():
            path = Path(name) / "model.onnx"
            model, noise = Exported(network.eval(), [0], 2), [torch.from_numpy(pixels)]
            model.learn_map(noise, noise)
            export_onnx(model, spec, path)
            if entrant.precision == "int8":
                path = _quantised(path, pixels)
            if self._profile is not None:
                return estimate_ms(operations_of(path), self._profile)
            (timing,) = measure([path], pixels)
        return timing.median_ms


def read_profile(path: Path) -> Profile:
    """What `inspector bench --profile` wrote on a station. Raises ConfigError in words."""
    try:
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"--profile {path}: cannot be read: {error.strerror}") from None
    except ValidationError as error:
        what = error.errors()[0]
        where = ".".join(map(str, what["loc"])) or "the file"
        words = f"is not what `inspector bench --profile` writes: {where}: {what['msg']}"
        raise ConfigError(f"--profile {path}: {words}") from None


def _quantised(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Beside it, as a station with VNNI runs it."""
    prepared, small = path.with_name("prepared.onnx"), path.with_name("int8.onnx")
    quantize.prepare(path, prepared)
    rows = np.arange(len(pixels))
    ranges = ranges_of(prepared, pixels, rows, quantize.QUANTIZED, ["minmax"], [])["minmax"]
    form = quantize.FORMS["int8-vnni"]
    quantize.build(prepared, small, ranges, form, per_channel=True)
    return small


def require_rates(latency_ms: float, escape: float) -> None:
    """Raises ConfigError in words."""
    if not latency_ms > 0.0:
        raise ConfigError(f"search: --latency-ms {latency_ms:g}: must be above 0")
    if not 0.0 < escape < 1.0:
        raise ConfigError(f"search: --escape {escape:g}: must be above 0 and below 100 %")
