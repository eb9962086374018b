"""Results that a station of a version to come may send: named as ours are, else another matter."""

import json
from collections.abc import Callable
from typing import Any

Write = Callable[[dict[str, Any]], bytes]


def as_ours_with(**changes: Any) -> Write:
    return lambda ours: json.dumps({**ours, **changes}).encode()


ODD: dict[str, tuple[Write, dict[str, Any]]] = {
    "a part of one word": (as_ours_with(part="P-7"), {"part_id": "P-7", "part_sequence": "P-7"}),
    "a list of scores": (as_ours_with(score=[0.1, 0.2]), {"score": [0.1, 0.2]}),
    "labels in a table": (as_ours_with(label={"is": "chip"}), {"label": {"is": "chip"}}),
    "a pass in words": (as_ours_with(**{"pass": "yes"}), {"pass": "yes"}),
    "a time nobody can place": (as_ours_with(captured_at="at noon"), {"captured_at": "at noon"}),
    "a number for a word": (as_ours_with(recipe=7), {"recipe": 7}),
    "an end of text": (as_ours_with(part={"id": "P\0", "sequence": 1}), {"part_id": "P\0"}),
}
"""Each with what no column holds."""

OTHERWISE: tuple[Write, ...] = (
    as_ours_with(
        regions=[{"name": "nothing that we know"}], schema=4, more={"deep": [1, {"er": None}]}
    ),
    lambda ours: json.dumps(ours, indent=1).replace("\n", "\r\n").encode(),
    lambda ours: json.dumps(
        {name: ours[name] for name in ("station", "seq", "result_id")}
    ).encode(),
)
"""Of another form, and every column takes what it finds."""
