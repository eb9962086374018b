"""The stages between training and export: cut, teach, cut again.

Each cut is a stage of its own, taught by the student as it was before the first.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from inspector.contract.whole import write_whole
from training.checkpoint import save
from training.compress import prune
from training.compress.costs import cost_of, recalls_of, timer
from training.compress.lowrank import lower
from training.compress.quantize import calibration_rows
from training.compress.rows import CUT, CutFacts
from training.compress.shape import shape_in, shape_of, write_shape
from training.compress.sparse import hold_zeros, thin
from training.crew import together
from training.job import Data, Job, Work, load_network
from training.learning import learn_from
from training.losses import hard_loss
from training.models import Network
from training.norms import reestimate
from training.plan_compress import Compress
from training.plan_networks import Student
from training.run import Stage
from training.teaching import identity, unlabelled_of
from training.views import chunks

START = "start.pt"
LOOK_IMAGES = 256
"""Training pictures that tell which channels matter, an even share of each class."""
RENORM_IMAGES = 512
"""Training pictures, classes in their shares, that tell the batch norm statistics of a cut."""


class Cut(NamedTuple):
    """One cut of a plan's compression."""

    kind: Literal["prune", "low_rank", "sparse"]
    number: int
    of: int
    epochs: int
    """Of the training after it."""

    @property
    def name(self) -> str:
        return self.kind if self.of == 1 else f"{self.kind}-{self.number}"

    @property
    def way(self) -> float:
        """How much of the way is gone with it, 0 to 1."""
        return self.number / self.of


def cuts_of(rule: Compress) -> tuple[Cut, ...]:
    """All cuts in order; the last is followed by the long training."""
    counts = {
        "prune": rule.prune.steps if rule.prune else 0,
        "low_rank": 1 if rule.low_rank else 0,
        "sparse": rule.sparse.steps if rule.sparse else 0,
    }
    cuts: list[Cut] = []
    kind: Any
    for kind, of in counts.items():
        cuts += [Cut(kind, number, of, rule.step_epochs) for number in range(1, of + 1)]
    return (*cuts[:-1], cuts[-1]._replace(epochs=rule.epochs))


def compress(job: Job, data: Data, student: Stage) -> tuple[Stage, ...]:
    """The student as it was trained, and after each cut; alone where the plan has no [compress]."""
    rule, how = job.plan.compress, job.plan.student
    chain = [student]
    unlabelled = unlabelled_of(job, data) if rule else None
    extra = [unlabelled] if unlabelled else []
    for cut in cuts_of(rule) if rule else ():
        task = partial(
            _cut_and_teach,
            data=data,
            original=student,
            before=chain[-1],
            cut=cut,
            unlabelled=unlabelled,
        )
        make = partial(together, job, task)
        asked = getattr(rule, cut.kind), list(cut), identity(tuned(how, rule, cut.epochs))
        stage = job.run.stage(cut.name, make, 2, chain[-1], student, *asked, job.plan.seed, *extra)
        chain.append(stage)
    return tuple(chain)


def tuned(how: Student, rule: Compress | None, epochs: int) -> Student:
    """The student's plan as it is taught again: shorter, gentler, and by itself."""
    if rule is None:
        raise ValueError("the plan has no [compress]")
    update = {
        "epochs": epochs,
        "warmup_epochs": min(how.warmup_epochs, epochs / 4.0),
        "lr": rule.lr,
        "alpha": rule.alpha,
        "temperature": rule.temperature,
        "temperature_end": None,
        "feature_weight": rule.feature_weight,
        "rebalance": 0.0,
        "generations": 1,
        "peers": (),
        "hints": (),
        "old": None,
    }
    return how.model_copy(update=update)


def _cut_and_teach(
    work: Work,
    folder: Path,
    *,
    data: Data,
    original: Stage,
    before: Stage,
    cut: Cut,
    unlabelled: Stage | None,
) -> None:
    how, classes = work.plan.student, len(data.labels)
    with work.machine.team.first():
        if not (folder / CUT).exists():  # what a cut measured in time must not be measured again
            _cut(work, folder, data, original, before, cut)
    network = load_network(how, folder, classes, file=START, drop_rate=how.drop_rate)
    if cut.kind == "sparse":
        hold_zeros(network)
    torch.manual_seed(work.plan.seed)  # the projector is drawn; a resumed job has drawn less before
    learn_from(
        work,
        folder,
        network,
        tuned(how, work.plan.compress, cut.epochs),
        data=data,
        teachers=(original,),
        teacher_plans=(how,),
        unlabelled=unlabelled,
        name=cut.name,
    )


def _cut(work: Work, folder: Path, data: Data, original: Stage, before: Stage, cut: Cut) -> None:
    """Leave the smaller network's weights and shape, and what the cut did, in the folder."""
    plan, how = work.plan, work.plan.student
    network = load_network(how, before.folder, len(data.labels))
    shape = shape_in(before.folder)
    ranks = shape.ranks if shape else {}
    rule = plan.compress
    if rule and rule.prune and cut.kind == "prune":
        first = load_network(how, original.folder, len(data.labels))
        small, done = _pruned(work, data, network, first, cut)
    elif rule and rule.low_rank and cut.kind == "low_rank":
        small, ranks = lower(network, rule.low_rank, plan.image)
        done = f"{len(ranks)} layers became products"
    elif rule and rule.sparse and cut.kind == "sparse":
        share = 1.0 - (1.0 - rule.sparse.sparsity) ** cut.way
        small, done = thin(network, share), f"{100 * share:.1f} % of the weights are zero"
    else:
        raise ValueError(f"{cut} is not in the plan")
    shape = shape_of(small, how.model, ranks)
    if shape.widths or shape.vectors or shape.ranks:
        write_shape(shape, folder)
    _renorm(work, data, small)
    save(folder / START, small.state_dict())
    facts = CutFacts(done=done, recalls=recalls_of(work, data, small))
    work.screen.say(f"  {cut.name}: {done}")
    write_whole(folder / CUT, facts.model_dump_json().encode())


def _renorm(work: Work, data: Data, small: Network) -> None:
    """Batch norm statistics of the cut network: those it has are of channels that are gone.

    ELPV, EfficientNet-Lite0 cut to 0.3 of its parameters: macro recall, before any training, 0.50
    with the old ones and 0.65 with these (n = 211).
    """
    rows = np.random.default_rng(work.plan.seed).permutation(data.labelled("train"))
    pieces = chunks(rows[:RENORM_IMAGES], work.plan.student.batch)
    whole = [some for some in pieces if len(some) == len(pieces[0])]  # one picture has no variance
    reestimate(small, (torch.from_numpy(data.images.pixels[some]) for some in whole))


def _pruned(
    work: Work, data: Data, network: Network, first: Network, cut: Cut
) -> tuple[Network, str]:
    plan, how = work.plan, work.plan.student
    rule = plan.compress.prune if plan.compress else None
    if rule is None:
        raise ValueError("the plan has no [compress.prune]")
    material = data.material(plan)
    rows = calibration_rows(material.train, data.targets, LOOK_IMAGES, plan.seed)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        pieces = chunks(rows, how.batch)
        for some in work.screen.bar(pieces, len(pieces), f"{cut.name}: looking"):
            images = torch.from_numpy(data.images.pixels[some])
            yield images, torch.from_numpy(data.targets[some])

    loss = hard_loss(how.imbalance, material.train_counts())
    seen = prune.look(network, rule.by, batches(), loss)
    of, target = rule.target
    share = target**cut.way
    with TemporaryDirectory() as scratch:
        left = cost_of(of, first, plan.image, timer(plan, data, first, Path(scratch)))
        small, now = prune.prune(network, rule, seen, plan.image, left, share)
    words = {"macs": "MACs", "parameters": "parameters", "latency": "time"}[of]
    return small, f"channels by {rule.by}: {now:.3f} of the {words} left, at most {share:.3f} asked"
