"""One graph in onnxruntime, one thread: a bare loop over inputs that are ready, or (--script) what
a plain script does with a decoded picture: resize, scale, model, likeliest class. Run as a file.
"""

import argparse
from typing import Any

import numpy as np
import onnxruntime as ort
from loop import own_stdout, pictures_in, serve  # type: ignore[import-not-found] # beside it


def main() -> None:
    from pathlib import Path

    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--script", action="store_true")
    arguments = parser.parse_args()
    out = own_stdout()
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
    (into,) = session.get_inputs()
    pictures = pictures_in(arguments.pictures)
    about = {"what": f"onnxruntime {ort.__version__}, input {into.type} {into.shape}"}

    def script(i: int) -> int:
        feed = {into.name: _ready(pictures[i % len(pictures)], into)}
        return int(session.run(None, feed)[0].argmax())

    if arguments.script:
        serve(out, script, about)
        return
    feeds = [{into.name: _ready(image, into)} for image in pictures]
    serve(out, lambda i: session.run(None, feeds[i % len(feeds)]), about)


def _ready(image: Any, into: Any) -> Any:
    """As the graph takes it: uint8 rows of pixels, or float planes of 0 to 1."""
    import cv2

    pixels_first = into.shape[3] == 3
    size = into.shape[1:3] if pixels_first else into.shape[2:4]
    height, width = (side if isinstance(side, int) else 224 for side in size)
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)[None]
    if pixels_first:
        return small
    return np.ascontiguousarray(small[..., ::-1].transpose(0, 3, 1, 2)).astype(np.float32) / 255


if __name__ == "__main__":
    main()
