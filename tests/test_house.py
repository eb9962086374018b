"""The house rules, checked by machine: who imports whom, what an edge loads, style and types."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from inspector.contract.verdict import EVALUATION_OF, Evaluation

ROOT = Path(__file__).parent.parent
STANDARD = sys.stdlib_module_names

CONTRACT = {"numpy", "pydantic", "pydantic_core", "cv2", "inspector.contract"}
STATION = CONTRACT | {"inspector.station"}
# Folder (or file) -> what it may import beside the standard library and itself.
MAY_IMPORT: dict[str, set[str]] = {
    "inspector/contract": CONTRACT,
    "inspector/station": STATION,
    "inspector/devices": STATION | {"inspector.devices", "gpiod", "pymodbus"},
    "inspector/runtime": STATION | {"inspector.runtime", "onnxruntime", "openvino", "cryptography"},
    "inspector/delivery": STATION | {"inspector.delivery", "paho", "cryptography", "google"},
    # watches the station and is asked about it: knows its state, never its devices or its disk
    "inspector/supervise": STATION | {"inspector.supervise", "prometheus_client"},
    # a subscriber as any other: it knows topics and messages, not the station
    "inspector/consumer": CONTRACT
    | {"inspector.consumer", "psycopg"}
    | {f"inspector.delivery.{name}" for name in ("broker", "connection", "inbound")}
    | {f"inspector.delivery.{name}" for name in ("patience", "versions")},
    # the other side of the line's signal: it knows topics, messages and registers, not the station
    "inspector/linesim": CONTRACT
    | {"inspector.linesim", "inspector.devices.line_modbus", "pymodbus"}
    | {f"inspector.delivery.{name}" for name in ("broker", "connection", "inbound", "versions")},
    # reads what a station wrote, and judges pictures as it would; never a device, never its disk
    "inspector/study": STATION
    | {
        "inspector.__version__",
        "inspector.study",
        "inspector.runtime",
        "inspector.examine",
        "inspector.replay",
    }
    | {f"inspector.delivery.{name}" for name in ("kept", "release")}
    | {"inspector.devices.camera_replay"},
    # the operator's pages: a subscriber with a commander's key, that reads journal and archive
    "inspector/hmi": CONTRACT
    | {"inspector.__version__", "inspector.hmi", "fastapi", "starlette", "uvicorn", "h11"}
    | {f"inspector.delivery.{name}" for name in ("broker", "connection", "inbound", "patience")}
    | {f"inspector.delivery.{name}" for name in ("versions", "wake", "keys", "commander")}
    | {"inspector.delivery.rejoin"}
    | {f"inspector.delivery.{name}" for name in ("reader", "release", "kept", "ledger")}
    | {f"inspector.delivery.{name}" for name in ("database", "disagreements", "tls")}
    | {"inspector.station.attest_rule"}
    | {f"inspector.delivery.{name}" for name in ("reviews", "review_desk", "review_policy")},
    "inspector/demo": CONTRACT
    | {"inspector.demo", "inspector.delivery.journal", "paho", "amqtt", "rich", "elpv_dataset"},
    "inspector": STATION
    | {"inspector", "inspector.devices", "inspector.runtime", "inspector.delivery"}
    | {"inspector.supervise", "inspector.consumer", "inspector.linesim", "inspector.study"}
    | {"pyarrow"},
    "training": CONTRACT
    | {"inspector", "inspector.runtime", "training", "torch", "timm", "albumentations"}
    | {"onnx", "onnxruntime", "scipy", "sklearn", "matplotlib", "rich", "safetensors"}
    | {"accelerate", "torch_pruning", "optuna", "tomli_w"},
}
# One library, one door.
DOORS: dict[str, set[str]] = {
    "accelerate": {"training/team.py"},
    "cryptography": {
        "inspector/runtime/signature.py",
        "inspector/delivery/tls.py",
        "inspector/delivery/keys.py",
    },
    "timm": {"training/models.py"},
    "albumentations": {"training/augment.py"},
    "onnxruntime": {
        "inspector/runtime/onnx.py",
        "training/export.py",
        "training/compress/",
    },
    "openvino": {"inspector/runtime/openvino.py"},
    "gpiod": {"inspector/devices/line_gpio.py"},
    "pymodbus": {"inspector/devices/line_modbus.py", "inspector/linesim/plc.py"},
    "prometheus_client": {"inspector/supervise/metrics.py"},
    "paho": {"inspector/delivery", "inspector/demo", "inspector/check.py"},
    "google": {  # protobuf
        "inspector/delivery/sparkplug_payload.py",
        "inspector/delivery/sparkplug_b_pb2.py",
    },
    "optuna": {"training/search.py"},
    "tomli_w": {"training/search_run.py"},
    "fastapi": {"inspector/hmi"},
    "starlette": {"inspector/hmi"},
    "uvicorn": {"inspector/hmi/serve.py", "inspector/hmi/connections.py"},
    "h11": {"inspector/hmi/connections.py"},  # uvicorn's
    "pyarrow": {"inspector/parquet.py"},
    "psycopg": {"inspector/consumer/postgres.py"},
    "safetensors": {"training/handover.py"},
    "torch_pruning": {"training/compress/prune.py"},
    "matplotlib": {
        "training/report_plots.py",
        "training/compare_plots.py",
        "training/search_plots.py",
        "training/views_plot.py",
    },
}
# What decides has no clock, no chance, no socket, no database of its own.
PURE = ("inspector/contract", "inspector/station")
IMPURE = {"time", "random", "socket", "sqlite3"}


def sources() -> list[Path]:
    return sorted([*ROOT.glob("inspector/**/*.py"), *ROOT.glob("training/**/*.py")])


def imports_of(path: Path) -> list[tuple[str, int]]:
    """(module, relative level) of each import, wherever in the file it stands."""
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(name.name, 0) for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module in ("inspector", "training"):
            found += [(f"{node.module}.{name.name}", node.level) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level))
    return found


def rule_for(name: str) -> set[str]:
    folders = [folder for folder in MAY_IMPORT if name.startswith(f"{folder}/")]
    return MAY_IMPORT[max(folders, key=len)]


def within(module: str, allowed: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for module, level in imports_of(path):
        top = module.split(".")[0]
        assert level == 0, f"{name}: relative import of {module}"
        if top not in STANDARD:
            assert within(module, rule_for(name)), f"{name} must not import {module}"
        if name.startswith(PURE):
            assert top not in IMPURE, f"{name} must not import {module}"
        if top in DOORS:
            assert any(name.startswith(door) for door in DOORS[top]), (
                f"{name}: {top} has one door: {DOORS[top]}"
            )


def test_no_edge_module_loads_torch_or_anything_of_training() -> None:
    modules = [
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sources()
        if path.is_relative_to(ROOT / "inspector") and path.name != "__main__.py"
    ]
    modules = [module.removesuffix(".__init__") for module in modules]
    code = (
        f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
        "bad = {'torch', 'timm', 'albumentations', 'training', 'scipy', 'sklearn', 'onnx'}\n"
        "print(sorted(bad & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines_max, function_max = 300, 70
    assert len(text.splitlines()) <= lines_max
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
            assert node.end_lineno - node.lineno < function_max, f"{path.name}: {node.name}"


@pytest.mark.parametrize(
    "words",
    [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]],
    ids=["lint", "format", "types"],
)
def test_the_code_is_clean(words: list[str]) -> None:
    tool = shutil.which(words[0], path=str(Path(sys.executable).parent)) or words[0]
    done = subprocess.run([tool, *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in ("inspector", "inspector-train"):
        module = "training.cli" if command == "inspector-train" else "inspector.cli"
        done = subprocess.run(
            [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True
        )
        choices = re.findall(r"^ {4}([a-z]+)(?: |$)", done.stdout, re.MULTILINE)
        assert choices
        for choice in choices:
            assert f"{command} {choice}" in readme, f"README.md does not name {command} {choice}"


def test_the_readme_says_of_every_cause_where_to_look_first() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, section = readme.partition("\n### Why a part did not pass\n")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", section.partition("\n### ")[0], re.MULTILINE)
    assert {cause: Evaluation[evaluation] for cause, evaluation in rows} == EVALUATION_OF
    assert len(rows) == len(EVALUATION_OF)


def test_every_place_that_the_readme_sends_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    plain = [each.lower() for each in re.findall(r"^#{2,3} (.+)$", readme, re.MULTILINE)]
    places = [re.sub(r"[^\w\- ]", "", each).replace(" ", "-") for each in plain]
    sent_to = re.findall(r"\]\(#([^)]+)\)", readme)
    assert len(sent_to) > 30
    assert set(sent_to) <= set(places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("module", ["inspector.cli", "training.cli"])
def test_every_command_shows_how_it_is_called(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main = importlib.import_module(module).main
    program = "inspector" if module == "inspector.cli" else "inspector-train"

    def help_of(*words: str) -> str:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        return capsys.readouterr().out

    commands = re.findall(r"^ {4}([a-z-]+)(?: |$)", help_of(), re.MULTILINE)
    assert len(commands) > 5
    for command in commands:
        _, _, shown = help_of(command).partition("\nexamples:\n")
        assert f"  {program} {command}" in shown, f"{program} {command} --help has no examples"
