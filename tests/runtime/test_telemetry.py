"""A station tells nobody anything but its subscribers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import make_bundle

OPEN = (
    "import sys; from pathlib import Path; from inspector.contract.bundle import read_bundle; "
    "from inspector.runtime.loader import open_runtime; "
    "open_runtime(read_bundle(Path(sys.argv[1])))"
)
OPENVINO = OPEN.replace("[1])))", "[1])), RuntimeSettings(kind='openvino'))").replace(
    "import sys;", "import sys; from inspector.runtime.settings import RuntimeSettings;"
)
TRAIN = (
    "import sys; from pathlib import Path; from training.export import open_session; "
    "open_session(Path(sys.argv[1], 'model.onnx'))"
)


@pytest.mark.parametrize("code", [OPEN, OPENVINO, TRAIN], ids=["station", "openvino", "training"])
def test_opening_a_model_leaves_nothing_of_its_librarys_telemetry(
    tmp_path: Path, code: str
) -> None:
    if code is OPENVINO:
        pytest.importorskip("openvino", reason="needs the openvino extra")
    bundle = make_bundle(tmp_path / "bundles")
    home = tmp_path / "home"
    home.mkdir()
    ours = ("HOME", "TMPDIR", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY"}
    environment |= dict.fromkeys(ours, str(home))
    subprocess.run([sys.executable, "-c", code, str(bundle.folder)], check=True, env=environment)
    names = [path.name for path in home.rglob("*")]
    assert ".ses" not in names
    assert "onnxruntime.db" not in names
    assert not any("intel" in name.lower() or "openvino" in name.lower() for name in names)
