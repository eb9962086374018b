"""Anomalib's OpenVINO inferencer over the pictures. Run as a file by the peers' Python."""

import argparse
import json
from pathlib import Path
from typing import Any

from loop import (  # type: ignore[import-not-found] # beside it
    judge_files,
    load_torch,
    own_stdout,
    pictures_in,
    serve,
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--precision", default="f32", help="f32, or bf16 where the CPU has it")
    parser.add_argument("--judge", type=Path, help="JSON: these files instead, for the accuracy")
    arguments = parser.parse_args()
    out = own_stdout()
    load_torch()
    import anomalib
    from anomalib.deploy import OpenVINOInferencer

    config = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": arguments.precision}
    inferencer = OpenVINOInferencer(arguments.model, device="CPU", config=config)

    def predict(image: Any) -> Any:
        return inferencer.predict(image[..., ::-1])  # it takes RGB

    if arguments.judge:

        def judge(image: Any) -> tuple[float, bool]:
            found = predict(image)
            return float(found.pred_score.squeeze()), bool(found.pred_label.squeeze())

        judge_files(out, judge, json.loads(arguments.judge.read_text(encoding="utf-8")))
        return
    pictures = pictures_in(arguments.pictures)
    about = {"what": f"anomalib {anomalib.__version__} OpenVINOInferencer, {arguments.precision}"}
    serve(out, lambda i: predict(pictures[i % len(pictures)]), about)


if __name__ == "__main__":
    main()
