"""One contender in a process of its own, which is asked for a turn at a time. Standard library and
numpy alone: it is run by the peers' own Python as well as by ours.

One JSON object a line in both directions; what the libraries print goes to stderr.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

WARM_UP = 5
"""Calls before each turn that are not counted: another process had the caches meanwhile."""


def own_stdout() -> Any:
    """The pipe to who asks; whatever is printed from here on goes to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out


def serve(out: Any, once: Callable[[int], object], about: dict[str, Any]) -> None:
    """Say `about`, then take turns until stdin ends. once: one part, given its number."""
    _say(out, about)
    number = 0
    for line in sys.stdin:
        seconds = float(json.loads(line)["seconds"])
        for _ in range(WARM_UP):
            once(number)
            number += 1
        cpu, start = time.process_time(), time.perf_counter()
        at, end, took_ms = start, start + seconds, []
        while at < end:
            once(number)
            number += 1
            now = time.perf_counter()
            took_ms.append(1e3 * (now - at))
            at = now
        _say(out, {"ms": took_ms, "wall_s": at - start, "cpu_s": time.process_time() - cpu})


def pictures_in(folder: Path) -> list[Any]:
    """Decoded before anything is timed, by name, as OpenCV reads them: BGR."""
    import cv2

    cv2.setNumThreads(1)
    return [cv2.imread(str(path)) for path in sorted(folder.glob("*.bmp"))]


def judge_files(out: Any, judge: Callable[[Any], tuple[float, bool]], files: Sequence[str]) -> None:
    """Say (defect score, is called a defect) of each file, for its accuracy."""
    import cv2

    _say(out, {"judged": [judge(cv2.imread(file)) for file in files]})


def one_onnx_thread() -> None:
    """Have every session of onnxruntime in this process compute with one thread: who opens them
    here has no such setting of its own.
    """
    import onnxruntime as ort

    opened = ort.InferenceSession

    def with_one_thread(model: Any, sess_options: Any = None, **others: Any) -> Any:
        options = sess_options or ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return opened(model, options, **others)

    ort.InferenceSession = with_one_thread


def load_torch(threads: int = 1) -> None:
    """And torchvision: PyPI's is built for CUDA, so that beside a CPU torch its operators are
    declared by name; the Python part is all that is needed (as training/models.py).
    """
    import torch

    torch.set_num_threads(threads)
    try:
        import torchvision  # type: ignore[import-untyped] # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for name in ("nms", "qnms"):
            schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(schema)  # type: ignore[no-untyped-call]
        _kept.append(library)


_kept: list[Any] = []


def _say(out: Any, what: dict[str, Any]) -> None:
    out.write(json.dumps(what) + "\n")
    out.flush()
