"""What is measured of a station as it works, beside what it publishes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from inspector.station.judging import Job
from inspector.station.ports import LineSignal
from inspector.station.spread import Buckets
from inspector.station.tally import Tally


@dataclass(frozen=True, slots=True)
class Figures:
    latencies: Mapping[str, Buckets]
    """How long parts took, by stage."""
    attested: Mapping[str, float]
    """How near each figure of the last frame was to its limit: 1 is at it, more is outside."""
    golden_error: float | None
    """The largest difference in the serving bundle's self-test; None where none serves."""

    @classmethod
    def of(cls, tally: Tally, line: LineSignal, job: Job | None) -> Self:
        """Any thread may ask: what others write is replaced as a whole."""
        found = tally.attested
        return cls(
            latencies={**tally.latencies, **line.latencies},
            attested=found[0].used_by(found[1]) if found else {},
            golden_error=job.runtime.golden_error if job else None,
        )
