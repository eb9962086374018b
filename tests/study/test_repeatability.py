"""Repeatability: AIAG's own example, and parts that a person shows to a real station."""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import cv2
import pytest

from inspector.contract.result import EvaluationName
from inspector.contract.verdict import Limits
from inspector.study.conditions import BundleUsed, Conditions, Machine
from inspector.study.labels import Labelled, Truth
from inspector.study.repeatability import Repeatability, band, evaluate, repeated_part
from inspector.study.repeatability_html import repeatability_page
from inspector.study.seen import Seen
from tests.brokers import Listener, Mosquitto
from tests.streams import MjpegServer
from tests.study.reports import figures, page, run_study
from tests.support import (
    DARK,
    GREY,
    evaluations_in,
    make_bundle,
    picture,
    start_station,
    until,
    write_station,
)

LIMITS = Limits(review_at=0.3, reject_at=0.7)
TRUTH = Truth.of(("good", "dark"), ("good",))
CONDITIONS = Conditions(
    by="nobody",
    begun_at="",
    ended_at="",
    station="test",
    topic_root="plant/line",
    recipe="cell",
    limits=LIMITS,
    bundle=BundleUsed(
        id="b", sha256="", certificate="", notice="", architecture="", precision=""
    ),
    files=(),
    camera={},
    trigger={},
    source="",
    machine=Machine.here(),
)  # fmt: skip


def seen(score: float) -> Seen:
    evaluation: EvaluationName = (
        "OK" if score < 0.3 else "NOT_OK" if score >= 0.7 else "NOT_DECIDABLE"
    )
    return Seen(
        evaluation=evaluation,
        cause={"OK": None, "NOT_OK": "defect"}.get(evaluation, "review"),
        reason="", label=None, score=score, novelty=None
    )  # fmt: skip


def study(parts: list[tuple[str, list[float]]]) -> Repeatability:
    """parts: label and the scores of its presentations."""
    made = [
        repeated_part(Labelled(f"P{i}", label), [seen(s) for s in scores], TRUTH, LIMITS)
        for i, (label, scores) in enumerate(parts)
    ]
    return evaluate(made, sum(len(scores) for _, scores in parts), CONDITIONS)


def appraiser(misses: list[int], alarms: list[int]) -> list[tuple[str, list[float]]]:
    """16 defective and 34 good parts, three trials; how often each of the first ones went wrong."""
    bad = [*misses, *[0] * (16 - len(misses))]
    good = [*alarms, *[0] * (34 - len(alarms))]
    return [
        *(("dark", [0.1] * wrong + [0.9] * (3 - wrong)) for wrong in bad),
        *(("good", [0.9] * wrong + [0.1] * (3 - wrong)) for wrong in good),
    ]


# AIAG, MSA, 4th edition, III C: 50 parts, three trials. From what it prints of each appraiser (the
# cross-tabulation against the reference, and how many parts were 0-0-0 and 1-1-1) the decisions
# follow, but for which part is which: of C 6 misses fall on 4 parts and 9 alarms on 6.
AIAG: dict[str, tuple[list[tuple[str, list[float]]], tuple[float, ...], tuple[str, ...]]] = {
    "A": (appraiser([1] * 3, [1] * 5), (84.0, 6.3, 4.9, 0.88), ("marginal", "un", "acceptable")),
    "B": (appraiser([1] * 3, [1] * 2), (90.0, 6.3, 2.0, 0.92), ("acceptable", "un", "acceptable")),
    "C": (
        appraiser([2, 2, 1, 1], [2, 2, 2, 1, 1, 1]),
        (80.0, 12.5, 8.8, 0.77),
        ("marginal", "un", "marginal"),
    ),
}


@pytest.mark.parametrize("name", AIAG)
def test_the_figures_of_aiags_example_are_those_it_prints(name: str) -> None:
    parts, printed, bands = AIAG[name]
    found = study(parts)
    rates = [100 * (each.rate.rate or 0.0) for each in found.judgements]
    assert rates == pytest.approx(printed[:3], abs=0.051)
    assert found.kappa_reference.kappa == pytest.approx(printed[3], abs=0.005)
    for each, expected in zip(found.judgements, bands, strict=True):
        assert each.band.startswith(expected)
    assert found.verdict == "unacceptable"
    assert (found.within.events, found.within.n) == (found.judgements[0].rate.events, 50)
    assert found.kappa_reference.low is not None
    assert found.kappa_reference.low < printed[3]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("effectiveness", 0.90, "acceptable"),
        ("effectiveness", 0.80, "marginal"),
        ("effectiveness", 0.799, "unacceptable"),
        ("miss rate", 0.02, "acceptable"),
        ("miss rate", 0.05, "marginal"),
        ("miss rate", 0.051, "unacceptable"),
        ("false alarm rate", 0.10, "marginal"),
        ("false alarm rate", None, "not known"),
    ],
)
def test_a_figure_falls_into_aiags_bands(name: str, value: float | None, expected: str) -> None:
    assert band(name, value) == expected


def test_each_part_has_its_distance_from_the_limits_and_the_doubtful_come_first() -> None:
    found = study(
        [
            ("good", [0.01, 0.01, 0.01]),
            ("good", [0.20, 0.24, 0.22]),
            ("good", [0.28, 0.31, 0.29]),
            ("dark", [0.95, 0.96, 0.97]),
            ("dark", [0.95, 0.2, 0.97]),
            ("good", [0.8, 0.9, 0.85]),
        ]
    )
    assert [part.part for part in found.parts] == ["P4", "P2", "P5", "P1", "P3", "P0"]
    near = found.parts[3]
    # by hand: mean 0.22, sd 0.02: (0.3 - 0.22) / 0.02 and (0.7 - 0.22) / 0.02
    assert near.sigmas_to_review == pytest.approx(4.0)
    assert near.sigmas_to_reject == pytest.approx(24.0)
    assert near.span == pytest.approx(0.04)
    assert [part.doubt for part in found.parts[:3]] == [
        "MISSED 1 of 3 times", "passed 2 of 3 times (review)", "never passed (defect)",
    ]  # fmt: skip
    assert found.parts[-1].sigmas_to_review is None, "its scores did not scatter"
    assert "did not scatter at all" in repeatability_page(found, {})


def test_good_parts_alone_decide_nothing() -> None:
    found = study([("good", [0.1, 0.12])] * 50)
    assert found.verdict == "not known"
    assert found.kappa_within is not None
    assert found.kappa_within.kappa is None


def photograph(folder: Path, label: str, part: str, brightness: list[int]) -> None:
    (folder / label / part).mkdir(parents=True)
    for i, value in enumerate(brightness):
        seed = int.from_bytes(f"{part}{i}".encode(), "big") % 2**31
        cv2.imwrite(str(folder / label / part / f"{i}.png"), picture(value, seed=seed))


@pytest.fixture
def station(tmp_path: Path) -> Path:
    return write_station(tmp_path, make_bundle(tmp_path / "bundles"))


def test_pictures_of_the_same_parts_are_judged_and_reported(tmp_path: Path, station: Path) -> None:
    for i in range(6):
        photograph(tmp_path / "taken", "good", f"G{i}", [GREY] * 3)
        photograph(tmp_path / "taken", "dark", f"D<{i}>", [DARK] * 3)
    words: list[str | Path] = [
        "repeatability",
        station,
        "--pictures",
        tmp_path / "taken",
        "--out",
        tmp_path / "s",
    ]
    done = run_study(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    found = figures(tmp_path / "s", "repeatability")
    assert found["verdict"] == "acceptable"
    assert found["kappa_within"]["kappa"] == 1.0
    assert found["kappa_within"]["low"] == pytest.approx((0.025 ** (1 / 12) - 0.5) / 0.5)
    text = page(tmp_path / "s", "repeatability")
    assert "D&lt;0&gt;" in text
    assert "a single miss would be 6 %" in text
    photograph(tmp_path / "taken", "good", "once", [GREY])
    done = run_study(*words)
    assert done.returncode == 78
    assert "part once has one picture" in done.stderr


class Lens(MjpegServer):
    """A camera over a place where something lies."""

    shows = GREY

    def serve(self, out: BufferedIOBase) -> None:
        for seed in itertools.count():
            if self._ended.is_set():
                return
            _, jpeg = cv2.imencode(".jpg", picture(self.shows, seed=seed))
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {jpeg.size}\r\n\r\n"
            out.write(head.encode() + jpeg.tobytes() + b"\r\n")
            time.sleep(0.04)


@pytest.fixture
def lens() -> Iterator[Lens]:
    server = Lens().start()
    yield server
    server.kill()


PARTS = {"G-1": ("OK", GREY), "G-2": ("good", 70), "D-1": ("dark", DARK), "D-2": ("NOT_OK", GREY)}
"""Label and brightness: D-2 is a defect nobody can see. G-2 is just good."""
DIMMED = 66
"""G-2 when the light is a little weaker: review."""


def sitting(
    folder: Path,
    put: Callable[[str], None],
    *,
    wants: int,
    answers: Callable[[int], str] = lambda _at: "",
    by_line: bool = False,
    presentations: int = 2,
) -> tuple[str, int]:
    """A person at the terminal does as asked until `wants` presentations were asked for, then
    presses Ctrl-C; what was said, and the exit code.
    """
    words = ["study", "repeatability", folder / "station.toml", "--parts", folder / "golden.csv"]
    words += ["--out", folder / "study", "--presentations", presentations]
    with subprocess.Popen(
        [sys.executable, "-m", "inspector.cli", *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        said, asked = [], 0
        for line in process.stdout:
            said.append(line)
            if not line.startswith("["):
                continue
            asked += 1
            if asked > wants:
                os.killpg(process.pid, signal.SIGINT)
                continue
            put(line.split(" in place")[0].removesuffix(" come\n").split()[-1])
            if not by_line:
                process.stdin.write(f"{answers(asked)}\n")
                process.stdin.flush()
        return "".join(said), process.wait(30)


def ready(folder: Path, lens: Lens, **overrides: Any) -> Path:
    (folder / "golden.csv").write_text(
        "part,label\n" + "".join(f"{part},{label}\n" for part, (label, _) in PARTS.items()),
        encoding="utf-8",
    )
    return write_station(
        folder,
        make_bundle(folder / "bundles"),
        camera={"kind": "opencv", "url": lens.url, "latency_ms": 80},
        archive={"keep": "all"},
        drain_s=0.0,
        **overrides,
    )


def test_a_person_shows_parts_to_a_station_and_goes_on_after_ctrl_c(
    tmp_path: Path, lens: Lens
) -> None:
    path = ready(tmp_path, lens, trigger={"kind": "command"})
    shown: list[str] = []

    def put(part: str) -> None:
        shown.append(part)
        lens.shows = PARTS[part][1]
        if part == "G-2" and shown.count(part) == 2:
            lens.shows = DIMMED
        time.sleep(0.15)  # frames of before have gone through the network

    running = start_station(path)
    try:
        assert until((tmp_path / "command.sock").exists)
        assert until(lambda: "EXECUTION" in (tmp_path / "station.log").read_text())
        # the sixth answer says that the fifth part was the wrong one
        said, code = sitting(tmp_path, put, wants=7, answers=lambda at: "r" if at == 6 else "")
        assert code == 130, said
        assert "the last presentation of" in said
        assert "the same command goes on" in said
        del shown[4:6]
        so_far: list[str | Path] = [
            "--parts",
            tmp_path / "golden.csv",
            "--presentations",
            "2",
            "--so-far",
        ]
        done = run_study("repeatability", path, *so_far, "--out", tmp_path / "study")
        assert done.returncode == 5, done.stdout + done.stderr
        text = page(tmp_path / "study", "repeatability")
        assert "only 5 of 8 presentations were made" in text
        said, code = sitting(tmp_path, put, wants=99)
        assert code == 3, said
    finally:
        running.terminate()
        assert running.wait(30.0) == 0
    assert "[6/8]" in said
    assert "[5/8]" not in said
    found = figures(tmp_path / "study", "repeatability")
    assert found["presentations"] == found["wanted"] == 8
    by_part = {part["part"]: part for part in found["parts"]}
    assert {name: part["passes"] for name, part in by_part.items()} == {
        "G-1": 2, "G-2": 1, "D-1": 0, "D-2": 2,
    }  # fmt: skip
    assert [part["part"] for part in found["parts"][:2]] == ["D-2", "G-2"]
    rates = {each["name"]: each["rate"] for each in found["judgements"]}
    assert (rates["miss rate"]["events"], rates["miss rate"]["n"]) == (2, 4)
    assert (rates["false alarm rate"]["events"], rates["false alarm rate"]["n"]) == (1, 4)
    assert "1 presentations were taken back" in found["conditions"]["caveats"][0]
    assert page(tmp_path / "study", "repeatability").count("data:image/jpeg") == 2
    with (tmp_path / "study" / "repeatability.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "D-2"]
    assert [(row["label"], row["said"]) for row in rows] == [("NOT_OK", "good")] * 2
    words: list[str | Path] = ["--parts", tmp_path / "golden.csv", "--out", tmp_path / "study"]
    done = run_study("repeatability", path, *words, "--presentations", "1")
    assert "--presentations 1: must be 2 to 100" in done.stderr
    done = run_study("repeatability", path, *words, "--presentations", "9")
    assert done.returncode == 78
    assert "was begun otherwise (presentations)" in done.stderr


@pytest.mark.parametrize("kind", [pytest.param("interval", marks=pytest.mark.slow), "mqtt"])
def test_the_result_after_the_part_is_the_parts_where_the_line_triggers(
    tmp_path: Path, lens: Lens, kind: str
) -> None:
    trigger = {"kind": "interval", "period_ms": 100} if kind == "interval" else {"kind": "mqtt"}
    with Mosquitto(tmp_path) as broker:
        port = broker.start().port
        path = ready(tmp_path, lens, trigger=trigger, mqtt={"port": port})
        with Listener(port, "nothing") as line:
            count = itertools.count()

            def put(part: str) -> None:
                lens.shows = PARTS[part][1]
                time.sleep(0.15)
                if kind == "mqtt":
                    at = next(count)
                    if at == 0:  # the line knows the parts by name, and the wrong one comes first
                        wrong = next(each for each in PARTS if each != part)
                        words = f'{{"id": "W", "part_id": "{wrong}  "}}'
                        line.publish("plant/line/test/trigger", words.encode())
                        assert until(lambda: evaluations_in(tmp_path) != [])
                    line.publish("plant/line/test/trigger", f'{{"id": "T{at}"}}'.encode())

            running = start_station(path)
            try:
                assert until(lambda: "EXECUTION" in (tmp_path / "station.log").read_text())
                said, code = sitting(tmp_path, put, wants=99, by_line=kind == "mqtt")
            finally:
                running.terminate()
                assert running.wait(30.0) == 0
    assert code == 3, said
    assert said.count("not counted") == (kind == "mqtt")
    found = figures(tmp_path / "study", "repeatability")
    assert {part["part"]: part["passes"] for part in found["parts"]} == {
        "G-1": 2, "G-2": 2, "D-1": 0, "D-2": 2,
    }  # fmt: skip
    assert not any(seen["simulated"] for part in found["parts"] for seen in part["presentations"])
