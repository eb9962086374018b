"""What a search is asked for on the command line, and the plan and data that this means."""

from dataclasses import dataclass
from pathlib import Path

from training.dataset import Dataset, read_dataset, subset
from training.plan import Plan, read_plan, with_weights_from
from training.plan_smoke import smoke


@dataclass(frozen=True, slots=True)
class Order:
    """What the command line says."""

    plan: Path
    data: Path
    out: Path
    latency_ms: float
    escape: float
    overkill: float | None
    trials: int
    jobs: int
    release: bool
    weights: Path | None
    profile: Path | None
    smoke: bool
    quiet: bool
    worker: int | None
    """One of the processes that the first has started: from 1."""

    def as_arguments(self, worker: int) -> list[str]:
        """For a process that helps."""
        words = ["search", self.plan, "--data", self.data, "--out", self.out]
        words += ["--latency-ms", self.latency_ms, "--escape", self.escape]
        words += ["--trials", self.trials, "--jobs", self.jobs, "--worker", worker]
        words += ["--overkill", self.overkill] if self.overkill is not None else []
        words += ["--weights", self.weights] if self.weights else []
        words += ["--profile", self.profile] if self.profile else []
        words += ["--smoke"] if self.smoke else []
        words += ["--quiet"] if self.quiet else []
        return [str(word) for word in words]

    def read(self) -> tuple[Plan, Dataset]:
        """Raises ConfigError or DataError in words."""
        plan, dataset = read_plan(self.plan), read_dataset(self.data)
        if self.weights:
            from_folder = plan.search.model_copy(update={"weights": str(self.weights)})
            update = {"search": from_folder} if plan.search.weights == "hub" else {}
            plan = with_weights_from(plan.model_copy(update=update), self.weights)
        if self.smoke:
            plan, dataset = smoke(plan), subset(dataset)
            tiny = {"weights": "none", "widths": (), "epochs": 1}
            plan = plan.model_copy(update={"search": plan.search.model_copy(update=tiny)})
        return plan, dataset
