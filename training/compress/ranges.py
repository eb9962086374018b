"""How far each activation reaches, from real images, without keeping an activation.

onnxruntime's percentile and entropy calibrators hold every activation of every image until the last
one is read (onnxruntime#10503). Fed a few images at a time they add them to their histograms and
let go of them; one pass then answers for every method.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod
from onnxruntime.quantization.calibrate import create_calibrator

from training.export import INPUT
from training.plan_export import Method

IMAGES_AT_ONCE = 4
BINS = 1024
"""Of the first histogram; it grows where later images reach farther. onnxruntime's own 128 leave
its entropy search a single threshold to choose from."""
LEVELS = 128
"""Steps the entropy search quantises a histogram to."""

Ranges = dict[str, tuple[float, float]]
"""Least and greatest value of each tensor."""


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._images: Iterator[NDArray[np.uint8]] = (pixels[row : row + 1] for row in rows)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        image = next(self._images, None)
        return None if image is None else {INPUT: image}


def ranges_of(
    prepared: Path,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    operators: Sequence[str],
    methods: Sequence[Method],
    percentiles: Sequence[float],
) -> dict[str, Ranges]:
    """By method, a percentile by its number: "minmax", "percentile 99.99", "entropy"."""
    alone = set(methods) == {"minmax"}  # then the graph itself takes them: a tenth of the time
    kind = CalibrationMethod.MinMax if alone else CalibrationMethod.Entropy
    options = {} if alone else {"num_bins": BINS, "num_quantized_bins": LEVELS}
    with redirect_stdout(io.StringIO()):  # it prints
        calibrator = create_calibrator(
            prepared,
            list(operators),
            augmented_model_path=str(prepared.with_suffix(".augmented.onnx")),
            calibrate_method=kind,
            extra_options=options,
        )
        for first in range(0, len(rows), IMAGES_AT_ONCE):
            calibrator.collect_data(Reader(pixels, rows[first : first + IMAGES_AT_ONCE]))
        if alone:
            found = calibrator.compute_data().data
            return {"minmax": {name: _ends(*each.range_value) for name, each in found.items()}}
        return _of_histograms(calibrator.collector, methods, percentiles)


def _of_histograms(
    collector: Any, methods: Sequence[Method], percentiles: Sequence[float]
) -> dict[str, Ranges]:
    found: dict[str, Ranges] = {}
    if "minmax" in methods:
        histograms = collector.histogram_dict.items()
        found["minmax"] = {name: _ends(each[2], each[3]) for name, each in histograms}
    for percentile in percentiles if "percentile" in methods else ():
        collector.method, collector.percentile = "percentile", percentile
        found[f"percentile {percentile:g}"] = _clipped(collector)
    if "entropy" in methods:
        collector.method = "entropy"
        found["entropy"] = _clipped(collector)
    return found


def _clipped(collector: Any) -> Ranges:
    results = collector.compute_collection_result()
    return {name: _ends(each[0], each[1]) for name, each in results.items()}


def _ends(low: Any, high: Any) -> tuple[float, float]:
    return float(np.asarray(low).item()), float(np.asarray(high).item())
