"""Where a study is kept, and what is written of how it was made."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspector.contract.bundle import Bundle
from inspector.contract.result import utc_text
from inspector.contract.strict import Strict
from inspector.contract.verdict import Limits
from inspector.devices.quiet import quiet_cv2
from inspector.settings import Settings
from inspector.study.conditions import BundleUsed, Conditions, FileUsed, Machine, user
from inspector.study.files import browser, print_pdf, study_folder, write_study
from inspector.study.seen import Seen


class Office:
    """Of one study."""

    def __init__(self, args: argparse.Namespace) -> None:
        """Raises ConfigError now, not after an hour of parts."""
        quiet_cv2()
        self._printer = browser() if args.pdf else None
        self.folder = study_folder(args.out)
        self._settings_file: Path = args.settings
        self.by: str = args.by or user()
        self.begun_at = now()
        self._written: list[Path] = []

    def conditions(
        self,
        settings: Settings,
        bundle: Bundle,
        recipe: str,
        limits: Limits,
        source: str,
        files: Sequence[Path],
        caveats: Iterable[str] = (),
    ) -> Conditions:
        used = [self._settings_file, settings.recipe, *files]
        return Conditions(
            by=self.by,
            begun_at=self.begun_at,
            ended_at=now(),
            station=settings.station,
            topic_root=settings.topic_root,
            recipe=recipe,
            limits=limits,
            bundle=BundleUsed.of(bundle),
            files=tuple(FileUsed.of(path) for path in used),
            camera=settings.camera.model_dump(mode="json", exclude_none=True),
            trigger=settings.trigger.model_dump(mode="json", exclude_none=True),
            source=source,
            caveats=tuple(caveats),
            machine=Machine.here(),
        )

    def leave(
        self, name: str, page: str, figures: Strict, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        self._written = list(write_study(self.folder, name, page, figures, rows))
        if self._printer:
            self._written.append(print_pdf(self._printer, self._written[0]))

    def where(self) -> str:
        return f"written: {', '.join(map(str, self._written))}"


def now() -> str:
    return utc_text(datetime.now(UTC))


def span_of(seen: Iterable[Seen]) -> str:
    times = sorted(each.captured_at for each in seen if each.captured_at is not None)
    return f" from {times[0]} to {times[-1]}" if times else ""
