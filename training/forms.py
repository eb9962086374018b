"""The student in other forms: INT8 for each kind of CPU, FP16; and as the bundle's variants."""

import shutil
from pathlib import Path

from inspector.contract.bundle import Golden, file_sha256
from inspector.contract.variant import Expected, Needs, Variant, VariantName
from inspector.contract.whole import write_whole
from training.compress.found import Quantised, Rule
from training.compress.half import halve
from training.compress.int8 import Pictures, Search
from training.compress.quantize import calibration_rows
from training.job import Data, Job
from training.judging import NOVELTY_TOLERANCE, TOLERANCE
from training.report import ModelRow
from training.run import Stage
from training.ship import NOVELTY_RANKS_AT_LEAST, VARIANT_OF

QUANTISED = "quantised.json"
VALIDATION_MAX = 1_024
"""Validation pictures, or tiles, that every form is held to in the search."""
NEEDS: dict[VariantName, Needs] = {
    "int8-vnni": Needs(machine="x86_64", cpu_flags=("avx512_vnni", "avx_vnni")),
    "int8-avx2": Needs(machine="x86_64", cpu_flags=("avx2",)),
    "int8-arm": Needs(machine="aarch64", cpu_flags=("asimd",)),
    "fp16": Needs(provider="CUDAExecutionProvider"),
}


def small_forms(job: Job, data: Data, exported: Stage) -> dict[str, Stage]:
    """The student's forms that the plan asks for, by role."""
    export, made = job.plan.export, dict[str, Stage]()
    wanted = {role: name for role, name in VARIANT_OF.items() if name in export.variants}
    if export.int8 != "never":
        searched = quantise(job, data, exported)
        made["student-int8"] = searched
        for role, name in wanted.items():
            if role != "student-int8" and name != "fp16":
                made[role] = _other(job, data, exported, searched, name)
    if "fp16" in export.variants:

        def make(folder: Path) -> None:
            halve(exported.folder / "model.onnx", folder / "model.onnx")
            _keep_facts(exported, folder)

        made["student-fp16"] = job.run.stage("fp16", make, 1, exported)
    return made


def quantise(job: Job, data: Data, exported: Stage) -> Stage:
    """The student's graph in INT8 as VNNI runs it, by the search that the plan describes."""
    how, wanted, seed = job.plan.export.quantise, job.plan.export.calibration_images, job.plan.seed

    def make(folder: Path) -> None:
        search = _search(job, data, exported, folder)
        found = search.run(job.screen.say)
        search.write(found.chosen, "int8-vnni", folder / "model.onnx")
        write_whole(folder / QUANTISED, found.model_dump_json(indent=1).encode())
        _keep_facts(exported, folder)

    ranks = NOVELTY_RANKS_AT_LEAST
    return job.run.stage("quantise", make, 2, exported, how, wanted, seed, ranks)


def quantised(models: dict[str, Stage]) -> Quantised | None:
    """What the search found; None where there was none."""
    if "student-int8" not in models:
        return None
    text = (models["student-int8"].folder / QUANTISED).read_text(encoding="utf-8")
    return Quantised.model_validate_json(text)


def _other(job: Job, data: Data, exported: Stage, searched: Stage, name: VariantName) -> Stage:
    """What the search chose, in the form of another kind of CPU."""

    def make(folder: Path) -> None:
        search = _search(job, data, exported, searched.folder)
        text = (searched.folder / QUANTISED).read_text(encoding="utf-8")
        found = Quantised.model_validate_json(text)
        search.write(found.chosen, name, folder / "model.onnx")
        _keep_facts(exported, folder)

    return job.run.stage(name, make, 1, searched)


def _search(job: Job, data: Data, exported: Stage, folder: Path) -> Search:
    plan = job.plan
    wanted, validation = plan.export.calibration_images, data.labelled("validation")
    pictures = Pictures(
        data.images.pixels,
        calibration_rows(data.rows["train"], data.targets, wanted, plan.seed),
        calibration_rows(validation, data.targets, VALIDATION_MAX, plan.seed),
        data.targets,
        data.labels,
    )
    rule = Rule(plan.export.quantise.loss_at_most, NOVELTY_RANKS_AT_LEAST)
    return Search(folder, exported.folder / "model.onnx", pictures, plan.export.quantise, rule)


def _keep_facts(exported: Stage, folder: Path) -> None:
    shutil.copy(exported.folder / "facts.json", folder / "facts.json")


def variant_of(row: ModelRow, model: Path, answers: tuple[Golden, ...]) -> Variant:
    """A form as the manifest names it. answers: its own, to the bundle's golden pictures."""
    name = VARIANT_OF[row.role]
    return Variant(
        name=name,
        file=f"variants/{name}.onnx",
        sha256=file_sha256(model),
        precision="fp16" if name == "fp16" else "int8",
        needs=NEEDS[name],
        limits=row.choice.limits,
        certificate=row.choice.sentence,
        golden=tuple(
            Expected(probabilities=each.probabilities, novelty=each.novelty) for each in answers
        ),
        tolerance=TOLERANCE[row.precision],
        novelty_tolerance=NOVELTY_TOLERANCE[row.precision] if row.novelty else None,
    )
