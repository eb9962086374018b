"""What has become of the parts since this boot: counts, and how long the last ones took."""

from collections import Counter, deque

from inspector.contract.result import EvaluationName
from inspector.contract.status import TallyCounts
from inspector.contract.verdict import Cause
from inspector.station.attest_rule import Attest
from inspector.station.cycle import Gear, Inspected
from inspector.station.ports import Trigger
from inspector.station.spread import Buckets, spread

PARTS_TIMED = 1_000
COMMITS_TIMED = 100


class Tally:
    """One thread counts; `counts()` is what it publishes.

    A part is triggered, then exactly one of: counted under its verdict, unrecorded, withdrawn.
    """

    def __init__(self) -> None:
        self.late = 0
        self.late_commits = 0
        self.clock_jumps = 0
        self.line_stops = 0
        self.unjudged_in_a_row = 0
        self.unrecorded = 0
        self.unshown = 0
        self.frames_missed = 0
        self.latencies: dict[str, Buckets] = {}
        """Per stage of a part; `total`, `commit` and `line` among them."""
        self.attested: tuple[Attest, dict[str, float]] | None = None
        """The last frame that was held against limits: these, and its figures."""
        self._triggers = 0
        self._verdicts: Counter[EvaluationName] = Counter()
        self._causes: Counter[Cause] = Counter()
        self._total_ms: deque[float] = deque(maxlen=PARTS_TIMED)
        self._commit_ms: deque[float] = deque(maxlen=COMMITS_TIMED)
        self._line_ms: deque[float] = deque(maxlen=COMMITS_TIMED)

    def trigger(self) -> None:
        self._triggers += 1

    def withdraw(self) -> None:
        """The trigger was no part: a finite source had already shown its last."""
        self._triggers -= 1

    def add(self, inspected: Inspected) -> None:
        """One part has its verdict."""
        result, line_ms = inspected.result, inspected.line_ms
        times_ms = {"total": inspected.total_ms, "commit": inspected.commit_ms}
        if line_ms:  # there is a line to tell
            times_ms["line"] = line_ms
        for stage, time_ms in {**result.times_ms, **times_ms}.items():
            if stage not in self.latencies:  # replaced whole, since others read it
                self.latencies = {**self.latencies, stage: Buckets()}
            self.latencies[stage].add(time_ms)
        if inspected.rule is not None and result.attestation is not None:
            self.attested = inspected.rule, result.attestation  # replaced whole, as above
        self._verdicts[result.evaluation] += 1
        if result.cause is not None:
            self._causes[result.cause] += 1
        undefined = result.evaluation == "UNDEFINED"
        self.unjudged_in_a_row = self.unjudged_in_a_row + 1 if undefined else 0
        self._total_ms.append(inspected.total_ms)
        self._commit_ms.append(inspected.commit_ms)
        self._line_ms.append(line_ms)
        self.late += inspected.late
        self.late_commits += inspected.late_commit
        self.unshown += inspected.unshown is not None

    @property
    def reserve_ms(self) -> float:
        """What commit and line took at most, of the last hundred; 0 before the first."""
        return max(self._commit_ms, default=0.0) + max(self._line_ms, default=0.0)

    def counts(self, gear: Gear, trigger: Trigger) -> TallyCounts:
        """With what the devices count themselves."""
        return TallyCounts(
            triggers=self._triggers,
            triggers_missed=trigger.missed,
            verdicts=dict(self._verdicts),
            causes=dict(self._causes),
            late=self.late,
            late_commits=self.late_commits,
            unrecorded=self.unrecorded,
            unshown=self.unshown,
            unjudged_in_a_row=self.unjudged_in_a_row,
            line_stops=self.line_stops,
            clock_jumps=self.clock_jumps,
            frames_missed=self.frames_missed,
            capture_restarts=gear.camera.restarts,
            images_dropped=gear.archive.dropped,
            trigger_to_verdict_ms=spread(self._total_ms),
        )
