"""The whole chain as a user runs it: a process of its own, killed and started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.contract.bundle import read_bundle
from inspector.contract.errors import BundleError
from inspector.contract.image import fit
from inspector.contract.verdict import Limits
from inspector.runtime.loader import find_bundle, open_runtime
from tests.support import make_bundle
from tests.training.plates import PLAN
from tests.training.releases import PATIENCE_S, SEVERITY, Forked, Released
from training.cli import main
from training.dataset import SPLITS
from training.report import Report
from training.report_plots import confusion, recalls
from training.run import Run


def test_images_become_a_bundle_that_tests_itself_and_judges(released: Released) -> None:
    runtime = open_runtime(released.bundle)
    path = next((released.data / "good").iterdir())
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    prediction = runtime.predict([fit(np.asarray(image, np.uint8), runtime.spec)])[0]
    assert 0.0 <= prediction.defect_score <= 1.0
    assert prediction.defect_map is not None
    assert released.bundle.manifest.labels == ("good", "scratch", "spot")
    assert {golden.label for golden in released.bundle.manifest.golden} == {
        "good",
        "scratch",
        "spot",
    }


def test_a_class_whose_name_looks_like_a_formula_is_drawn_as_it_is_called(
    released: Released,
) -> None:
    text = (released.out / "report" / "report.json").read_text(encoding="utf-8")
    report = Report.model_validate_json(text)
    named = report.model_copy(update={"labels": ("good", "$1^$", r"spot\$")})
    assert confusion(named) != confusion(report)
    assert recalls(named) != recalls(report)


def test_no_golden_picture_was_trained_or_tuned_on(released: Released) -> None:
    split = json.loads(next(released.out.glob("work/split-*/split.json")).read_text("utf-8"))
    sets = [set(split[name]) for name in SPLITS]
    assert sum(map(len, sets)) == len(set.union(*sets)) == 36
    scan = json.loads(next(released.out.glob("work/scan-*/scan.json")).read_text("utf-8"))
    golden = {(released.data / scan["kept"][i]).read_bytes() for i in split["golden"]}
    for each in released.bundle.manifest.golden:
        assert (released.bundle.folder / each.file).read_bytes() in golden


def test_the_report_has_tables_plots_and_pictures(released: Released) -> None:
    page = (released.bundle.folder / "report.html").read_text(encoding="utf-8")
    for words in (
        "Teacher beside student",
        "Confusion matrix",
        "Worst mistakes",
        "resnet18",
        "Reliability",
    ):
        assert words in page
    assert page.count("data:image/png;base64,") == 8
    assert "http" not in page  # nothing is fetched
    for words in (
        "critical (spot) at most 2 %: 149 missed-free",
        "cost of 1000 parts",
        "expected calibration error",
    ):
        assert words in page
    report = json.loads((released.bundle.folder / "report.json").read_text(encoding="utf-8"))
    small = ["student-int8", "student-int8-avx2", "student-int8-arm"]
    assert [row["role"] for row in report["models"]] == ["teacher", "student", *small]
    tried = [(each["method"], each["per_channel"]) for each in report["quantised"]["sweep"]]
    methods = ("minmax", "percentile 99.9")
    assert tried == [(method, each) for method in methods for each in (True, False)]
    assert report["quantised"]["because"] in page


def test_the_report_says_whether_int8_finds_the_same_parts_strange(released: Released) -> None:
    judged = next(released.out.glob("work/judge-*"))
    ours, theirs = (
        np.load(judged / f"{role}-validation-novelty.npy") for role in ("student", "student-int8")
    )
    expected = np.corrcoef(ours.argsort().argsort(), theirs.argsort().argsort())[0, 1]
    report = json.loads((released.bundle.folder / "report.json").read_text(encoding="utf-8"))
    found = {row["role"]: row["novelty_ranks"] for row in report["models"]}
    assert (found["teacher"], found["student"]) == (None, None)
    assert found["student-int8"] == pytest.approx(expected)
    sentence = f"rank correlation of its novelty with that of FP32 {expected:.2f}"
    assert f"student-int8: {sentence}" in released.said
    assert sentence in (released.bundle.folder / "report.html").read_text(encoding="utf-8")


def test_a_repeated_job_does_nothing_and_finds_its_bundle(released: Released) -> None:
    again = Forked("release", released.plan, "--data", released.data, "--out", released.out).end()
    assert again.returncode == 0, again.stderr
    assert Path(again.stdout.strip()).name == released.bundle.id
    assert "starts" not in again.stderr


def test_a_bundle_that_was_moved_away_is_sealed_again(released: Released, tmp_path: Path) -> None:
    away = tmp_path / "bundle"
    released.bundle.folder.rename(away)
    again = Forked("release", released.plan, "--data", released.data, "--out", released.out).end()
    assert again.returncode == 0, again.stderr
    sealed = read_bundle(Path(again.stdout.strip()))
    assert sealed.manifest.model == released.bundle.manifest.model
    shutil.rmtree(sealed.folder)
    away.rename(released.bundle.folder)
    (next(released.out.glob("work/bundle-*")) / "bundle.txt").write_text(released.bundle.id)


def test_two_jobs_never_share_a_work_folder(released: Released, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = Forked("release", released.plan, "--data", released.data, "--out", out)
    until = time.monotonic() + PATIENCE_S
    while not list(out.glob("work/scan-*")) and time.monotonic() < until:
        time.sleep(0.01)
    second = Forked("release", released.plan, "--data", released.data, "--out", out).end()
    assert second.returncode == 78
    assert f"another job (process {first.pid}) is using it" in second.stderr
    os.kill(first.pid, signal.SIGINT)
    stopped = first.end()
    assert stopped.returncode == 130
    assert "goes on where it was" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_what_is_wrong_at_first_sight_is_told_before_torch_is_imported(
    class_folders: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from training.cli import main; code = main(sys.argv[1:]);"
        "print(code, 'torch' in sys.modules)"
    )
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(PLAN, encoding="utf-8")
    bad.write_text(PLAN.replace("threads = 1", "threads = -1"), encoding="utf-8")
    holder = Run(tmp_path / "work", lambda _: None)  # as another job has it
    for plan, words in ((bad, "threads -1"), (good, "is using it")):
        for command in ("release", "compare", "novelty"):
            call = [command, plan, "--data", class_folders, "--out", tmp_path]
            done = subprocess.run(
                [sys.executable, "-c", code, *map(str, call)],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stdout == "78 False\n", (command, done.stderr)
            assert words in done.stderr
    holder.close()


def test_goals_that_the_data_cannot_prove_are_said_before_anything_is_trained(
    released: Released, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.toml"
    proof = PLAN.replace("allow_uncertified = true", "") + SEVERITY
    strict.write_text(proof, encoding="utf-8")
    out = shutil.copytree(released.out, tmp_path / "out")
    said = Forked("release", strict, "--data", released.data, "--out", out).end().stderr
    before, _, _ = said.partition("teacher: ")
    assert "no bundle: all defects 5 % takes 59 calibration parts" in before
    assert "no bundle: critical (spot) 2 % takes 149 calibration parts" in before
    assert "there are 2. Collect 147 more, or write quality.allow_uncertified = true" in before


def test_of_a_bundle_that_no_station_takes_its_release_says_so_also_when_it_is_quiet(
    released: Released, tmp_path: Path
) -> None:
    out = shutil.copytree(released.out, tmp_path / "out")
    lax = make_bundle(out / "bundles", limits=Limits(review_at=1.0, reject_at=1.0))
    words = ("release", released.plan, "--data", released.data, "--out", out)
    assert Forked(*words).end().returncode == 0
    for made in (out / "work").glob("bundle-*/bundle.txt"):
        made.write_text(lax.id, encoding="utf-8")  # as if the plan had come to this one
    done = Forked(*words, "--quiet").end()
    assert (done.returncode, done.stdout) == (0, f"{lax.folder}\n")
    said = done.stderr.strip()
    assert said.startswith(f"caveat: no station takes bundle {lax.id}: float: limits: they pass 2")
    with pytest.raises(BundleError, match="they pass 2 of 2"):
        find_bundle(lax.folder.parent, lax.id)


def test_a_model_that_misses_the_goal_makes_no_bundle_but_a_report(
    released: Released, tmp_path: Path
) -> None:
    strict = tmp_path / "strict.toml"
    strict.write_text(PLAN.replace("allow_uncertified = true", ""), encoding="utf-8")
    out = shutil.copytree(released.out, tmp_path / "out")  # others read the report it replaces
    refused = Forked("release", strict, "--data", released.data, "--out", out).end()
    assert refused.returncode == 3
    assert (
        "not certifiable: all defects (scratch, spot) at most 5 %: 59 missed-free" in refused.stderr
    )
    assert len(list((out / "bundles").iterdir())) == 1
    assert (out / "report" / "report.html").exists()


@pytest.mark.parametrize(
    ("line", "instead", "words"),
    [
        ('model = "resnet18"', 'model = "resnet18x"', "'resnet18x': timm has no such model"),
        ('name = "D4"', 'name = "D5"', "'D5': albumentations has no such transform"),
        ('name = "D4"', 'name = "Resize"\noptions = {height = 8, width = 8}', "must keep size"),
        ("golden = 0.25", "golden = 2", "split.golden 2: input should be less than 0.8"),
        ("golden = 0.25", "gold = 2", "split.gold: is not a key here; known keys: calibration"),
        ("threads = 1", 'threads = 1\ndevice = "cuda"', "device 'cuda': torch sees none here"),
        ('weights = "none"', 'weights = "w.pth"', "w.pth': there is no such file"),
        ('good = ["good"]', 'good = ["fine"]', "good 'fine': no such class here"),
        (
            "[quality]",
            '[quality.severity.minor]\nclasses = ["dent"]\n[quality]',
            "quality.severity.minor.classes 'dent': no defect class of this data (is not there); "
            "must be of scratch, spot",
        ),
        (
            "[quality]",
            '[quality.severity.grave]\nclasses = ["spot"]\n[quality]',
            "quality.severity.grave: is not a key here; known keys: critical, major, minor",
        ),
    ],
)
def test_a_plan_that_cannot_work_is_explained(
    class_folders: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    instead: str,
    words: str,
) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.replace(line, instead, 1), encoding="utf-8")
    code = main(["release", str(plan), "--data", str(class_folders), "--out", str(tmp_path / "o")])
    assert code in (65, 78)
    assert words in capsys.readouterr().err
