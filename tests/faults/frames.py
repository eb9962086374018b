"""Bad frames injected into the live camera of a commissioned station: none may pass.

Good and bad seconds take turns: black, white, dim, over-exposed, blurred, moved, turned, torn,
frozen, and stale ones (a stream that stalls and then hands out what it kept back, while the line
has gone on). Every part whose frame was taken in bad seconds must be rejected, and say why.
"""

import json
import random
import tempfile
import time
from argparse import Namespace
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.badframes import FAULTS, bad_frames
from tests.brokers import Mosquitto
from tests.faults.bench import Consumer, Report, account, arguments, command, order, rows_of, steps
from tests.faults.film import FilmServer, good_frames, jpeg, write_frames
from tests.support import make_bundle, run_inspector, start_station, until, write_station

GOOD = "good"
FROZEN, STALE = "frozen", "stale"
NAMES = (*FAULTS, FROZEN, STALE)
REASONS = ("attestation: ", "frozen: ", "stale frame: ", "no frame ")
CAMERA_RATE = 60.0
HELD_S = 0.4
ON_ITS_WAY_S = 0.1
"""At the end of a turn the next film's first frame may have a time from before."""


@dataclass(frozen=True, slots=True)
class Turn:
    name: str
    began: datetime
    ended: datetime


class Films:
    """The good film, and the same parts with each fault."""

    def __init__(self, count: int) -> None:
        self.good = good_frames(count)
        self._films: dict[str, list[bytes]] = {GOOD: [jpeg(image) for image in self.good]}
        for image in self.good[:16]:
            for name, spoilt in bad_frames(image):
                self._films.setdefault(name, []).append(jpeg(spoilt))
        self._films[FROZEN] = self._films[GOOD][:1]
        self._films[STALE] = self._films["black"]

    def show(self, camera: FilmServer, name: str, seconds: float) -> Turn:
        """When the camera showed nothing else."""
        if name == STALE:
            camera.held.set()  # good frames, which will come when the part they show is gone
            time.sleep(HELD_S)
        camera.film = self._films[name]
        began = datetime.now(UTC)
        camera.held.clear()
        time.sleep(seconds)
        return Turn(name, began, datetime.now(UTC))


def frames(report: Report, names: list[str], seconds: float, learn_from: int) -> None:
    """Each of these faults for so many seconds, with good ones between."""
    with tempfile.TemporaryDirectory(prefix="frames-") as name, ExitStack() as started:
        folder = Path(name)
        films = Films(learn_from)
        camera = FilmServer([jpeg(image) for image in films.good], CAMERA_RATE).start()
        started.callback(camera.kill)
        broker = started.enter_context(Mosquitto(folder, quiet=True).start())
        consumer = started.enter_context(Consumer(broker.port))
        (folder / "pictures").mkdir()
        settings = write_station(
            folder,
            make_bundle(folder / "bundles"),
            camera={"kind": "opencv", "url": camera.url, "latency_ms": 40},
            trigger={"kind": "continuous"},  # no beat that a busy machine could be late for
            mqtt={"port": broker.port},
            archive={"keep": "none"},
            recipe={"frame_timeout_ms": 500},
        )
        shown = write_frames(folder / "shown", films.good)
        learned = run_inspector("commission", settings, "--folder", shown, timeout_s=300.0)
        assert learned.returncode == 0, learned.stdout + learned.stderr
        station = start_station(settings)
        started.callback(station.wait)
        started.callback(station.kill)
        assert until(lambda: len(consumer.passes) > 5, 60.0), (folder / "station.log").read_text()
        turns: list[Turn] = []
        with suppress(KeyboardInterrupt):
            report.interrupted = True
            for i in steps(len(names), "faults"):
                turns.append(films.show(camera, GOOD, seconds))
                turns.append(films.show(camera, names[i], seconds))
            report.interrupted = False
        films.show(camera, GOOD, 0.2)
        refused = order(folder, "stop")
        report.require(refused is None, f"{refused}")
        until(lambda: consumer.state["state"] == "READY")
        station.terminate()
        report.require(station.wait(60.0) == 0, "the station did not end in order")
        until(lambda: consumer.highest >= consumer.state["seq"])
        report.faults += account(folder / "journal.db", consumer).faults
        _judge(report, folder / "journal.db", turns)


def _judge(report: Report, journal: Path, turns: list[Turn]) -> None:
    verdicts: dict[str, Counter[str]] = {turn.name: Counter() for turn in turns}
    reasons: dict[str, Counter[str]] = {turn.name: Counter() for turn in turns}
    begun: set[int] = set()
    for _, payload in rows_of(journal):
        result: dict[str, Any] = json.loads(payload)
        turn = _turn_of(result, turns)
        if turn is None:
            continue
        if turn.name == FROZEN and id(turn) not in begun:
            begun.add(id(turn))  # a picture is frozen when it comes again
            continue
        verdicts[turn.name][result["evaluation"]] += 1
        reasons[turn.name][" ".join(result["reason"].split()[:2])] += 1
        if turn.name == GOOD:
            continue
        said = f"{turn.name}: seq {result['seq']} {result['evaluation']}: {result['reason']}"
        report.require(not result["pass"], f"a bad frame passed: {said}")
        report.require(result["reason"].startswith(REASONS), f"not the frame's fault: {said}")
    for name, counts in verdicts.items():
        passed, tried = counts["OK"], counts.total()
        report.trials.append({"frames": name, "parts": tried, "passed": passed, **counts})
        report.require(tried > 0, f"{name}: no part was tried")
        report.figures[name] = f"passed {passed} of {tried}; {dict(reasons[name].most_common(3))}"
    bad = [trial for trial in report.trials if trial["frames"] != GOOD]
    total, passed = (sum(trial[key] for trial in bad) for key in ("parts", "passed"))
    report.figures["bad frames passed"] = f"{passed} of {total}"


def _turn_of(result: dict[str, Any], turns: list[Turn]) -> Turn | None:
    """By when its frame was exposed; a part without a frame cannot have passed."""
    if result["captured_at"] is None:
        return None
    at = datetime.fromisoformat(result["captured_at"])
    for turn in turns:
        if turn.began <= at and (turn.ended - at).total_seconds() > ON_ITS_WAY_S:
            return turn
    return None


def main() -> int:
    parser = arguments(__doc__, "frames")
    parser.add_argument("--rounds", type=int, default=5, help="through all faults (default 5)")
    options: Namespace = parser.parse_args()
    names = list(NAMES) * options.rounds
    random.Random(options.seed).shuffle(names)  # noqa: S311
    report = Report("frames", options)
    return command(report, lambda found: frames(found, names, 2.0, learn_from=100))


if __name__ == "__main__":
    raise SystemExit(main())
