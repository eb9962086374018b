"""What `inspector bench --runtimes` chose for a bundle on this machine, kept beside station.toml.

A choice holds for the bundle, the machine and the versions of the runtimes it was measured with.
Where any of them is another, the station runs the bundle as training judged it, and says so.
"""

import logging
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, ValidationError

from inspector.contract.strict import Name, Strict
from inspector.contract.whole import write_whole
from inspector.runtime.machine import Machine, this_machine
from inspector.runtime.settings import AS_JUDGED, Kind, Provider, RuntimeSettings, Threads

BUNDLES_MAX = 100

log = logging.getLogger(__name__)


class Chosen(Strict):
    kind: Kind
    threads: Threads
    provider: Provider = "cpu"
    p99_ms: Annotated[float, Field(gt=0.0)]
    """As measured when it was chosen: for people."""


class ChosenFile(Strict):
    schema_version: Literal[1] = Field(default=1, alias="schema")
    machine: Machine
    bundles: dict[Name, Chosen] = Field(max_length=BUNDLES_MAX)


class Resolved(NamedTuple):
    settings: RuntimeSettings
    why: str


def resolve(settings: RuntimeSettings, bundle_id: Name) -> Resolved:
    """What runs this bundle. Never raises: what is not recorded runs as it was judged."""
    if settings.kind != "auto":
        return Resolved(settings, "the settings name it")
    default = settings.model_copy(update={"kind": AS_JUDGED.kind})
    measure = "inspector bench --runtimes measures what is quickest here"
    try:
        file = ChosenFile.model_validate_json(settings.chosen.read_bytes())
    except FileNotFoundError:
        return Resolved(default, f"{settings.chosen}: is not there; {measure}")
    except (OSError, ValidationError) as error:
        log.warning("%s: cannot be used: %s", settings.chosen, error)
        return Resolved(default, f"{settings.chosen}: cannot be used; {measure}")
    other = _other(file.machine, this_machine())
    if other is not None:
        return Resolved(default, f"{settings.chosen}: was measured with {other}; {measure}")
    chosen = file.bundles.get(bundle_id)
    if chosen is None:
        return Resolved(default, f"{settings.chosen}: {bundle_id} was not measured; {measure}")
    changes = chosen.model_dump(include={"kind", "threads", "provider"})
    return Resolved(settings.model_copy(update=changes), f"{settings.chosen} says so")


def _other(then: Machine, now: Machine) -> str | None:
    """The first thing in which the machine was another; None where it is the same."""
    for name in Machine.model_fields:
        before, here = getattr(then, name), getattr(now, name)
        if before != here:
            return f"{name} {before}, here it is {here}"
    return None


def record(path: Path, bundle_id: Name, chosen: Chosen) -> None:
    """Beside what is recorded of other bundles on the same machine. Raises OSError."""
    machine, bundles = this_machine(), {}
    try:
        file = ChosenFile.model_validate_json(path.read_bytes())
        bundles = file.bundles if file.machine == machine else {}
    except (FileNotFoundError, ValidationError):
        pass  # begun anew
    kept = {name: each for name, each in bundles.items() if name != bundle_id}
    newest = dict(list(kept.items())[-(BUNDLES_MAX - 1) :])
    file = ChosenFile(machine=machine, bundles={**newest, bundle_id: chosen})
    write_whole(path, file.model_dump_json(by_alias=True, indent=2).encode())
