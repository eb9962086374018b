"""What a person sees of a long job: bars on a terminal, one line a step in a log."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Item = TypeVar("Item")


class Screen:
    """Lines and bars on standard error; standard output stays for results."""

    def __init__(self, *, quiet: bool = False, worker: int | None = None) -> None:
        """worker: which of several processes at once it is; each line says so."""
        self.quiet = quiet
        self._whose = f"[{worker}] " if worker is not None else ""
        self._said: set[str] = set()
        self._console = Console(stderr=True, highlight=False, quiet=quiet, soft_wrap=True)

    def say(self, line: str) -> None:
        self._console.print(self._whose + line, markup=False)

    def once(self, line: str) -> None:
        """Say it unless it was said so before: what is found anew by every run of a comparison."""
        if line not in self._said:
            self._said.add(line)
            self.say(line)

    def bar(self, items: Iterable[Item], total: int, title: str) -> Iterator[Item]:
        """Pass the items on; a bar with the time left where there is a terminal."""
        if self._whose or not self._console.is_terminal:  # bars of several would overwrite others
            yield from items
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield from progress.track(items, total=total, description=title)


def clock_text(seconds: float) -> str:
    """Seconds as a person reads them: 42 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
