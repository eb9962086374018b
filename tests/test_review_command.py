"""`inspector review` beside a real station: what people are shown, and what they say."""

import hashlib
import io
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import pytest

from inspector.cli import main
from inspector.contract.errors import RecordError, StateError
from inspector.contract.review import Said, standing_of
from inspector.contract.strict import read_toml
from inspector.contract.verdict import Limits
from inspector.delivery.review_desk import ReviewDesk
from inspector.delivery.review_policy import Policy, Rates, policy_path, read_policy, write_policy
from inspector.delivery.reviews import read_reviews
from inspector.hmi.reviewing import Next, Queues
from inspector.hmi.settings import places, read_hmi_settings
from inspector.settings import read_settings, review_places, reviews_path
from tests.support import (
    DARK,
    GREY,
    make_bundle,
    picture,
    run_inspector,
    start_station,
    write_pictures,
    write_station,
)

EVERYTHING = Policy(rates=Rates(rejected=1.0, passed=1.0), second_opinion=0.0)


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """station.toml of a station that has seen six good parts, two dark ones and two strange."""
    folder = tmp_path_factory.mktemp("station")
    write_pictures(folder / "pictures", [GREY] * 6 + [DARK] * 2)
    for i in range(2):
        red = picture(GREY, seed=50 + i)
        red[..., 2] = 230
        cv2.imwrite(str(folder / "pictures" / f"strange{i}.png"), red)
    bundle = make_bundle(
        folder / "bundles", limits=Limits(review_at=0.4, reject_at=0.9), novelty_at=1.0
    )
    path = write_station(folder, bundle, archive={"keep_ok_share": 1.0})
    station = start_station(path)
    assert station.wait(60) == 0, (folder / "station.log").read_text()
    return path


@pytest.fixture
def desk(inspected: Path, tmp_path: Path) -> Iterator[ReviewDesk]:
    """With an empty store."""
    with ReviewDesk(review_places(read_settings(inspected)), tmp_path / "reviews.db") as made:
        yield made


def test_doubt_comes_to_people_whole_and_passes_and_rejects_by_their_rates(
    desk: ReviewDesk,
) -> None:
    assert [item.interest for item in desk.queue(EVERYTHING)] == (
        ["novel"] * 2 + ["rejected"] * 2 + ["passed"] * 6
    )
    nothing_sure = Policy(rates=Rates(rejected=0.0, passed=0.0))
    assert {item.interest for item in desk.queue(nothing_sure)} == {"novel"}
    half = Policy(rates=Rates(rejected=0.0, passed=0.5))
    drawn = [item.result_id for item in desk.queue(half)]
    assert drawn == [item.result_id for item in desk.queue(half)]
    wide = Policy(rates=Rates(rejected=0.0, passed=0.0), band=1.0)
    assert [item.interest for item in desk.queue(wide)].count("near") == 8
    assert len(desk.queue(EVERYTHING, limit=3)) == 3


def test_the_example_of_the_policy_says_the_defaults() -> None:
    path = Path(__file__).parent.parent / "deploy" / "review.example.toml"
    assert read_toml(path, Policy) == Policy()


def test_a_policy_beside_the_store_is_the_stations_own(
    inspected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = reviews_path(read_settings(inspected))
    assert read_policy(store) == Policy()
    nothing = Policy(rates=Rates(novel=0.0, rejected=0.25, passed=0.0), band=0.0, look_back=7)
    write_policy(store, nothing)
    try:
        assert read_policy(store) == nothing
        assert main(["review", str(inspected), "list"]) == 0
        assert " novel " not in capsys.readouterr().out
    finally:
        policy_path(store).unlink()


def test_what_was_said_meanwhile_is_not_spoken_over(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    assert desk.at(item.seq, item.result_id) == item.model_copy(update={"interest": None})
    assert desk.at(item.seq, "another") is None
    desk.put(item, Said(label="dent", by="anna"), opinions=0)
    with pytest.raises(StateError, match=r"1 people have spoken .* 0 had when it was shown"):
        desk.put(item, Said(label="good", by="ben"), opinions=0)
    assert [each.review.by for each in desk.store.all()] == ["anna"]
    assert desk.put(item, Said(label="good", by="ben"), opinions=1).review.opinion == 2


def test_a_review_says_which_areas_of_the_picture_were_judged(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    image = cv2.imread(str(item.picture))
    assert image is not None
    kept = desk.put(item, Said(label="dent", by="anna"))
    assert kept.review.areas == ((0, 0, image.shape[1], image.shape[0]),)
    assert [each.review.areas for each in desk.store.all()] == [kept.review.areas]


def test_parts_nobody_has_seen_come_first_and_a_second_look_is_anothers(desk: ReviewDesk) -> None:
    policy = EVERYTHING.model_copy(update={"second_opinion": 1.0})
    first = desk.queue(policy)[0]
    assert desk.put(first, Said(label="dent", by="anna")).review.opinion == 1
    assert first.result_id not in {item.result_id for item in desk.queue(policy, by="anna")}
    last = desk.queue(policy, by="ben")[-1]
    assert (last.result_id, last.opinions) == (first.result_id, 1)
    assert desk.put(last, Said(label="dent", by="ben")).review.opinion == 2
    assert first.result_id not in {item.result_id for item in desk.queue(policy, by="carl")}


def test_who_could_not_tell_is_followed_by_somebody_who_may(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    desk.put(item, Said(label=None, by="anna"))
    assert desk.queue(EVERYTHING, by="ben")[-1].result_id == item.result_id


def test_a_person_speaks_once_of_a_part_and_may_take_it_back(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    kept = desk.put(item, Said(label="dent", by="anna"))
    with pytest.raises(StateError, match=r"anna called .* dent already \(review 1\)"):
        desk.put(item, Said(label="good", by="anna"))
    assert desk.undo(kept.id, "anna", "slipped").undone is not None
    with pytest.raises(StateError, match="was taken back by anna"):
        desk.undo(kept.id, "ben")
    assert desk.put(item, Said(label="good", by="anna")).review.opinion == 1
    assert [each.undone is None for each in desk.store.all()] == [False, True]


def test_the_picture_a_person_saw_stays_when_the_archive_lets_it_go(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    seen = item.picture.read_bytes()
    review = desk.put(item, Said(label="dent", by="anna")).review
    kept = desk.store.picture(review.image_sha256)
    assert kept.read_bytes() == seen
    assert hashlib.sha256(seen).hexdigest() == review.image_sha256
    with pytest.raises(RecordError, match="is another picture's"):
        desk.store.put(review.model_copy(update={"by": "ben"}), seen + b"x")


def test_pictures_of_reviews_never_fill_the_disk_of_a_line(
    desk: ReviewDesk, inspected: Path, tmp_path: Path
) -> None:
    places = review_places(read_settings(inspected))._replace(disk_free_min_mb=10**9)
    with ReviewDesk(places, tmp_path / "full.db") as full:
        with pytest.raises(RecordError, match=r"archive\.disk_free_min_mb is 1000000000"):
            full.put(desk.queue(EVERYTHING)[0], Said(label="dent", by="anna"))
        assert not full.store.all()


def test_nothing_in_the_store_can_be_changed_or_deleted(desk: ReviewDesk) -> None:
    desk.put(desk.queue(EVERYTHING)[0], Said(label="dent", by="anna"))
    for statement in ("DELETE FROM entry", "UPDATE entry SET payload = '{}'"):
        with pytest.raises(Exception, match="reviews are only added to"):
            desk.store._db.execute(statement)


def test_two_processes_write_one_store_and_lose_nothing(desk: ReviewDesk, inspected: Path) -> None:
    items = desk.queue(EVERYTHING)
    code = (
        "import sys, pathlib; from inspector.contract.review import Said;"
        "from inspector.delivery.review_desk import Item, Places, ReviewDesk;"
        "desk = ReviewDesk(Places(*map(pathlib.Path, sys.argv[1:3])), pathlib.Path(sys.argv[3]));"
        "[desk.put(Item.model_validate_json(line), Said(label='dent', by=f'{sys.argv[4]}{i}'))"
        " for line in sys.stdin for i in range(10)]"
    )
    places = review_places(read_settings(inspected))
    paths = (places.journal, places.archive, desk.store.path)
    words = [sys.executable, "-c", code, *map(str, paths)]
    both = [
        subprocess.Popen([*words, name], stdin=subprocess.PIPE, text=True) for name in ("a", "b")
    ]
    for process in both:
        assert process.stdin is not None
        process.stdin.write("".join(f"{item.model_dump_json()}\n" for item in items[:5]))
        process.stdin.close()
    assert [process.wait(60) for process in both] == [0, 0]
    found = read_reviews(desk.store.path)
    assert len({(each.review.result_id, each.review.by) for each in found}) == 100
    opinions = sorted(
        each.review.opinion for each in found if each.review.result_id == items[0].result_id
    )
    assert opinions == list(range(1, 21))


def test_labels_come_by_the_command_line_and_slips_make_no_class(
    inspected: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def review(*words: str) -> tuple[int, str]:
        code = main(["review", str(inspected), *words])
        return code, "".join(capsys.readouterr())

    # as a program of its own once
    listed = run_inspector("review", inspected, "list", "--count", "1").stdout.splitlines()
    result_id = listed[1].split()[0]
    code, said = review("label", result_id, "brigt", "--by", "anna")
    assert code == 78
    assert "label 'brigt': must be one of bright, dark, good, or unclear" in said
    code, said = review("label", result_id, "Bright", "--by", "anna", "--new")
    assert (code, "is the class 'bright': write it so" in said) == (
        78,
        True,
    )  # training refuses both
    code, said = review("label", "strange1", "red", "--by", "anna", "--new", "--severity", "0.5")
    assert "is red, said by anna (opinion 1; the station: NOT_DECIDABLE)" in said
    assert review("label", "strange0", "red", "--by", "anna")[0] == 0  # known by now
    code, said = review("label", "strange1", "red", "--by", "anna")
    assert code == 1
    assert "undo that first" in said
    assert "is taken back" in review("undo", "1", "--by", "anna", "--why", "slipped")[1]
    rows = [json.loads(line) for line in review("export")[1].splitlines()]
    assert [row["undone"] is not None for row in rows] == [True, False]
    assert rows[0]["review"]["severity"] == 0.5
    assert rows[0]["undone"]["why"] == "slipped"
    store = reviews_path(read_settings(inspected))
    assert len(read_reviews(store)) == 2
    assert "is what is read" in review("export", "--out", str(store))[1]
    assert len(read_reviews(store)) == 2


def test_lines_of_labels_that_ended_half_way_are_given_again(
    inspected: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def label(text: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code = main(["review", str(inspected), "label", "-", "--by", "lea"])
        return code, "".join(capsys.readouterr())

    lines = "\ufeffpart000 good\r\n\r\npart001 unclear\r\npart002 goood\r\npart003 good\r\n"
    code, said = label(lines)
    assert (code, said.count("said by lea (")) == (78, 2)
    assert "line 4: label 'goood': must be one of" in said
    code, said = label(lines.replace("goood", "good"))
    assert (code, said.count("said by lea already"), said.count("said by lea (")) == (0, 2, 2)
    code, said = label("part003 dark\n")
    assert code == 1, "who has changed their mind says so"
    assert "line 1: lea called" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("label", "nowhere", "good", "--by", "x"), "no result and no part 'nowhere'"),
        (("label", "part000", "good"), "and --by NAME"),
        (("label", "part000", "../good", "--by", "x"), "review label: label '../good'"),
        (("undo", "x", "--by", "x"), "needs the review's number"),
        (("undo", "9", "--by", "x"), "there is no review 9"),
        (("list", "--policy", "nowhere.toml"), "there is no such file"),
    ],
)
def test_what_cannot_be_done_is_said(
    inspected: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", str(inspected), *words]) in (1, 78)
    assert said in capsys.readouterr().err


def test_reviews_agree_contradict_or_leave_it_open(desk: ReviewDesk) -> None:
    item = desk.queue(EVERYTHING)[0]
    kept = desk.put(item, Said(label="dent", by="anna")).review
    unclear = kept.model_copy(update={"label": None})
    other = kept.model_copy(update={"label": "good", "by": "ben"})
    assert standing_of([kept, kept, unclear]) == ("agreed", "dent")
    assert standing_of([kept, other]) == ("conflict", None)
    assert standing_of([unclear]) == ("unclear", None)
    assert standing_of([]) == ("open", None)


@pytest.mark.parametrize(
    ("was", "now"),
    [(b"{", b"\xff"), (b"}", b""), (b'"boot"', b'"bo\x04t"'), (b'"boot"', b'"boou"')],
)
def test_a_row_that_a_disk_has_spoilt_is_left_out_in_words_and_hides_no_other(
    inspected: Path, tmp_path: Path, was: bytes, now: bytes
) -> None:
    """One was enough that nobody was shown any part until ten thousand more were judged."""
    folder = tmp_path / "station"
    shutil.copytree(inspected.parent, folder)
    path = folder / inspected.name
    path.write_text(path.read_text("utf-8").replace(str(inspected.parent), str(folder)), "utf-8")
    rows = run_inspector("review", path, "list").stdout.splitlines()[1:-1]
    named, other = (row.split()[0] for row in rows[:2])
    with closing(sqlite3.connect(folder / "journal.db")) as db, db:
        seq = int(other.rpartition("-")[2])
        (payload,) = db.execute("SELECT payload FROM result WHERE seq = ?", (seq,)).fetchone()
        spoilt = payload.replace(was, now)
        db.execute("UPDATE result SET payload = ? WHERE seq = ?", (spoilt, seq))
    done = run_inspector("review", path, "list")
    assert done.returncode == 1, "who lists by a script must know that it is not all"
    assert f"row {seq} is no result: " in done.stderr
    assert done.stderr.endswith(": left out\n")
    assert named in done.stdout
    pages = f'state_folder = "pages"\n[[stations]]\nsettings = "{path.name}"\n'
    (folder / "hmi.toml").write_text(pages, "utf-8")
    (place,) = places(read_hmi_settings(folder / "hmi.toml"))
    found = Queues({"test": place}).next("ben", Next(holder="a tab of a test", count=20))
    assert named in {each["result_id"] for each in found["items"]}
    assert f"row {seq} is no result" in found["troubles"]["test"]["detail"]
    done = run_inspector("review", path, "label", named, "dark", "--by", "anna")
    assert done.returncode == 0, done.stderr
