"""Acceptance: labelled parts in, a verdict against agreed limits out, as a user runs it."""

import csv
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import pytest

from inspector.contract.bundle import Bundle
from inspector.contract.errors import ConfigError
from inspector.contract.image import decode
from inspector.delivery.journal import Journal, JournalSettings
from inspector.study.acceptance import hold
from inspector.study.agreed import EVERY_DEFECT
from inspector.study.labels import read_labels, read_pictures
from inspector.study.stats import Rate
from tests.delivery.results import result
from tests.study.reports import figures, page, run_study
from tests.support import (
    DARK,
    GREY,
    make_bundle,
    picture,
    run_inspector,
    start_station,
    until,
    write_pictures,
    write_station,
)

LOOSE = "escape_rate_at_most = 0.5\noverkill_rate_at_most = 0.3\n"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "bundles")


@pytest.fixture
def station(tmp_path: Path, bundle: Bundle) -> Path:
    return write_station(tmp_path, bundle, archive={"keep": "all"})


def parts(folder: Path, **brightness: list[int]) -> Path:
    for label, values in brightness.items():
        write_pictures(folder / label, values)
        for i, path in enumerate(sorted((folder / label).iterdir())):
            # noise of its own: a copy of another class's picture would be refused
            cv2.imwrite(str(path), picture(values[i], seed=1_000 * len(label) + i))
    return folder


def accept(station: Path, limits: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    agreed = station.parent / "acceptance.toml"
    agreed.write_text(limits, encoding="utf-8")
    out = station.parent / "study"
    return run_study("acceptance", station, "--limits", agreed, "--out", out, *words)


@pytest.mark.parametrize(
    ("events", "n", "at_most", "confidence", "state", "more"),
    [
        (0, 299, 0.01, 0.95, "met", 0),
        (0, 298, 0.01, 0.95, "not enough parts", 1),
        (1, 300, 0.01, 0.95, "not enough parts", 173),  # 473 with one escape
        (4, 300, 0.01, 0.95, "missed", None),
        (0, 0, 0.01, 0.95, "not enough parts", 299),
        (5, 100, 0.05, None, "met", 0),
        (6, 100, 0.05, None, "missed", None),
        (0, 0, 0.05, None, "not enough parts", 1),
    ],
)
def test_a_limit_is_met_missed_or_wants_more_parts(
    events: int, n: int, at_most: float, confidence: float | None, state: str, more: int | None
) -> None:
    held = hold(EVERY_DEFECT, None, at_most, Rate.of(events, n), confidence)
    assert (held.state, held.more) == (state, more)


def test_pictures_are_judged_and_the_report_says_what_escaped_and_why_it_is_not_accepted(
    tmp_path: Path, station: Path
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY] * 9 + [DARK], dark=[DARK] * 8, bright=[GREY] * 2)
    (folder / "good" / "part005.png").write_bytes(b"half a picture")
    limits = LOOSE + '[severity.critical]\nclasses = ["bright"]\nescape_rate_at_most = 0.1\n'
    done = accept(station, limits, "--pictures", folder, "--by", "M. <b>Muster</b>")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("not accepted\n")
    assert "escape, critical: agreed at most 10 %; found 2/2, 100.00 %: missed" in done.stdout
    assert "escape, every defect: agreed at most 50 %; found 2/10, at most 50.69 %" in done.stdout
    found = figures(tmp_path / "study", "acceptance")
    assert (found["schema"], found["verdict"]) == (1, "not accepted")
    assert (found["escape"]["events"], found["escape"]["n"]) == (2, 10)
    assert (found["overkill"]["events"], found["overkill"]["n"]) == (2, 10)
    assert found["undefined"]["events"] == 1
    assert found["undefined_causes"] == {"unreadable": 1}
    assert found["severities"]["critical"]["events"] == 2
    by_label = {group["label"]: group for group in found["groups"]}
    assert by_label["dark"]["evaluations"] == {
        "OK": 0, "NOT_DECIDABLE": 0, "NOT_OK": 8, "UNDEFINED": 0,
    }  # fmt: skip
    assert found["conditions"]["machine"]["software"]["inspector"]
    text = page(tmp_path / "study", "acceptance")
    assert text.count("data:image/jpeg") == 2, "the two that escaped"
    assert "M. &lt;b&gt;Muster" in text
    assert "could not be judged (unreadable 1)" in text
    with (tmp_path / "study" / "acceptance.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows[:4]] == ["ESCAPE", "ESCAPE", "overkill", "overkill"]
    assert len(rows) == 20


def test_the_rows_say_what_a_part_is_and_beside_it_what_it_was_called(
    tmp_path: Path, station: Path
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY, DARK], dark=[DARK], bright=[GREY])
    limits = LOOSE + '[severity.critical]\nclasses = ["bright"]\n'
    assert accept(station, limits, "--pictures", folder).returncode == 3
    with (tmp_path / "study" / "acceptance.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["outcome"], row["label"], row["said"], row["good"]) for row in rows] == [
        ("ESCAPE", "bright", "good", "false"),
        ("overkill", "good", "dark", "true"),
        ("right", "dark", "dark", "false"),
        ("right", "good", "good", "true"),
    ]


def test_hidden_files_of_other_systems_are_no_parts(tmp_path: Path, station: Path) -> None:
    """macOS lays one beside each picture on a stick; unreadable, it was a defect that was found."""
    folder = parts(tmp_path / "parts", good=[GREY] * 5, dark=[DARK] * 4)
    for picture_of in list(folder.rglob("*.png")):
        beside = picture_of.with_name(f"._{picture_of.name}")
        beside.write_bytes(b"\0\5\x16\7" + picture_of.name.encode())
    write_pictures(folder / ".Trashes" / "dark", [DARK])
    done = accept(station, LOOSE, "--pictures", folder)
    assert done.returncode == 5, done.stdout + done.stderr
    found = figures(tmp_path / "study", "acceptance")
    assert (found["escape"]["n"], found["overkill"]["n"]) == (4, 5)
    assert found["undefined"]["events"] == 0


def test_enough_good_parts_are_accepted_and_too_few_are_told_how_many_more(
    tmp_path: Path, station: Path
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY] * 5, dark=[DARK] * 5)
    done = accept(station, LOOSE, "--pictures", folder)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "accepted"), done.stderr
    done = accept(station, LOOSE.replace("0.5", "0.05"), "--pictures", folder)
    assert (done.returncode, done.stdout.splitlines()[0]) == (5, "not enough parts")
    assert "54 more without an escape would prove it" in done.stdout


def test_a_report_that_was_signed_is_still_there_after_the_next(
    tmp_path: Path, station: Path
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY] * 5, dark=[DARK] * 5)
    assert accept(station, LOOSE, "--pictures", folder).returncode == 0
    out = tmp_path / "study"
    signed = {path.suffix: path.read_bytes() for path in out.iterdir()}
    done = accept(station, LOOSE.replace("0.5", "0.05"), "--pictures", folder)
    assert done.returncode == 5
    earlier = {path.suffix: path for path in out.glob("acceptance-*")}
    assert {suffix: path.read_bytes() for suffix, path in earlier.items()} == signed
    assert len({path.stem for path in earlier.values()}) == 1
    assert len(list(out.iterdir())) == 2 * len(signed)


def put(journal: Journal, part: str | None, **changes: Any) -> None:
    made = result(journal.next_seq())
    named = made.part.model_copy(update={"id": part})
    journal.put(made.model_copy(update={"part": named, **changes}))
    journal.release(made.seq)


def reject(**changes: Any) -> dict[str, Any]:
    return {"passed": False, "evaluation": "NOT_OK", "cause": "defect", **changes}


def test_the_stations_own_results_are_held_against_what_people_found(
    tmp_path: Path, station: Path, bundle: Bundle
) -> None:
    at = datetime(2026, 1, 2, 8, 0, tzinfo=UTC)
    alike = {"bundle": bundle.id, "simulated": False}
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    put(journal, "G-0", captured_at=at - timedelta(hours=9), **alike)  # of the shift before
    for i in range(1, 9):
        put(journal, f"G-{i}", captured_at=at, **alike)
    # no frame came, so it has no time: it is a good part that was lost all the same
    gone = {"evaluation": "UNDEFINED", "cause": "no_frame", "captured_at": None, "score": None}
    put(journal, "G-9", **alike, **reject(**gone))
    # judged twice: it passed once, so it has escaped
    put(journal, "B-1", captured_at=at, **alike, **reject())
    put(journal, "B-1", captured_at=at, **alike)
    put(journal, "B-2", captured_at=at, **alike, **reject())
    put(journal, "nobody labelled it", captured_at=at, **alike)
    put(journal, "G-1", captured_at=at + timedelta(hours=9), **alike, **reject())
    journal.close()
    labels = tmp_path / "found.csv"
    lines = ["part,label", *(f"G-{i},OK" for i in range(10)), "B-1,dark", "B-2,dark", "B-3,dark"]
    labels.write_text("\n".join(lines), encoding="utf-8")
    span = ["--since", "2026-01-02T06:00", "--until", "2026-01-02T14:00"]
    done = accept(station, LOOSE, "--labels", labels, *span)
    assert done.returncode == 5, done.stdout + done.stderr
    found = figures(tmp_path / "study", "acceptance")
    assert (found["escape"]["events"], found["escape"]["n"]) == (1, 2)
    assert (found["overkill"]["events"], found["overkill"]["n"]) == (1, 9)
    assert found["unlabelled"] == 1
    assert found["not_judged"] == ["G-0", "B-3"]
    assert found["conditions"]["caveats"] == []
    text = page(tmp_path / "study", "acceptance")
    assert "no picture was kept" in text
    assert "2 labelled parts have no result and are in no rate: G-0, B-3" in text


def test_an_id_filled_up_with_spaces_is_its_parts(
    tmp_path: Path, station: Path, bundle: Bundle
) -> None:
    """As controllers send a text of fixed length; a spreadsheet's cell has none of them."""
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    put(journal, "G-1", bundle=bundle.id)
    put(journal, "B-1   ", bundle=bundle.id)
    put(journal, "B-1", bundle=bundle.id, **reject())
    journal.close()
    labels = tmp_path / "found.csv"
    labels.write_text("part,label\nG-1,OK\nB-1,dark\n", encoding="utf-8")
    assert accept(station, LOOSE, "--labels", labels).returncode == 3, "it has escaped"
    found = figures(tmp_path / "study", "acceptance")
    assert (found["escape"]["events"], found["unlabelled"]) == (1, 0)
    done = run_inspector("journal", "show", tmp_path / "journal.db", "B-1")
    assert done.stdout.count('"result_id"') == 2


def test_parts_judged_in_different_regions_are_a_mixture_too(
    tmp_path: Path, station: Path, bundle: Bundle
) -> None:
    """As where the recipe is revised in the middle of the test."""
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    (whole,) = result(1).regions
    put(journal, "G-1", bundle=bundle.id, regions=())  # its picture could not be judged
    put(journal, "G-2", bundle=bundle.id)
    put(journal, "B-1", bundle=bundle.id, **reject())
    put(journal, "G-3", bundle=bundle.id, regions=(whole.model_copy(update={"x": 150}),))
    journal.close()
    labels = tmp_path / "found.csv"
    labels.write_text("part,label\nG-1,OK\nG-2,OK\nB-1,dark\nG-3,OK", encoding="utf-8")
    done = accept(station, LOOSE, "--labels", labels)
    assert (done.returncode, done.stdout) == (78, "")
    assert "not all judged in the same regions: narrow it by --since and --until" in done.stderr
    labels.write_text("part,label\nG-1,OK\nG-2,OK\nB-1,dark", encoding="utf-8")
    assert accept(station, LOOSE, "--labels", labels).returncode == 5


def test_a_mixture_of_bundles_is_refused(tmp_path: Path, station: Path, bundle: Bundle) -> None:
    journal = Journal(JournalSettings(path=tmp_path / "journal.db", disk_free_min_mb=0))
    put(journal, "G-1", bundle=bundle.id)
    put(journal, "G-2", bundle="other-0123456789ab")
    journal.close()
    (tmp_path / "found.csv").write_text("part,label\nG-1,OK\nG-2,OK\n", encoding="utf-8")
    done = accept(station, LOOSE, "--labels", tmp_path / "found.csv")
    assert done.returncode == 78
    assert "not all judged alike: 1 by bundle tiny-" in done.stderr


def test_a_station_at_work_is_not_disturbed_and_its_escapes_are_shown(
    tmp_path: Path, bundle: Bundle
) -> None:
    station = write_station(
        tmp_path,
        bundle,
        camera={"loop": True},
        trigger={"kind": "interval", "period_ms": 20},
        archive={"keep": "all"},
    )
    labels = tmp_path / "found.csv"
    # the first is grey, so it passes: people found something
    rows = ["part,label", "part000,dark", *(f"part{i:03d},OK" for i in range(1, 12))]
    labels.write_text("\n".join(rows), encoding="utf-8")
    running = start_station(station)
    try:
        assert until(lambda: len(list((tmp_path / "images").glob("*.jpg"))) > 30)
        done = accept(station, LOOSE, "--labels", labels)
        assert running.poll() is None
    finally:
        running.terminate()
        assert running.wait(30.0) == 0
    assert done.returncode == 3, done.stdout + done.stderr
    found = figures(tmp_path / "study", "acceptance")
    assert found["parts"][0]["outcome"] == "ESCAPE"
    assert found["parts"][0]["judged"] >= 2
    assert "pictures from files (simulated)" in found["conditions"]["caveats"][0]
    assert page(tmp_path / "study", "acceptance").count("data:image/jpeg") == 1


@pytest.mark.parametrize(
    ("limits", "label", "words"),
    [
        (LOOSE, "darc", "label 'darc': must be one of NOT_OK, OK, bright, dark, good"),
        ("escape_rate_at_most = 0.5\n", "dark", "overkill_rate_at_most: is missing"),
        (LOOSE + "escape = 1\n", "dark", "escape: is not a key here; known keys: confidence"),
        (LOOSE.replace("0.5", "2.0"), "dark", "escape_rate_at_most 2.0: input should be less"),
        (
            LOOSE + '[severity.minor]\nclasses = ["good"]\n',
            "dark",
            "severity.minor.classes 'good': bundle tiny-",
        ),
    ],
    ids=["label", "missing", "unknown", "range", "rank"],
)
def test_what_a_person_wrote_wrong_is_told_in_words(
    tmp_path: Path, station: Path, limits: str, label: str, words: str
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY], **{label: [DARK]})
    done = accept(station, limits, "--pictures", folder)
    assert done.returncode == 78
    assert words in done.stderr
    assert not (station.parent / "study").exists(), "an empty folder is no study"


def test_a_label_that_a_comma_has_split_is_not_read_as_half_of_it(tmp_path: Path) -> None:
    found = tmp_path / "found.csv"
    found.write_text("part,label\n1,good\n2,dark, deep\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"line 3: has more cells .*'deep'.* must be quoted"):
        read_labels(found)
    found.write_text('part,label\n1,good,,\n2,"dark, deep"\n', encoding="utf-8")
    assert [part.label for part in read_labels(found)] == ["good", "dark, deep"]


@pytest.mark.parametrize("form", ["png", "bmp"], ids=["the file", "saved again"])
def test_a_copied_picture_is_no_further_part(tmp_path: Path, station: Path, form: str) -> None:
    folder = parts(tmp_path / "parts", good=[GREY] * 2, dark=[DARK] * 2)
    first, copy = folder / "dark" / "part000.png", folder / "dark" / f"part009.{form}"
    if form == "png":
        shutil.copy(first, copy)
    else:
        cv2.imwrite(str(copy), decode(first.read_bytes()))
    done = accept(station, LOOSE, "--pictures", folder)
    assert done.returncode == 78
    assert "part dark/part009" in done.stderr
    assert "a copy tells nothing new" in done.stderr


def test_a_list_names_parts_by_its_column_or_every_picture_is_one(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_pictures(tmp_path / folder, [GREY])
    rows = ["File,Class", "a/part000.png,good", "b/part000.png,dark"]
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    assert [each.part for each in read_pictures(tmp_path / "list.csv")] == [
        "a/part000", "b/part000",
    ]  # fmt: skip
    rows = ["image,label,part", "a/part000.png,dark,P1", "b/part000.png,dark,P1"]
    (tmp_path / "list.csv").write_text("\n".join(rows), encoding="utf-8")
    (part,) = read_pictures(tmp_path / "list.csv")
    assert (part.part, len(part.pictures)) == ("P1", 2)
    (tmp_path / "list.csv").write_text("\n".join([*rows, "c.png,good,P1"]), encoding="utf-8")
    with pytest.raises(ConfigError, match="part P1: is labelled 'dark' and 'good'"):
        read_pictures(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("picture,label\nx,y\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="needs the columns image and label; there are: picture"):
        read_pictures(tmp_path / "list.csv")


def test_the_report_is_printed_by_chromium_or_it_is_said_what_is_missing(
    tmp_path: Path, station: Path
) -> None:
    folder = parts(tmp_path / "parts", good=[GREY] * 2, dark=[DARK] * 2)
    words = ["study", "acceptance", station, "--limits", tmp_path / "acceptance.toml"]
    words += ["--out", tmp_path / "none", "--pictures", folder, "--pdf"]
    (tmp_path / "acceptance.toml").write_text(LOOSE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "inspector.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": "/nowhere"},
    )
    assert done.returncode == 78
    assert "--pdf: needs one of chromium" in done.stderr
    assert not (tmp_path / "none").exists()
    if shutil.which("chromium") is None:
        pytest.skip("needs the Debian package chromium")
    assert accept(station, LOOSE, "--pictures", folder, "--pdf").returncode == 5
    assert (tmp_path / "study" / "acceptance.pdf").read_bytes().startswith(b"%PDF-")


def test_the_example_is_what_the_command_reads(tmp_path: Path, station: Path) -> None:
    example = Path(__file__).parents[2] / "deploy" / "acceptance.example.toml"
    text = example.read_text(encoding="utf-8").replace("# [sev", "[sev").replace("# esc", "esc")
    text = text.replace("# classes", "classes").replace("# over", "over")
    text = text.replace('["crack", "break"]', '["dark"]')
    folder = parts(tmp_path / "parts", good=[GREY], dark=[DARK])
    assert accept(station, text, "--pictures", folder).returncode == 5
