"""A bundle of several models: a machine takes its own, and one that is unfit here never serves."""

import json
import logging
import random
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from inspector.contract.bundle import MANIFEST, Bundle, Manifest, file_sha256, read_bundle
from inspector.contract.variant import Needs, VariantName, Wanted
from inspector.contract.verdict import Evaluation, Limits, judge
from inspector.runtime.cpu import Cpu, read_cpu
from inspector.runtime.loader import load_runtime
from inspector.runtime.variants import choose_variant
from tests.runtime.mutants import FORGERIES, seal
from tests.support import GREY, SIZE, make_bundle, make_model, picture, run_inspector, write_station

NEEDS: dict[VariantName, Needs] = {
    "int8-vnni": Needs(machine="x86_64", cpu_flags=("avx512_vnni", "avx_vnni")),
    "int8-avx2": Needs(machine="x86_64", cpu_flags=("avx2",)),
    "int8-arm": Needs(machine="aarch64", cpu_flags=("asimd",)),
    "fp16": Needs(provider="CUDAExecutionProvider"),
}
ANY: dict[VariantName, Needs] = {"int8-vnni": Needs()}


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"), variants=ANY)


def spoilt(bundle: Bundle, into: Path) -> Bundle:
    """The variant's weights are another model's, and every hash fits: no key, no refusal."""
    folder = Path(shutil.copytree(bundle.folder, into / bundle.id))
    (folder / "model.onnx").rename(folder / "kept")
    (folder / "variants/int8-vnni.onnx").rename(folder / "model.onnx")
    FORGERIES["weights of another model"](folder, random.Random(0))  # noqa: S311
    (folder / "model.onnx").rename(folder / "variants/int8-vnni.onnx")
    (folder / "kept").rename(folder / "model.onnx")
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["variants"][0]["sha256"] = file_sha256(folder / "variants/int8-vnni.onnx")
    return read_bundle(seal(folder, manifest))


X86 = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse avx2 avx512_vnni
processor\t: 1
flags\t\t: fpu sse avx2
"""
ARM = "processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd08\n"


def test_only_flags_of_every_core_count(tmp_path: Path) -> None:
    for text, flags in ((X86, {"fpu", "sse", "avx2"}), (ARM, {"fp", "asimd", "asimddp"})):
        (tmp_path / "cpuinfo").write_text(text)
        assert read_cpu(tmp_path / "cpuinfo").flags == flags
    assert read_cpu(tmp_path / "nothing").flags == frozenset()


@pytest.mark.parametrize(
    ("machine", "flags", "wanted", "runs", "because"),
    [
        ("x86_64", "avx2 avx512_vnni", "auto", "int8-vnni", "this CPU has avx512_vnni"),
        ("x86_64", "avx2 avx_vnni", "auto", "int8-vnni", "this CPU has avx_vnni"),
        ("x86_64", "avx2", "auto", "int8-avx2", "this CPU has avx2"),
        ("aarch64", "asimd", "auto", "int8-arm", "this CPU has asimd"),
        (
            "x86_64",
            "sse",
            "auto",
            None,
            "int8-avx2: this CPU shows no avx2; int8-arm: is for aarch",
        ),
        ("riscv64", "", "auto", None, "fp16: is for CUDAExecutionProvider"),
        ("x86_64", "avx2 avx512_vnni", "float", None, 'model_variant is "float"'),
        ("x86_64", "sse", "int8-avx2", "int8-avx2", "but this CPU shows no avx2"),
        ("x86_64", "avx2", "fp16", "fp16", "but is for CUDAExecutionProvider"),
    ],
)
def test_the_first_variant_that_the_cpu_is_made_for_is_taken(
    tmp_path: Path, machine: str, flags: str, wanted: Wanted, runs: str | None, because: str
) -> None:
    variants = make_bundle(tmp_path, variants=NEEDS).manifest.variants
    choice = choose_variant(variants, Cpu(machine, frozenset(flags.split())), wanted)
    assert (choice.variant.name if choice.variant else None) == runs
    assert because in choice.why


def test_a_variant_judges_by_limits_and_answers_of_its_own(sealed: Bundle) -> None:
    (variant,) = sealed.manifest.variants
    own = Limits(review_at=0.5, reject_at=0.9)
    view = sealed.manifest.of(variant.model_copy(update={"limits": own, "tolerance": 0.05}))
    assert (view.limits, view.tolerance) == (own, 0.05)
    assert view.model.file == "variants/int8-vnni.onnx"
    assert view.model.precision == "int8"
    assert view.labels == sealed.manifest.labels


def test_a_bundle_without_variants_stays_as_older_stations_know_it(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    written = json.loads((bundle.folder / MANIFEST).read_text())
    assert written["schema"] == 1
    assert "variants" not in written
    running = load_runtime(tmp_path, bundle.id).running
    assert (running.variant, running.fell_back) == ("float", False)
    assert running.reason == "the bundle has no other"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 1}, "schema: is 2 where there are variants"),
        ({"variants": []}, "schema: is 2 where there are variants, and 1 where there are none"),
        ({"model.precision": "fp16"}, "any CPU must run the model"),
    ],
)
def test_a_manifest_of_variants_is_whole(
    sealed: Bundle, change: dict[str, object], words: str
) -> None:
    manifest = sealed.manifest.model_dump(by_alias=True)
    for key, value in change.items():
        table, _, name = key.rpartition(".")
        (manifest[table] if table else manifest)[name] = value
    with pytest.raises(ValidationError, match=words):
        Manifest.model_validate(manifest)


def test_a_variant_that_answers_otherwise_here_gives_way_to_float_and_it_is_said(
    sealed: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = spoilt(sealed, tmp_path)
    with caplog.at_level(logging.WARNING):
        runtime = load_runtime(tmp_path, bundle.id)
    assert (runtime.running.variant, runtime.running.fell_back) == ("float", True)
    assert "int8-vnni is not what it was where it was made" in runtime.running.reason
    assert "from the expected probabilities" in runtime.running.reason
    assert f"bundle {bundle.id}: runs float: int8-vnni is not" in caplog.text
    (grey,) = runtime.predict([picture(GREY, SIZE, SIZE)])
    assert judge(grey, runtime.limits).evaluation is Evaluation.OK


def test_a_variant_that_is_no_such_model_makes_the_bundle_a_damaged_one(tmp_path: Path) -> None:
    def other_labels(draft: Path) -> None:
        make_model(draft / "variants/int8-vnni.onnx", labels=2)

    bundle = make_bundle(tmp_path, variants=ANY, spoil=other_labels)
    done = run_inspector("bundle", "verify", bundle.folder)
    assert done.returncode == 1
    assert "variants/int8-vnni.onnx: probabilities is" in done.stdout
    checked = run_inspector("check", write_station(tmp_path, bundle))
    assert checked.returncode == 78
    assert "variants/int8-vnni.onnx: probabilities is" in checked.stdout


def test_check_and_bundle_say_which_variant_runs_and_why(sealed: Bundle, tmp_path: Path) -> None:
    path = write_station(tmp_path, sealed)
    assert f"bundle {sealed.id}: runs int8-vnni: any machine runs it" in check(path)
    path = write_station(tmp_path, sealed, model_variant="float")
    assert 'runs float: model_variant is "float"' in check(path)
    path = write_station(tmp_path, sealed, model_variant="int8-arm")
    assert "FAULT bundle" in check(path)
    assert "asks for int8-arm, which the bundle has not; there are float, int8-vnni" in check(path)
    path = write_station(tmp_path, sealed, model_variant="int9")
    assert "model_variant 'int9': must be 'auto', 'float', 'int8-vnni'" in check(path)
    shown = run_inspector("bundle", "show", sealed.folder)
    assert "a station on this machine runs int8-vnni: any machine runs it" in shown.stderr
    assert json.loads(shown.stdout.partition("\n")[2])["variants"][0]["name"] == "int8-vnni"
    verified = run_inspector("bundle", "verify", sealed.folder)
    assert verified.returncode == 0
    assert "int8-vnni: passes it too" in verified.stdout


def check(path: Path) -> str:
    return run_inspector("check", path).stdout
