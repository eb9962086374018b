"""The same training in several processes: what is learned, and what is left when one dies."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inspector.contract.image import ImageSpec
from tests.training.plates import PLAN
from tests.training.releases import PATIENCE_S, command, learned
from tests.training.threads import Member, each_of
from training.augment import Augmenter
from training.cli import main
from training.crew import Payload, packed, unpacked
from training.distill import LabelLoss
from training.material import Material
from training.plan import read_plan
from training.plan_networks import Mix, Student
from training.views import Batch, Views

HEAD = PLAN.partition("[teacher]")[0]
ALONE = f"""{HEAD}
[student]
alpha = 0.0
model = "resnet10t"
weights = "none"
epochs = 5
batch = 7 # of 18 training pictures: the last batch has 4, and none divides
lr = 1e-4
ema = 0.5
views = 2
mix = {{ share = 0.5 }}
[quality]
allow_uncertified = true
[export]
int8 = "never"
golden_images = 6
"""


def written(folder: Path, text: str = ALONE) -> Path:
    plan = folder / "plan.toml"
    plan.write_text(text, encoding="utf-8")
    return plan


def history(out: Path) -> list[dict[str, Any]]:
    text = next(out.glob("work/student-*/history.json")).read_text(encoding="utf-8")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in json.loads(text)]


def workers(job: int) -> list[int]:
    """Processes that train for a job."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"training.worker" in words and words[-2] == str(job).encode():
            found.append(int(folder.name))
    return found


def seen(what: Any) -> Any:
    """Wait until it is true."""
    until = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_processes_learn_what_one_learns(class_folders: Path, tmp_path: Path) -> None:
    plan = written(tmp_path, ALONE.replace("epochs = 5", "epochs = 2"))
    for number in (2, 1):
        learned(plan, class_folders, tmp_path / f"{number}", processes=number)
    require_alike(history(tmp_path / "2"), history(tmp_path / "1"), epochs=2)


def require_alike(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], epochs: int) -> None:
    assert [row["epoch"] for row in ours] == list(range(1, epochs + 1))
    for two, one in zip(ours, theirs, strict=True):
        assert two["lr"] == one["lr"]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["macro_recall"] == pytest.approx(one["macro_recall"], abs=0.2)


@pytest.mark.slow
def test_two_processes_killed_twice_and_resumed_learn_what_one_learns(
    class_folders: Path, tmp_path: Path
) -> None:
    plan, out = written(tmp_path), Path(os.path.relpath(tmp_path / "two"))  # as people write it
    words = command(plan, class_folders, out, "--processes", "2")

    first = started(words)
    seen(lambda: list(out.glob("work/student-*/last.pt")))
    os.kill(workers(first.pid)[0], signal.SIGKILL)
    _, said = first.communicate(timeout=PATIENCE_S)
    assert first.returncode == 1
    assert "of 2 was killed (SIGKILL;" in said
    assert "Traceback" not in said
    assert workers(first.pid) == []

    second = started(words)
    both = seen(lambda: len(workers(second.pid)) == 2 and workers(second.pid))
    second.kill()
    second.communicate(timeout=PATIENCE_S)
    seen(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in both))

    assert "student: goes on where it was" in learned(plan, class_folders, out, processes=2)
    learned(plan, class_folders, tmp_path / "one", processes=1)
    require_alike(history(out), history(tmp_path / "one"), epochs=5)
    kept = [next(each.glob("work/student-*")).name for each in (out, tmp_path / "one")]
    assert kept[0] == kept[1]  # how many trained it is not in the stage's name
    assert not list(out.glob("work/student-*/meeting"))


def test_ctrl_c_ends_every_process(class_folders: Path, tmp_path: Path) -> None:
    words = command(written(tmp_path), class_folders, tmp_path / "out", "--processes", "2")
    job = started(words)
    both = seen(lambda: len(workers(job.pid)) == 2 and workers(job.pid))
    job.send_signal(signal.SIGINT)
    _, said = job.communicate(timeout=PATIENCE_S)
    assert job.returncode == 130
    assert said.splitlines()[-1] == "stopped; the same command goes on where it was"
    waits = "  2 processes, 1 thread(s) each: waiting until each has loaded torch"
    assert any(line.startswith(waits) for line in said.splitlines())
    seen(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in both))


@pytest.mark.parametrize("number", ["0", "4", "-1"])
def test_a_number_of_processes_that_cannot_share_a_batch_is_refused(
    class_folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: str
) -> None:
    words = ["release", str(written(tmp_path)), "--data", str(class_folders)]
    assert main([*words, "--out", str(tmp_path / "out"), "--processes", number]) == 78
    said = capsys.readouterr().err
    assert f"--processes {number}: must be 1 to 3, half of the plan's smallest batch" in said


MEET = """
import pathlib, sys
from training.team import Joined
team = Joined(int(sys.argv[1]), 2, pathlib.Path(sys.argv[2]), cuda=False)
print(team.mean([1.0]), flush=True)
sys.stdin.read()
team.leave()
"""


def test_processes_meet_in_a_folder_of_any_name_and_again_after_a_kill(tmp_path: Path) -> None:
    meeting = tmp_path / "line #3?" / "meeting"
    meeting.parent.mkdir()
    for killed in (True, False):
        words = [[sys.executable, "-c", MEET, str(rank), str(meeting)] for rank in range(2)]
        both = [subprocess.Popen(w, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for w in words]
        try:
            assert [each.stdout.readline() for each in both if each.stdout] == 2 * [b"[1.0]\n"]
            for each in both if not killed else ():
                each.communicate(timeout=PATIENCE_S)
                assert each.returncode == 0
        finally:
            for each in both:
                each.kill()
                each.communicate()
        assert {path for path in tmp_path.rglob("*") if path.is_file()} <= {meeting}
        meeting.unlink(missing_ok=True)  # as the next job does


def plain_material(images: int) -> Material:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (images, 8, 8, 3), dtype=np.uint8)
    rows = np.arange(images)
    return Material(pixels, rows % 2, rows, rows[:2], 2, good=(0,))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_every_image_of_an_epoch_is_in_one_share_and_counts_the_same(
    size: int,
) -> None:
    augmenter = Augmenter((), ImageSpec(width=8, height=8), 0)
    for images in range(6, 24):
        material = plain_material(images)
        views = Views(material, augmenter, Mix(), 0)
        order = material.order(0, 0)
        shares = each_of(size, lambda m: list(views.batches(order, 0, 6, 1, m)))  # noqa: B023
        assert len({len(share) for share in shares}) == 1
        assert len(shares[0]) in (-(-images // 6), images // 6)  # one picture joins the others
        for share in shares:
            assert all(len(batch.rows) for batch in share)
        both = np.concatenate([batch.rows for share in shares for batch in share])
        assert sorted(both.tolist()) == list(range(images))
        for parts in zip(*shares, strict=True):
            whole = sum(len(batch.rows) for batch in parts)
            for batch in parts:
                assert batch.weight / size == pytest.approx(len(batch.rows) / whole)


def test_labels_and_severities_weigh_the_same_in_shares_as_in_the_whole_batch() -> None:
    severity = np.array([np.nan, 0.2, np.nan, 0.9, 1.0], np.float32)
    material = replace(plain_material(5), severity=severity)
    how = Student(model="x", epochs=1, imbalance="class_weights", severity_weight=0.5)
    logits = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([[1.0, 0.0], [0.3, 0.7], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    rows, images = np.arange(5), torch.zeros(5, 8, 8, 3, dtype=torch.uint8)
    batch = Batch(rows, 0, images, target, torch.from_numpy(severity))
    whole = float(LabelLoss(how, material)(logits, batch))

    def mine(member: Member) -> float:
        some = member.share(rows)
        of = Batch(some, 0, images[some], target[some], torch.from_numpy(severity[some]))
        loss = LabelLoss(how, material, member)(logits[some], of)
        return float(loss) * member.weight(len(some), len(rows))

    for size in (2, 3):
        assert np.mean(each_of(size, mine)) == pytest.approx(whole, rel=1e-6)


def test_workers_are_told_where_pixels_lie_and_not_sent_them(tmp_path: Path) -> None:
    np.save(tmp_path / "pixels.npy", np.arange(100_000, dtype=np.uint8).reshape(-1, 10))
    pixels = np.load(tmp_path / "pixels.npy", mmap_mode="r")[:9_000]
    plan = read_plan(written(tmp_path))
    packet = packed(Payload(pixels, plan, tmp_path, 1, cuda=False, quiet=True))
    assert len(packet) < 10_000
    found: Any = unpacked(packet).task
    assert np.array_equal(found, pixels)
    inner = packed(Payload(pixels[5:], plan, tmp_path, 1, cuda=False, quiet=True))
    other: Any = unpacked(inner).task
    assert np.array_equal(other, pixels[5:])
