"""Public data sets that anyone can have, as manifests."""

import csv
import importlib.util
from pathlib import Path

from inspector.contract.errors import DataError

ELPV_DEFECTIVE_ABOVE = 0.5


def elpv(out: Path) -> Path:
    """Write manifest.csv for the solar cells of the `elpv-dataset` package; returns its path.

    A cell is defective where its defect probability is above 0.5 (2/3 and 1); the probability is
    kept as severity. Raises DataError where the package is missing.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DataError("the solar cells are not installed: pip install elpv-dataset")
    folder = Path(spec.origin).parent / "data"
    out.mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "part", "severity"])
        images = out / "images"
        if not images.exists():
            images.symlink_to(folder / "images", target_is_directory=True)
        for line in (folder / "labels.csv").read_text(encoding="ascii").splitlines():
            name, probability, _kind = line.split()
            defective = float(probability) > ELPV_DEFECTIVE_ABOVE
            label = "defective" if defective else "functional"
            writer.writerow([name, label, Path(name).stem, probability])
    return manifest
