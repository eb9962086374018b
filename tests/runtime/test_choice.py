"""Which runtime serves: what the settings name, what was recorded here, else as it was judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from inspector.contract.bundle import read_bundle
from inspector.contract.errors import BundleError, ConfigError
from inspector.runtime.choice import Chosen, ChosenFile, record, resolve
from inspector.runtime.loader import open_runtime
from inspector.runtime.onnx import providers_for
from inspector.runtime.settings import RuntimeSettings
from tests.support import make_bundle, run_inspector, write_station

DEMO = Path(__file__).parents[2] / "inspector" / "demo" / "bundle"
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
OPENVINO = Chosen(kind="openvino", threads=2, p99_ms=1.0)


def auto(folder: Path) -> RuntimeSettings:
    return RuntimeSettings(kind="auto", chosen=folder / "runtime.json")


def test_auto_takes_what_was_recorded_for_the_bundle_on_this_machine(tmp_path: Path) -> None:
    record(tmp_path / "runtime.json", "tiny-1", OPENVINO)
    record(tmp_path / "runtime.json", "tiny-2", OPENVINO.model_copy(update={"threads": 1}))
    found = resolve(auto(tmp_path), "tiny-1").settings
    assert (found.kind, found.threads) == ("openvino", 2)
    other, why = resolve(auto(tmp_path), "tiny-3")
    assert other.words == "onnxruntime, 1 thread"
    assert "tiny-3 was not measured" in why


def test_auto_takes_nothing_that_was_recorded_with_other_versions(tmp_path: Path) -> None:
    path = tmp_path / "runtime.json"
    record(path, "tiny-1", OPENVINO)
    file = ChosenFile.model_validate_json(path.read_bytes())
    older = file.machine.model_copy(update={"versions": {"onnxruntime": "1.0"}})
    path.write_text(file.model_copy(update={"machine": older}).model_dump_json(by_alias=True))
    found, why = resolve(auto(tmp_path), "tiny-1")
    assert found.kind == "onnxruntime"
    assert "was measured with versions {'onnxruntime': '1.0'}, here it is" in why
    record(path, "tiny-2", OPENVINO)  # begins anew: the older rows are of another machine
    assert list(ChosenFile.model_validate_json(path.read_bytes()).bundles) == ["tiny-2"]


@pytest.mark.parametrize(
    ("content", "says"), [(None, "is not there"), (b"{", "cannot be used")], ids=["none", "damaged"]
)
def test_auto_without_a_record_runs_as_judged_and_says_what_measures(
    tmp_path: Path, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "runtime.json").write_bytes(content)
    found, why = resolve(auto(tmp_path), "tiny-1")
    assert found.words == "onnxruntime, 1 thread"
    assert says in why
    assert "inspector bench --runtimes" in why


def test_a_choice_that_fails_here_gives_way_to_how_the_bundle_was_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as where it is not installed
    bundle = make_bundle(tmp_path)
    record(tmp_path / "runtime.json", bundle.id, OPENVINO)
    assert open_runtime(bundle, auto(tmp_path)).engine.startswith("onnxruntime")
    with pytest.raises(ConfigError, match=r"pip install 'inspector\[openvino\]'"):
        open_runtime(bundle, RuntimeSettings(kind="openvino"))


def test_a_provider_that_is_not_there_is_refused_in_words_and_auto_takes_the_best() -> None:
    assert providers_for("auto", [CPU]) == [CPU]
    assert providers_for("auto", [CPU, CUDA]) == [CUDA, CPU]
    assert providers_for("cuda", ["TensorrtExecutionProvider", CUDA, CPU]) == [CUDA, CPU]
    assert providers_for("cpu", [CUDA, CPU]) == [CPU]
    with pytest.raises(ConfigError, match=r"provider tensorrt: .* has cuda, cpu alone"):
        providers_for("tensorrt", [CUDA, CPU])


def test_a_station_whose_runtime_cannot_be_had_ends_in_words(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "bundles")
    path = write_station(tmp_path, bundle, runtime={"kind": "onnxruntime", "provider": "cuda"})
    for command in ("check", "run"):
        done = run_inspector(command, path)
        assert done.returncode == 78
        assert "runtime.provider cuda: the onnxruntime installed here has cpu alone" in (
            done.stdout + done.stderr
        )
    path = write_station(tmp_path, bundle, runtime={"kind": "openvino", "provider": "cuda"})
    done = run_inspector("check", path)
    assert "is onnxruntime's; openvino takes" in done.stdout


def test_a_bundle_of_training_answers_in_openvino_as_it_did_in_onnxruntime() -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    (folder,) = (each.parent for each in DEMO.glob("*/manifest.json"))
    runtime = open_runtime(read_bundle(folder), RuntimeSettings(kind="openvino"))
    assert "openvino" in runtime.engine


def test_a_station_that_does_not_ask_for_openvino_does_not_load_it(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path)
    code = (
        "import sys; from pathlib import Path; from inspector.contract.bundle import read_bundle\n"
        "from inspector.runtime.loader import open_runtime\nimport inspector.build\n"
        "open_runtime(read_bundle(Path(sys.argv[1]))); print('openvino' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bundle.folder], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_a_named_runtime_that_fails_its_self_test_refuses_the_bundle(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")

    def spoil(draft: Path) -> None:
        (draft / "golden" / "good.png").write_bytes((draft / "golden" / "dark.png").read_bytes())

    with pytest.raises(BundleError, match="self-test"):
        open_runtime(make_bundle(tmp_path, spoil=spoil), RuntimeSettings(kind="openvino"))


SANDBOXED = """
import ctypes, sys
from pathlib import Path
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) != 0:  # PR_SET_MDWE: as MemoryDenyWriteExecute
    sys.exit(77)
from inspector.contract.bundle import read_bundle
from inspector.runtime.choice import Chosen, record
from inspector.runtime.loader import open_runtime
from inspector.runtime.settings import RuntimeSettings
bundle, chosen = read_bundle(Path(sys.argv[1])), Path(sys.argv[2])
record(chosen, bundle.id, Chosen(kind="openvino", threads=1, p99_ms=1.0))
print(open_runtime(bundle, RuntimeSettings(kind="auto", chosen=chosen)).engine)
try:
    open_runtime(bundle, RuntimeSettings(kind="openvino"))
except Exception as error:
    print(error)
"""


def test_openvino_in_a_sandbox_that_forbids_its_code_says_so_and_auto_goes_on(
    tmp_path: Path,
) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    bundle = make_bundle(tmp_path / "bundles")
    done = subprocess.run(
        [sys.executable, "-c", SANDBOXED, bundle.folder, tmp_path / "runtime.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("needs a kernel with PR_SET_MDWE (6.3)")
    engine, words = done.stdout.splitlines()
    assert engine.startswith("onnxruntime")
    assert "MemoryDenyWriteExecute=no" in words
