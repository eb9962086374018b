"""Real result messages for the delivery tests."""

from datetime import UTC, datetime

from inspector.contract.result import (
    InspectionResult,
    LimitsUsed,
    PartRef,
    RegionResult,
    TriggerRef,
)


def result(seq: int, *, result_id: str | None = None, padding: int = 0) -> InspectionResult:
    """A good part's result; `padding` makes its reason that many characters longer."""
    reason = "below review_at" + "." * padding
    return InspectionResult(
        result_id=result_id or f"station-boot-{seq}",
        station="station",
        boot="boot",
        seq=seq,
        part=PartRef(id=f"P{seq}", sequence=seq),
        trigger=TriggerRef(id=f"T{seq}", deadline_ms=None),
        deadline_ms=500,
        passed=True,
        evaluation="OK",
        reason=reason,
        cause=None,
        label="good",
        score=0.01,
        novelty=None,
        late=False,
        attestation={"sharpness": 31.5},
        regions=(
            RegionResult(
                name="whole",
                x=0,
                y=0,
                width=300,
                height=300,
                evaluation="OK",
                reason=reason,
                label="good",
                score=0.01,
                novelty=None,
            ),
        ),
        limits=LimitsUsed(review_at=0.2, reject_at=0.8, novelty_at=None, source="bundle"),
        recipe="cell",
        bundle="tiny-0123456789ab",
        captured_at=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        times_ms={"grab": 1.0, "predict": 0.8, "total": 2.0},
        image=None,
        simulated=True,
    )
