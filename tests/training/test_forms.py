"""What travels in a bundle beside FP32: each form with its own limits, answers and hash."""

import shutil
from pathlib import Path

import pytest

from inspector.contract.bundle import file_sha256, read_bundle
from inspector.runtime.loader import open_runtime
from tests.support import run_inspector
from tests.training.plates import PLAN
from tests.training.releases import Forked, Released

FORMS = '["int8-avx2", "int8-arm", "fp16"]'


def test_every_form_is_judged_and_carried_with_limits_of_its_own(
    released: Released, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.toml"
    text = PLAN.replace("[export]", f'[export]\nint8 = "if_safe"\nvariants = {FORMS}')
    text = text.replace("quantise = {", "quantise = { loss_at_most = 1.0,")  # these plates are few
    plan.write_text(text.replace("[quality]", "[quality]\nnovelty_overkill_at_most = 0.0"))
    out = Path(shutil.copytree(released.out, tmp_path / "out"))
    done = Forked("release", plan, "--data", released.data, "--out", out).end()
    assert done.returncode == 0, done.stderr
    bundle = read_bundle(Path(done.stdout.strip()))
    manifest = bundle.manifest
    assert manifest.model.precision == "fp32"
    names = [each.name for each in manifest.variants]
    assert names == ["int8-vnni", "int8-avx2", "int8-arm", "fp16"]
    hashes = {file_sha256(bundle.folder / each.file) for each in manifest.variants}
    assert len(hashes) == len(names)
    assert manifest.model.sha256 not in hashes
    for variant in manifest.variants:
        assert variant.limits != manifest.limits
        assert variant.golden[0].probabilities != manifest.golden[0].probabilities
        assert "calibration parts" in variant.certificate
    for name in names:
        runtime = open_runtime(bundle, wanted=name)
        assert (runtime.running.variant, runtime.running.fell_back) == (name, False)
        assert (
            runtime.limits
            == manifest.of(next(each for each in manifest.variants if each.name == name)).limits
        )
    verified = run_inspector("bundle", "verify", bundle.folder)
    assert verified.returncode == 0, verified.stdout
    assert "fp16 (is for CUDAExecutionProvider): passes it too" in verified.stdout
    assert "variants: student-int8, student-int8-avx2, student-int8-arm, student-fp16 in the" in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            'variants = ["int8-neon"]',
            "export.variants.0 'int8-neon': must be 'int8-vnni', 'int8-av",
        ),
        (
            "quantise = { method = 1 }",
            "export.quantise.method: is not a key here; known keys: float",
        ),
        (
            'quantise = { methods = ["mean"] }',
            "'mean': must be 'minmax', 'percentile' or 'entropy'",
        ),
    ],
)
def test_a_plan_that_asks_for_what_there_is_not_is_explained(
    class_folders: Path, tmp_path: Path, line: str, words: str
) -> None:
    plan = tmp_path / "plan.toml"
    text = "\n".join(each for each in PLAN.splitlines() if not each.startswith("quantise"))
    plan.write_text(text.replace("[export]", f"[export]\n{line}"))
    done = Forked("release", plan, "--data", class_folders, "--out", tmp_path / "out").end()
    assert done.returncode == 78
    assert words in done.stderr
