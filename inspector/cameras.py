"""`inspector cameras`: which cameras are there, and how station.toml names them."""

from collections.abc import Iterator
from pathlib import Path

from inspector.contract.errors import ConfigError
from inspector.devices.aravis import found

VIDEO = Path("/sys/class/video4linux")


def listed() -> Iterator[str]:
    """One line a camera, and one where there is none of a kind or it cannot be known."""
    try:
        cameras = found()
    except ConfigError as error:
        yield str(error)
    else:
        for each in cameras:
            yield (
                f'kind = "genicam", camera = "{each.id}"    {each.vendor} {each.model}, '
                f"serial {each.serial}, {each.protocol} at {each.address}"
            )
        if not cameras:
            yield "no genicam camera answers; a GigE one must be in a network of this machine's own"
    videos = sorted(VIDEO.glob("video*"), key=lambda path: (len(path.name), path.name))
    for path in videos:
        name = (path / "name").read_text(encoding="utf-8", errors="replace").strip()
        index = path.name.removeprefix("video")
        yield f'kind = "opencv", index = {index}    {name}, /dev/{path.name}'
    if not videos:
        yield "no /dev/video*"
