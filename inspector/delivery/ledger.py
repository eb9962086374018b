"""Commands as they are remembered across restarts, in a file of its own beside the journal.

Which nonces were followed and what was answered, so that a command has one effect and one reply
however often it comes; and the audit, to which rows are only ever added. Each row holds the hash of
itself and the row before: a row changed or taken out breaks the chain there. Whoever can write the
file can also make a whole new chain: the log names the newest hash now and then, to be held
against it (`inspector audit --head`).
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inspector.contract.audit import AuditEntry
from inspector.contract.chain import FIRST, checked, head, link
from inspector.contract.result import utc_text
from inspector.contract.signed import SignedCommand
from inspector.delivery.database import AUDIT, Kind, Reader, in_words, open_writer, transaction

NONCES_MAX = 2_000
"""Of one sender: nobody's flood keeps another's HALT out."""
REMEMBERED = 1_000
"""Of one sender, however old. By their time alone, those of a clock that was ahead would be
forgotten before it was set, and nothing taken until the time that it had reached."""
KEEP_MS = 600_000
"""So long after its end a command sent again still gets its reply again."""

_KIND = Kind(
    word="command file",
    application_id=0x494E5344,
    version=1,
    schema=(
        "CREATE TABLE command (sender TEXT, nonce TEXT, expires_ms INTEGER NOT NULL,"
        " digest BLOB NOT NULL, boot TEXT NOT NULL, reply BLOB,"
        " PRIMARY KEY (sender, nonce)) WITHOUT ROWID"
    ),
    more=(
        "CREATE INDEX command_expires ON command (expires_ms)",
        # nothing that ended before it is taken: its nonce may be forgotten, whatever the clock says
        "CREATE TABLE forgotten (expires_ms INTEGER NOT NULL)",
        "INSERT INTO forgotten VALUES (0)",
        *AUDIT,
    ),
)

_NEWEST = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"


def ledger_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".commands")


@dataclass(frozen=True, slots=True)
class Known:
    """A nonce that came before."""

    same: bool
    """It was the same command."""
    reply: bytes | None
    """None: it is under way, or was when its process ended."""
    ended: bool
    """It was begun by a process that is no more."""


class Ledger:
    """Any thread may use it."""

    def __init__(self, journal: Path, boot: str) -> None:
        """Raises ConfigError for a file of another version, RecordError for a damaged one."""
        self.path = ledger_path(journal)
        self._boot = boot
        self._lock = threading.Lock()
        self._db = open_writer(self.path, _KIND, synchronous="FULL")
        self.rows: int = 0
        """In the audit."""
        self._head: bytes = FIRST
        with in_words(_KIND, self.path):
            found = self._db.execute(_NEWEST)
            self.rows, self._head = found.fetchone() or (0, FIRST)

    def known(self, envelope: SignedCommand) -> Known | None:
        """None for a new one. Raises RecordError."""
        query = "SELECT digest, reply, boot FROM command WHERE sender = ? AND nonce = ?"
        with self._lock, in_words(_KIND, self.path):
            row = self._db.execute(query, (envelope.sender, envelope.nonce)).fetchone()
        if row is None:
            return None
        digest, reply, boot = row
        return Known(digest == _digest(envelope), reply, ended=boot != self._boot)

    def begin(self, envelope: SignedCommand, action: str | None, now_ms: int) -> str | None:
        """Remember a new one, durably, before it has an effect; else why not.

        Raises RecordError where it cannot be stored: then it must have no effect.
        """
        sender, nonce = envelope.sender, envelope.nonce
        with self._lock, in_words(_KIND, self.path), self._adding():
            self._forget(sender, now_ms - KEEP_MS)
            (floor,) = self._db.execute("SELECT expires_ms FROM forgotten").fetchone()
            if envelope.expires_ms <= floor:
                return (
                    "it ends before one that was forgotten already: is the clock behind, or was "
                    "it ahead?"
                )
            query = "SELECT count(*) FROM command WHERE sender = ?"
            (count,) = self._db.execute(query, (sender,)).fetchone()
            if count >= NONCES_MAX:
                return f"{NONCES_MAX} commands of {sender} are remembered: wait some minutes"
            self._db.execute(
                "INSERT INTO command VALUES (?, ?, ?, ?, ?, NULL)",
                (sender, nonce, envelope.expires_ms, _digest(envelope), self._boot),
            )
            self._add(self.entry(event="begun", sender=sender, action=action, nonce=nonce))
        return None

    def finish(self, envelope: SignedCommand, reply: bytes) -> None:
        """The reply that it gets from now on, however often it comes. Raises RecordError."""
        update = "UPDATE command SET reply = ? WHERE sender = ? AND nonce = ?"
        with self._lock, in_words(_KIND, self.path), transaction(self._db):
            self._db.execute(update, (reply, envelope.sender, envelope.nonce))

    def add(self, entry: AuditEntry) -> str:
        """One more row of the audit; its NUMBER:HASH. Raises RecordError."""
        with self._lock, in_words(_KIND, self.path):
            with self._adding():
                self._add(entry)
            return head(self.rows, self._head)

    def entry(self, **words: object) -> AuditEntry:
        at = utc_text(datetime.now(UTC))
        return AuditEntry.model_validate({"at": at, "boot": self._boot, **words})

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _adding(self) -> Iterator[None]:
        before = self.rows, self._head
        try:
            with transaction(self._db):
                yield
        except BaseException:
            self.rows, self._head = before
            raise

    def _forget(self, sender: str, before_ms: int) -> None:
        """Beyond the newest, by expiry. The clock may go back afterwards: what was forgotten then
        stays too old."""
        newest = "SELECT expires_ms FROM command WHERE sender = ? ORDER BY expires_ms DESC"
        old = f"FROM command WHERE sender = ? AND expires_ms < min(?, ({newest} LIMIT 1 OFFSET ?))"
        given = sender, before_ms, sender, REMEMBERED - 1
        (last,) = self._db.execute(f"SELECT max(expires_ms) {old}", given).fetchone()
        if last is not None:
            self._db.execute("UPDATE forgotten SET expires_ms = max(expires_ms, ?)", (last,))
            self._db.execute(f"DELETE {old}", given)

    def _add(self, entry: AuditEntry) -> None:
        text = entry.model_dump_json(by_alias=True)
        self._head = link(self._head, text)
        done = self._db.execute("INSERT INTO audit (entry, hash) VALUES (?, ?)", (text, self._head))
        self.rows = int(done.lastrowid or 0)


def require_ledger(journal: Path) -> None:
    """One that is there is a station's; it is only read. Raises ConfigError, RecordError."""
    path = ledger_path(journal)
    if path.exists():
        with in_words(_KIND, path), Reader(path, _KIND) as reader:
            reader.ask(lambda db: db.execute(_NEWEST).fetchone())


def read_audit(journal: Path, told: str | None = None) -> Iterator[tuple[int, AuditEntry, str]]:
    """Every row with its number and hash, checked against the one before; the file is only read.

    told: NUMBER:HASH as it was told once; the row must be there as it was. Raises RecordError at
    the first row that is not as it was written.
    """
    path = ledger_path(journal)
    with in_words(_KIND, path), Reader(path, _KIND) as reader:
        rows = reader.ask(lambda db: db.execute("SELECT seq, entry, hash FROM audit ORDER BY seq"))
        for seq, text, found in checked(rows, f"audit {path}", told):
            yield seq, AuditEntry.model_validate_json(text), found.hex()


def _digest(envelope: SignedCommand) -> bytes:
    return hashlib.sha256(envelope.signed_text()).digest()
