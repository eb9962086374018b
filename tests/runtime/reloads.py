"""A station at work whose bundle is exchanged again and again; prints its resident memory.

python -m tests.runtime.reloads FOLDER RELOADS BUNDLE BUNDLE
"""

import json
import sys
import threading
from pathlib import Path

from inspector.runtime.folder import BundleSettings
from inspector.runtime.reload import Reloader
from inspector.runtime.revise import Revisions
from inspector.station.exchange import JobExchange
from inspector.station.recipe import Recipe
from tests.running import Running
from tests.support import GREY, picture

ANSWER_S = 120.0


def resident_mb() -> float:
    """Of this process, from the system."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (each for each in status.splitlines() if each.startswith("VmRSS"))
    return int(line.split()[1]) / 1_024


def main(folder: Path, reloads: int, bundles: list[Path]) -> None:
    """One line of JSON: megabytes before the first reload and after each."""
    exchange = JobExchange()
    settings = BundleSettings(folder=bundles[0].parent, watch=False)
    reloader = Reloader(
        settings,
        record=folder / "record",
        revisions=Revisions(folder / "recipes"),
        exchange=exchange,
    )
    name = bundles[0].name.rpartition("-")[0]
    job = reloader.prepare(Recipe(name=name, bundle=bundles[0].name, deadline_ms=5_000))
    station = Running(folder, job, exchange=exchange, images=[picture(GREY, 300, 300)])
    del job
    reloader.start()
    threading.Event().wait(3.0)
    megabytes = [resident_mb()]
    for number in range(1, reloads + 1):
        answered = threading.Event()
        answers: list[tuple[bool, str]] = []

        def done(taken: bool, words: str) -> None:  # noqa: FBT001 - as the loader calls it
            answers.append((taken, words))  # noqa: B023 - answered within this turn
            answered.set()  # noqa: B023

        assert reloader.offer(bundles[number % 2].name, "test", done)
        assert answered.wait(ANSWER_S), "no answer"
        assert answers[0][0], answers[0][1]
        megabytes.append(resident_mb())
        print(number, round(megabytes[-1], 1), file=sys.stderr, flush=True)  # noqa: T201
    reloader.stop()
    station.station.stop()
    station.thread.join()
    parts, message = station.journal.last_seq(), station.station.message()
    station.journal.close()
    p99 = message.tally.trigger_to_verdict_ms
    print(json.dumps({"megabytes": megabytes, "parts": parts, "p99": p99 and p99.p99}))  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(each) for each in sys.argv[3:]])
