"""The primary host as it says of itself, and the number of our births and deaths. No network."""

from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field

from inspector.contract.errors import CommandError
from inspector.contract.foreign import read_message
from inspector.contract.strict import Strict

_NUMBERS = 256


class HostState(Strict):
    """What a host says on its STATE topic; a newer host may say more."""

    model_config = ConfigDict(extra="ignore")

    online: Annotated[bool, Field(strict=True)]
    timestamp: Annotated[int, Field(ge=0, strict=True)]


class PrimaryHost:
    """Whether the host is there we wait for; always, where none is named."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._online = False
        self._newest_ms = -1

    @property
    def online(self) -> bool:
        return self._name is None or self._online

    def take(self, payload: bytes) -> bool:
        """Returns whether it changed anything: what is older than the newest does not.

        Raises CommandError in words where it says nothing that can be understood.
        """
        said = read_message(payload, HostState, "state")
        if said.timestamp < self._newest_ms:
            raise CommandError(f"STATE of {said.timestamp} is older than {self._newest_ms}")
        changed = said.online is not self._online
        self._online, self._newest_ms = said.online, said.timestamp
        return changed

    def forget(self) -> None:
        """A new connection: until the broker has said it again, nobody is there."""
        self._online = False


class BirthNumber:
    """bdSeq: one more at each CONNECT, 255 then 0; kept, so that the will of a connection of the
    start before this one, which a broker may publish late, is not taken for ours."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + ".sparkplug")
        self.trouble: str | None = None
        """Why it could not be kept."""
        self._is_unused = False
        try:
            self._last = int(self._path.read_text(encoding="ascii")) % _NUMBERS
        except (OSError, ValueError):
            self._last = _NUMBERS - 1  # the first is 0

    def unused(self) -> None:
        """There was nobody to send the CONNECT to: the next one has the same number."""
        self._is_unused = True

    def next(self) -> int:
        """For the next CONNECT."""
        if self._is_unused:
            self._is_unused = False
            return self._last
        self._last = (self._last + 1) % _NUMBERS
        draft = self._path.with_name(self._path.name + ".new")
        try:
            draft.write_text(f"{self._last}\n", encoding="ascii")
            draft.replace(self._path)
            self.trouble = None
        except OSError as error:  # it counts on: only a kill could then repeat one
            self.trouble = f"{self._path}: {error.strerror}"
        return self._last
