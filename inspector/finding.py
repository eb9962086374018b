"""What `inspector check` has to say of one thing."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["ok", "note", "fault"]
    """A note does not keep the station from starting, or mends itself."""
    text: str
