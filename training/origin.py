"""Where a bundle comes from, said so that the same inputs always say the same.

Nothing here looks at the clock or at a path: a job that was killed and resumed, repeated in a
fresh folder, or run where the images lie elsewhere makes the very same bundle.
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from inspector.contract.bundle import file_sha256
from inspector.contract.errors import ConfigError
from training.plan import Plan, fingerprint
from training.teaching import identity

EPOCH = "SOURCE_DATE_EPOCH"


def dated(files: Iterable[Path]) -> datetime:
    """The date a bundle carries: SOURCE_DATE_EPOCH, else the day (UTC) of the newest file.

    files: the images, their list and the plan; those that cannot be looked at do not count. The
    day and not the second, so that a copy made the same day dates the same. SOURCE_DATE_EPOCH:
    seconds since 1970, https://reproducible-builds.org/specs/source-date-epoch. Raises ConfigError
    where it is no such number.
    """
    wanted = os.environ.get(EPOCH, "")
    if wanted:
        try:
            return datetime.fromtimestamp(int(wanted), UTC)
        except (ValueError, OverflowError, OSError):
            words = "must be whole seconds since 1970"
            raise ConfigError(f"environment: {EPOCH} {wanted!r}: {words}") from None
    newest = max((_changed_at(path) for path in files), default=0.0)
    day = datetime.fromtimestamp(newest, UTC)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def plan_sha256(plan: Plan) -> str:
    """Names the plan by what it says, wherever the files lie that it names."""
    teacher, student = plan.teacher and identity(plan.teacher), identity(plan.student)
    if plan.teacher and teacher and plan.teacher.handed:
        handed = file_sha256(Path(plan.teacher.handed) / "teacher.safetensors")
        teacher = teacher.model_copy(update={"handed": handed})
    if plan.student.old:
        digest = file_sha256(Path(plan.student.old.networks) / "student.safetensors")
        old = plan.student.old.model_copy(update={"networks": digest})
        student = student.model_copy(update={"old": old})
    ensemble = tuple(identity(each) for each in plan.ensemble)
    parts = {"teacher": teacher, "student": student, "ensemble": ensemble}
    return fingerprint(plan.model_copy(update=parts))


def without_path(layout: str) -> str:
    """How the data was read, without the folder it lies in on this machine."""
    return layout.rpartition(": ")[2]


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
