"""Ultralytics' own classification predict over the pictures. Run as a file by the peers' Python."""

import argparse
import json
from pathlib import Path
from typing import Any

from loop import (  # type: ignore[import-not-found] # beside it
    judge_files,
    load_torch,
    one_onnx_thread,
    own_stdout,
    pictures_in,
    serve,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--judge", type=Path, help="JSON: these files instead, for the accuracy")
    arguments = parser.parse_args()
    out = own_stdout()
    load_torch()
    one_onnx_thread()
    import ultralytics

    model = ultralytics.YOLO(arguments.model, task="classify")
    ask: dict[str, Any] = {"imgsz": arguments.size, "verbose": False, "device": "cpu"}
    if arguments.judge:
        bad = next(i for i, name in model.names.items() if name == "bad")

        def judge(image: Any) -> tuple[float, bool]:
            probabilities = model.predict(image, **ask)[0].probs
            return float(probabilities.data[bad]), probabilities.top1 == bad

        judge_files(out, judge, json.loads(arguments.judge.read_text(encoding="utf-8")))
        return
    pictures = pictures_in(arguments.pictures)
    about = {"what": f"ultralytics {ultralytics.__version__} predict"}
    serve(out, lambda i: model.predict(pictures[i % len(pictures)], **ask), about)


if __name__ == "__main__":
    main()
