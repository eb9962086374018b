"""The teacher of a release looks again at what its student passed on a station."""

import csv
from pathlib import Path

import numpy as np
import onnxruntime as ort

from inspector.contract.image import decode, fit
from tests.support import run_inspector, write_station
from tests.training.releases import Released


def test_the_teacher_that_a_release_leaves_rechecks_what_its_student_passed(
    released: Released, tmp_path: Path
) -> None:
    # a model of three epochs is sure of nothing: here everything it saw passes
    limits = {"review_at": 1.0, "reject_at": 1.0, "novelty_at": 1e9}
    station = write_station(
        tmp_path,
        released.bundle,
        camera={"folder": str(released.data)},
        archive={"keep": "all"},
        recipe={"limits": limits},
        drain_s=0.0,
    )
    done = run_inspector("run", station)
    assert done.returncode == 0, done.stderr
    (teacher,) = released.out.glob("work/export-teacher-*/model.onnx")
    words: list[str | Path] = ["--since", "2026-01-01", "--teacher", teacher, "--suspect-at", "0.5"]
    done = run_inspector("study", "recheck", station, "--out", tmp_path / "study", *words)
    assert done.returncode in (0, 3), done.stdout + done.stderr
    with (tmp_path / "study" / "recheck.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 3
    assert {row["outcome"] for row in rows} <= {"passes", "suspect"}
    manifest = released.bundle.manifest
    session = ort.InferenceSession(teacher, providers=["CPUExecutionProvider"])
    for row in rows[:3]:
        picture = decode((tmp_path / "images" / f"{row['image']}.jpg").read_bytes())
        (found,) = session.run(["probabilities"], {"image": fit(picture, manifest.image)[None]})
        good = [manifest.labels.index(label) for label in manifest.good]
        score = 1.0 - float(np.asarray(found)[0, good].sum())
        assert abs(float(row["again"]) - score) < 1e-4
        assert (row["outcome"] == "suspect") is (score >= 0.5)
