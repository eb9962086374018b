"""Every topic name, built in one place: ROOT/STATION/WHAT, where ROOT is the plant's path.

The root follows ISA-95 where the plant does: `enterprise/site/area/line`.
"""

from typing import Annotated

from pydantic import StringConstraints

from inspector.contract.strict import Name

Root = Annotated[
    str, StringConstraints(pattern=r"^[^/#+$\x00\s][^#+\x00\s]*[^/#+\x00\s]$", max_length=200)
]
"""A path without wildcards, blanks, or a slash at either end."""


def result(root: Root, station: Name) -> str:
    """Every result, QoS 1, not retained: schema v1."""
    return f"{root}/{station}/result"


def state(root: Root, station: Name) -> str:
    """What the station is doing, QoS 1, retained; the last will says OFFLINE."""
    return f"{root}/{station}/state"
