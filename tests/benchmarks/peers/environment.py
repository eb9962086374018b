"""The peers in a virtual environment of their own: nothing of them is a dependency of ours."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PEERS = ("ultralytics>=8.4", "anomalib>=2.7", "openvino>=2026.4", "onnxruntime>=1.31")
EXPORT = ("onnx>=1.23", "onnxscript>=0.7", "onnxslim>=0.1.98")
"""What their exporters ask for."""
TORCH = ("torch", "torchvision")
DONE = "peers-installed"


def python_in(folder: Path) -> Path:
    """The peers' Python; installs where they are not yet (two minutes, 2 GB with a CPU torch)."""
    python = folder / "bin" / "python"
    if (folder / DONE).is_file():
        return python
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    # torch first: with the others at once a plain torch, gigabytes of CUDA, may take its place
    subprocess.run([*pip, *TORCH], check=True)
    subprocess.run([*pip, *PEERS, *EXPORT], check=True)
    # ultralytics asks for the desktop's OpenCV, which lies in the same folder as the headless one
    headless = "opencv-python-headless"
    subprocess.run([*pip, "--force-reinstall", "--no-deps", headless], check=True)
    (folder / DONE).touch()
    return python


def versions(python: Path) -> str:
    """Of what is compared."""
    code = (
        "from importlib.metadata import version as v; print(*(f'{n} {v(n)}' for n in "
        "('ultralytics', 'anomalib', 'openvino', 'onnxruntime', 'torch')), sep=', ')"
    )
    clean = {name: each for name, each in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True, env=clean
    )
    return done.stdout.strip()
