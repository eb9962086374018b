"""The pages as a user of their own: they read what the station writes, and can write none of it."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from inspector.delivery.journal import Journal, JournalSettings
from tests.brokers import Mosquitto
from tests.delivery.results import result
from tests.hmi.plant import START_S, Client, Pages
from tests.support import free_port, make_bundle, start_station, until, write_station

ROOT = Path(__file__).parents[2]
STATION, PAGES = 64_001, 64_002  # nobody's
AS_STATION: dict[str, Any] = {"user": STATION, "group": STATION, "extra_groups": [], "umask": 0o027}
AS_PAGES: dict[str, Any] = {
    "user": PAGES, "group": PAGES, "extra_groups": [STATION], "umask": 0o077,
}  # fmt: skip
INTERPRETERS = (sys.executable, "/usr/bin/python3")
"""The second, with the first's packages, where the first lies in root's home."""


def as_pages(code: str, *words: str | Path, **other: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/", **{**AS_PAGES, **other}
    )


def works(interpreter: str) -> bool:
    needs = "import sys, inspector.hmi.serve, onnxruntime; print(sys.version_info[:2])"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", interpreter)
        try:
            return as_pages(needs).stdout == f"{sys.version_info[:2]}\n"
        except OSError:
            return False


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """That other users may enter, with an interpreter that they may run."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to be other users")
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    packages = [path for path in sys.path if path.endswith("site-packages")]
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *packages]))
            found = next(filter(works, INTERPRETERS), None)
            if found is None:
                pytest.skip("needs a Python with its packages that other users may read")
            patch.setattr(sys, "executable", found)
            yield made
    finally:
        shutil.rmtree(made)


class Apart:
    """A station of one user and its pages of another."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.home = folder / "station"
        self.home.mkdir()
        self.settings = write_station(
            self.home,
            make_bundle(folder / "bundles"),
            camera={"loop": True},
            trigger={"kind": "interval", "period_ms": 200},
            mqtt={"port": broker.port, "backoff_min_s": 0.1, "backoff_max_s": 0.5},
            archive={"keep": "all"},
        )
        os.chown(self.home, STATION, STATION)
        self.home.chmod(0o750)
        pages = folder / "pages"
        pages.mkdir()
        os.chown(pages, PAGES, PAGES)
        self.station = start_station(self.settings, **AS_STATION)
        self.pages = Pages(pages, {"settings": str(self.settings)})
        self.client = Client(self.pages.port)

    def come_in(self) -> None:
        self.pages.start(**AS_PAGES)
        assert self.client.accept(self.pages.first_token(), "admin").status == 200

    def rows(self) -> Any:
        answer = self.client.ask("GET", "/api/stations/test/results?limit=5")
        return answer.json()["rows"] if answer.status == 200 else answer.json()

    def stop(self) -> None:
        self.pages.kill()
        self.station.kill()
        self.station.wait()


@pytest.fixture(scope="module")
def apart(folder: Path) -> Iterator[Apart]:
    with Mosquitto(folder, quiet=True) as broker:
        made = Apart(folder, broker.start())
        try:
            made.come_in()
            yield made
        finally:
            made.stop()


def test_pages_of_another_user_show_history_picture_and_journal(apart: Apart) -> None:
    assert until(lambda: len(apart.rows()) == 5, START_S), apart.rows()
    (newest, *_) = apart.rows()
    picture = f"/api/stations/test/pictures/{newest['image']}"
    assert until(lambda: apart.client.ask("GET", picture).status == 200)
    (station,) = apart.client.ask("GET", "/api/system").json()["stations"]
    assert station["journal"]["last"] >= 5
    assert station["journal"]["acknowledged"] >= 0


def test_they_can_write_nothing_of_the_station(apart: Apart) -> None:
    assert until(lambda: len(apart.rows()) == 5, START_S)
    tries = (
        "import os, sqlite3, sys\nfrom pathlib import Path\n"
        "for path in [Path(sys.argv[1]), *Path(sys.argv[1]).rglob('*')]:\n"
        "    if os.access(path, os.W_OK): print('may write', path)\n"
        "try: sqlite3.connect(sys.argv[2]).execute('DELETE FROM result')\n"
        "except sqlite3.OperationalError as error: print('refused', error)\n"
    )
    done = as_pages(tries, apart.home, apart.home / "journal.db")
    assert done.stdout.startswith("refused"), done.stdout + done.stderr
    assert "may write" not in done.stdout
    assert "may write" in as_pages(tries, apart.home, apart.home / "none", **AS_STATION).stdout


def test_history_is_there_while_the_station_is_stopped_and_goes_on_with_it(apart: Apart) -> None:
    assert until(lambda: len(apart.rows()) == 5, START_S)
    apart.station.terminate()
    assert apart.station.wait(30.0) == 0
    assert not (apart.home / "journal.db-wal").exists(), "it ended in order"
    before = apart.rows()
    assert [row["evaluation"] for row in before], before
    apart.station = start_station(apart.settings, **AS_STATION)
    assert until(lambda: apart.rows()[0]["seq"] > before[0]["seq"], START_S)
    apart.station.kill()
    apart.station.wait()
    assert (apart.home / "journal.db-wal").exists()
    assert len(apart.rows()) == 5
    apart.station = start_station(apart.settings, **AS_STATION)


def test_pages_that_may_not_read_the_journal_say_so_and_live_on(apart: Apart) -> None:
    apart.pages.kill()
    # who is not in the group cannot read station.toml either: here it may
    for path in (apart.home, apart.settings):
        path.chmod(path.stat().st_mode | 0o005)
    (apart.home / "journal.db").chmod(0o640)
    apart.pages.start(**{**AS_PAGES, "extra_groups": []})
    said = apart.rows()
    assert said["error"] == "not_stored"
    assert "journal.db" in said["detail"]
    (station,) = apart.client.ask("GET", "/api/system").json()["stations"]
    assert "journal.db" in station["journal"]["trouble"]
    assert until(
        lambda: apart.client.ask("GET", "/api/system").json()["stations"][0]["state"] is not None
    )


@pytest.fixture
def still(folder: Path) -> Iterator[JournalSettings]:
    """The journal of a station that ended in order, in a folder that AS_PAGES may only read."""
    home = Path(tempfile.mkdtemp(dir=folder))
    settings = JournalSettings(path=home / "journal.db", disk_free_min_mb=0)
    with closing(Journal(settings)) as journal:
        journal.put(result(1))
    for path in (home, *home.iterdir()):
        os.chown(path, STATION, STATION)
    home.chmod(0o550)
    yield settings
    shutil.rmtree(home)


def test_a_file_that_is_read_as_it_lies_is_read_on_when_somebody_begins_to_write(
    still: JournalSettings,
) -> None:
    reads = (
        "import sys\nfrom pathlib import Path\n"
        "from inspector.delivery.reader import JournalReader\n"
        "with JournalReader(Path(sys.argv[1])) as reader:\n"
        "    print(reader.last_seq(), flush=True)\n"
        "    sys.stdin.readline()\n"
        "    print(reader.last_seq())\n"
    )
    command = [sys.executable, "-c", reads, str(still.path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/", **AS_PAGES
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        with closing(Journal(still)) as writer:
            writer.put(result(2))
            process.stdin.write("\n")
            process.stdin.flush()
            assert process.stdout.readline() == "2\n"


def test_who_asks_while_the_station_ends_and_begins_is_answered_every_time(
    still: JournalSettings,
) -> None:
    asks = (
        "import signal, sys, time\nfrom pathlib import Path\n"
        "from inspector.hmi.history import Page, search\n"
        "signal.alarm(60)  # nobody waits longer for it\n"
        "path, newest, asked = Path(sys.argv[1]), 0, 0\n"
        "while newest < 40:\n"
        "    rows = search(path, Page(limit=5))['rows']\n"
        "    newest, asked = rows[0]['seq'] if rows else 0, asked + 1\n"
        "    if asked == 1: print('asks', flush=True)\n"
        "    time.sleep(0.001)\n"
    )
    command = [sys.executable, "-c", asks, str(still.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd="/", **AS_PAGES) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asks\n"
        for seq in range(2, 42):  # one is told of once it is settled: another lies behind it
            with closing(Journal(still)) as writer:
                writer.put(result(seq))
                time.sleep(0.02)
            time.sleep(0.02)
        assert process.wait(20.0) == 0, "it was refused an answer, as its output says"


def test_what_root_makes_in_a_stations_folder_the_station_can_open(folder: Path) -> None:
    place = folder / "made-by-root"
    place.mkdir()
    os.chown(place, STATION, STATION)
    roots = folder / "roots"
    roots.write_text("root's own")
    (place / "elsewhere.db.lock").symlink_to(roots)
    for name in ("journal.db", "elsewhere.db"):
        with closing(Journal(JournalSettings(path=place / name, disk_free_min_mb=0))) as journal:
            journal.put(result(1))
    assert (roots.stat().st_uid, roots.stat().st_gid) == (0, 0)
    assert roots.read_text() == "root's own"
    code = """
import sys
from pathlib import Path
from inspector.delivery.journal import Journal, JournalSettings
from tests.delivery.results import result
journal = Journal(JournalSettings(path=Path(sys.argv[1]), disk_free_min_mb=0))
journal.put(result(2))
print(journal.last_seq())
"""
    done = as_pages(code, place / "journal.db", **AS_STATION)
    assert done.stdout == "2\n", done.stderr


def test_after_a_review_by_root_the_station_can_keep_the_next(folder: Path) -> None:
    place = folder / "reviewed-by-root"
    place.mkdir()
    os.chown(place, STATION, STATION)
    code = """
import sys
from pathlib import Path
from tests.training.said import Station
place, seq = Path(sys.argv[1]), int(sys.argv[2])
station = Station(place.parent, place.name, seed=seq)
print(station.say("good", station.take("good"), seq=seq)[0].id)
"""
    for seq, who in ((1, {"user": 0, "group": 0}), (2, AS_STATION)):
        done = as_pages(code, place, str(seq), **who)
        assert done.stdout == f"{seq}\n", done.stderr


def told(command: str, *words: str | Path, **who: Any) -> subprocess.CompletedProcess[str]:
    code = "import sys; from inspector.cli import main; sys.exit(main())"
    return as_pages(code, command, *words, **who)


def test_accounts_that_root_makes_first_are_the_pages_own(folder: Path) -> None:
    place = folder / "accounts-by-root"
    place.mkdir()
    os.chown(place, PAGES, PAGES)
    settings = place / "hmi.toml"
    settings.write_text(
        'state_folder = "."\n[[stations]]\nstation = "cell-01"\ntopic_root = "acme"\n'
        'mqtt = { host = "127.0.0.1" }\n'
    )
    settings.chmod(0o644)
    made = told("hmi-user", settings, "add", "anna", "--role", "operator", user=0, group=0)
    assert made.returncode == 0, made.stderr
    done = told("hmi-user", settings, "list")
    assert "anna" in done.stdout, done.stderr
    assert (place / "hmi.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["jsonl", "csv", "sqlite"])
def test_a_store_that_root_tries_first_is_its_consumers_own(folder: Path, kind: str) -> None:
    place = folder / f"{kind}-by-root"
    place.mkdir()
    os.chown(place, STATION, STATION)
    settings = place / "consumer.toml"
    settings.write_text(
        'consumer = "mes"\ntopic_root = "acme"\nstations = ["cell-01"]\n'
        f'mqtt = {{ host = "127.0.0.1", port = {free_port()} }}\n'
        f'sink = {{ kind = "{kind}", path = "results" }}\n'
    )
    settings.chmod(0o644)
    for who in ({"user": 0, "group": 0, "umask": 0o022}, AS_STATION):
        done = told("subscribe", settings, "--for", "0.3", **who)
        assert done.returncode == 5, done.stdout + done.stderr
        assert (place / "results").stat().st_uid == STATION, "or no row could be written"
