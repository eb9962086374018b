"""What a network costs and holds: before a cut is made, and for the report."""

import copy
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from inspector.contract.image import ImageSpec
from inspector.contract.whole import write_whole
from training.compress.rows import CUT, CutFacts, Recalls, StepRow
from training.compress.sparse import nonzero
from training.export import export_onnx, measure
from training.exported import Exported
from training.fit import Machine, predict, recalls
from training.job import Data, Job, Work, load_network
from training.looks import named
from training.models import Network, macs, settle_padding
from training.plan import Plan
from training.report import machine_text
from training.run import Stage

STEPS = "steps.json"
TIMED_IMAGES = 32


def cost_of(
    of: Literal["macs", "parameters", "latency"],
    first: Network,
    spec: ImageSpec,
    timer: Callable[[Network], float],
) -> Callable[[Network], float]:
    """What a network costs as a share of what the first does."""
    if of == "latency":
        return timer
    if of == "parameters":
        return lambda network: network.parameters_count() / first.parameters_count()
    whole = macs(first, spec)
    return lambda network: macs(network, spec) / whole


def timer(plan: Plan, data: Data, first: Network, scratch: Path) -> Callable[[Network], float]:
    """Time as a share of the first's: both in turn, by their quickest rounds."""
    pixels = data.images.pixels[data.rows["validation"][:TIMED_IMAGES]]

    def share(network: Network) -> float:
        paths = [scratch / "first.onnx", scratch / "now.onnx"]
        if not paths[0].exists():
            write_graph(plan, data, first, paths[0])
        write_graph(plan, data, network, paths[1])
        was, now = measure(paths, pixels)
        return now.least_ms / was.least_ms

    return share


def write_graph(plan: Plan, data: Data, network: Network, path: Path) -> None:
    """As it would ship, but for what is learned after it: temperature, usual cells, novelty."""
    copied = copy.deepcopy(network).cpu()
    copied.tta = plan.export.tta
    settle_padding(copied, plan.image)
    good = [i for i, label in enumerate(data.labels) if label in plan.good]
    export_onnx(Exported(copied, good, len(data.labels)), plan.image, path)


def recalls_of(work: Work, data: Data, network: Network) -> Recalls:
    """By the likeliest class, on the validation set."""
    rows = data.labelled("validation")
    alone = Machine(work.machine.device, work.machine.threads)  # others may wait for this process
    logits = predict(network.to(alone.device), data.images.pixels, rows, alone)
    network.cpu()
    targets = data.targets[rows]
    each = recalls(logits, targets, len(data.labels))
    return Recalls(
        accuracy=float((logits.argmax(axis=1) == targets).mean()),
        macro_recall=float(np.nanmean(each)),
        worst_recall=float(np.nanmin(each)),
    )


def measure_steps(job: Job, data: Data, chain: tuple[Stage, ...]) -> tuple[StepRow, ...]:
    """What each step costs and holds; none where nothing was compressed."""
    if len(chain) == 1:
        return ()

    def make(folder: Path) -> None:
        found = _measured(job, data, chain)
        write_whole(folder / STEPS, json.dumps([r.model_dump() for r in found]).encode())

    of = *named(job.plan.export.tta), machine_text()
    stage = job.run.stage("steps", make, 2, *chain, *of)
    rows = json.loads((stage.folder / STEPS).read_text(encoding="utf-8"))
    return tuple(StepRow.model_validate(row) for row in rows)


def _measured(job: Job, data: Data, chain: tuple[Stage, ...]) -> list[StepRow]:
    plan, how = job.plan, job.plan.student
    rows: list[StepRow] = []
    with TemporaryDirectory() as scratch:
        paths = []
        for i, stage in enumerate(job.screen.bar(chain, len(chain), "measuring the steps")):
            network = load_network(how, stage.folder, len(data.labels))
            paths.append(Path(scratch) / f"{i}.onnx")
            write_graph(plan, data, network, paths[-1])
            taught = recalls_of(job.work, data, network)  # by one look, as cuts are
            network.tta = plan.export.tta
            facts = None
            if i:
                facts = CutFacts.model_validate_json((stage.folder / CUT).read_bytes())
            rows.append(
                StepRow(
                    name=stage.folder.name.rpartition("-")[0] if i else "original",
                    done=facts.done if facts else "as it was trained",
                    parameters=network.parameters_count(),
                    nonzero=nonzero(network),
                    macs=macs(network, plan.image),
                    file_bytes=paths[-1].stat().st_size,
                    packed_bytes=len(zlib.compress(paths[-1].read_bytes(), 6)),
                    latency_ms=0.0,
                    images=len(data.labelled("validation")),
                    cut=facts.recalls if facts else None,
                    taught=taught,
                )
            )
        times = measure(paths, data.images.pixels[data.rows["validation"][:TIMED_IMAGES]])
    return [
        row.model_copy(update={"latency_ms": time.median_ms})
        for row, time in zip(rows, times, strict=True)
    ]
