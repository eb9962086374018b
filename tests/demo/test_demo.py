"""`inspector demo` as a user runs it: its own broker, a real one, interrupted, and in trouble."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from inspector.contract.bundle import Bundle
from inspector.delivery.journal import JournalReader
from tests.brokers import Listener, Mosquitto
from tests.support import BRIGHT, GREY, free_port, make_bundle, until, write_pictures

PARTS = 20


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundles"), notice="for this test only")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten good ones, of which one is bright and so judged NOT_OK; ten bad, one of them grey."""
    folder = tmp_path / "pictures"
    written = write_pictures(folder, [GREY] * 9 + [BRIGHT] * 10 + [GREY])
    labels = ["good"] * 10 + ["cracked"] * 10
    rows = [f"{path.name},{label}" for path, label in zip(written, labels, strict=True)]
    (folder / "list.csv").write_text("\n".join(["image,label", *rows]), encoding="utf-8")
    return folder


def command(bundle: Bundle, pictures: Path, *more: str | Path) -> list[str]:
    options = ["--bundle", bundle.folder, "--list", pictures / "list.csv", "--rate", "50", *more]
    return [sys.executable, "-m", "inspector.cli", "demo", *map(str, options)]


def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": "1"}


def demo(
    bundle: Bundle, pictures: Path, *more: str | Path, timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(bundle, pictures, *more),
        env=environment(pictures.parent),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@contextmanager
def running(bundle: Bundle, pictures: Path, *more: str | Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        command(bundle, pictures, *more),
        env=environment(pictures.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if re.search(pattern, line):
            return seen
    raise AssertionError(seen)


def child_of(demo_pid: int, command: str) -> int:
    """run: the station; hmi: its pages."""
    children = Path(f"/proc/{demo_pid}/task/{demo_pid}/children")
    words = {
        int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        for pid in children.read_text(encoding="ascii").split()
    }
    return next(pid for pid, line in words.items() if command.encode() in line)


def lives(pid: int) -> bool:
    """One that has ended and that nobody has asked about is no life."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False


def leftovers(pictures: Path) -> list[str]:
    return [path.name for path in (pictures.parent / "tmp").glob("inspector-demo*")]


def test_twenty_parts_arrive_over_the_broker_inside_and_are_counted(
    bundle: Bundle, pictures: Path
) -> None:
    start = time.monotonic()
    with running(bundle, pictures, "--parts", str(PARTS)) as process:
        text = read_until(process, r"^ +1 +part0")
        first_s = time.monotonic() - start
        assert process.stdout is not None
        text += process.stdout.read()
    assert process.returncode == 0, text
    assert first_s < 10.0
    assert len(re.findall(r"^ +\d+  part\d{3} ", text, re.MULTILINE)) == PARTS
    assert "embedded, MQTT 3.1.1" in text
    pages = re.search(r"pages +http://127\.0\.0\.1:\d+/", text)
    assert pages, "the operator's page is what it says first"
    assert pages.start() < text.index("broker ")
    assert "/welcome#" in text
    assert re.search(r"parts +20 \(10 NOT_OK, 10 OK\)", text)
    assert re.search(r"escapes .*  1/10, at most 39\.42 % \(95 %\)", text)
    assert re.search(r"overkill .*  1/10, at most 39\.42 % \(95 %\)", text)
    assert re.search(r"review band .*  0/20", text)
    assert re.search(r"p50 [\d.]+ ms, p99 [\d.]+ ms over 20 parts, commit included", text)
    assert re.search(r"sent = received = journalled +20 = 20 = 20", text)
    assert "Apache-2.0: for this test only" in text
    assert "\x1b[" not in text, "no colour where it is not a terminal"
    assert leftovers(pictures) == []


def test_the_list_is_gone_through_again_and_kept_where_asked(
    bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    run = demo(bundle, pictures, "--parts", "25", "--keep", kept)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "25 = 25 = 25" in run.stdout
    with JournalReader(kept / "journal.db") as journal:
        assert (journal.count(), journal.acknowledged()) == (25, 25)
    again = demo(bundle, pictures, "--keep", kept)
    assert again.returncode == 78
    assert "is not an empty folder" in again.stderr


def test_a_real_broker_is_used_and_left_as_it_was(
    bundle: Bundle, pictures: Path, tmp_path: Path
) -> None:
    with Mosquitto(tmp_path) as broker:
        broker.start()
        with Listener(broker.port, "inspector-demo/#") as listener:
            where = f"127.0.0.1:{broker.port}"
            run = demo(bundle, pictures, "--parts", str(PARTS), "--broker", where)
            assert run.returncode == 0, run.stdout + run.stderr
            results = [m for m in listener.messages if m.topic.endswith("/demo/result")]
            assert len(results) == PARTS
        with Listener(broker.port, "inspector-demo/#", name="late") as late:
            time.sleep(0.3)
            assert late.messages == [], "no retained state stays behind"
        assert "(p5," in broker.log(), "a real broker is spoken to in MQTT 5"


def test_a_broker_that_is_not_there_is_told_in_words(bundle: Bundle, pictures: Path) -> None:
    run = demo(bundle, pictures, "--broker", f"127.0.0.1:{free_port()}")
    assert run.returncode == 1
    assert "Connection refused" in run.stderr
    assert "Traceback" not in run.stderr
    assert leftovers(pictures) == []


def test_another_port_is_taken_where_the_usual_one_is_not_free(
    bundle: Bundle, pictures: Path
) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 1883))
        except OSError:
            pass  # somebody else has it: as good
        else:
            taken.listen()
        run = demo(bundle, pictures, "--parts", "3")
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.search(r"broker +127\.0\.0\.1:(\d+)", run.stdout)
    assert found
    assert found[1] != "1883"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_sums_up_and_leaves_nothing_behind(
    bundle: Bundle, pictures: Path, number: signal.Signals
) -> None:
    with running(bundle, pictures, "--forever") as process:
        text = read_until(process, r"^ +10 +part0")
        station = child_of(process.pid, "run")
        process.send_signal(number)
        assert process.stdout is not None
        text += process.stdout.read()
    assert process.returncode == 0, text
    numbers = re.search(r"journalled +(\d+) = (\d+) = (\d+)", text)
    assert numbers
    assert int(numbers[1]) >= 10
    assert not Path(f"/proc/{station}").exists()
    assert leftovers(pictures) == []


def test_a_killed_demo_takes_its_station_and_its_pages_along(
    bundle: Bundle, pictures: Path
) -> None:
    with running(bundle, pictures, "--forever") as process:
        read_until(process, r"^ +10 +part0")
        children = [child_of(process.pid, command) for command in ("run", "hmi")]
        process.kill()
        assert until(lambda: not any(lives(child) for child in children))


def test_a_killed_station_ends_the_demo_with_its_last_words(bundle: Bundle, pictures: Path) -> None:
    with running(bundle, pictures, "--forever") as process:
        text = read_until(process, r"^ +10 +part0")
        os.kill(child_of(process.pid, "run"), signal.SIGKILL)
        assert process.stdout is not None
        text += process.stdout.read()
    assert process.returncode == 1, text
    assert "the station ended by itself; the end of station.log" in text
    assert "station demo, process" in text
    assert leftovers(pictures) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("image,label\n", "names no picture"),
        ("file,label\na.png,good\n", "needs the columns image and label"),
        ("image,label\nnone.png,good\n", "none.png is not in"),
        ("image,label\npart000.png,fine\n", "no label is one the bundle lets pass (good)"),
        ("image,label\npart000.png,good\n./part000.png,good\n", "have the same name"),
    ],
)
def test_a_list_that_cannot_work_is_told_in_words(
    bundle: Bundle, pictures: Path, content: str, words: str
) -> None:
    (pictures / "list.csv").write_text(content, encoding="utf-8")
    run = demo(bundle, pictures)
    assert run.returncode == 78
    assert words in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "option", [["--parts", "0"], ["--rate", "x"], ["--broker", "here"], ["--broker", "here:0"]]
)
def test_an_option_out_of_range_says_what_is_allowed(
    bundle: Bundle, pictures: Path, option: list[str]
) -> None:
    run = demo(bundle, pictures, *option)
    assert run.returncode == 2
    assert "must be" in run.stderr


def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    (tmp_path / "amqtt.py").write_text("raise ModuleNotFoundError('x', name='amqtt')\n")
    run = subprocess.run(
        [sys.executable, "-m", "inspector.cli", "demo"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 78
    assert "amqtt is not installed): pip install 'inspector[demo]'" in run.stderr
    assert "Traceback" not in run.stderr


def test_the_demo_is_over_soon_after_its_station(bundle: Bundle, pictures: Path) -> None:
    start = time.monotonic()
    assert demo(bundle, pictures, "--parts", "1").returncode == 0
    assert time.monotonic() - start < 15.0
