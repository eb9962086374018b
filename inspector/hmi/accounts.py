"""Who may come in: accounts with a role, one-time links by which they set their password, sessions.

There is no default password, and nobody but its owner ever knows one: an administrator hands out
a link, which works once and for some hours.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from inspector.contract.errors import CommandError
from inspector.hmi.access import ROLES, Role
from inspector.hmi.passwords import fault, hashed, verify
from inspector.hmi.settings import SessionSettings
from inspector.hmi.store import Store

FIRST_LINK_S = 3_600.0
LINK_S = 24 * 3_600.0
ACCOUNTS_MAX = 500
SESSIONS_MAX = 20  # of one account: the oldest goes
NAME_MAX = 32


class AccountError(CommandError):
    """Its text is one word of the pages' messages."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks."""

    name: str
    role: Role


class Accounts:
    """Any thread may use it."""

    def __init__(self, store: Store, settings: SessionSettings) -> None:
        self._store = store
        self._settings = settings

    def all(self) -> list[dict[str, Any]]:
        query = "SELECT name, role, password IS NOT NULL, created_at, logged_in_at FROM account"
        with self._store.reading() as db:
            rows = db.execute(f"{query} ORDER BY name").fetchall()
        keys = ("name", "role", "ready", "created_at", "logged_in_at")
        return [{**dict(zip(keys, row, strict=True)), "ready": bool(row[2])} for row in rows]

    def first_link(self) -> str | None:
        """A token for the first administrator; None where one has a password already."""
        with self._store.changing() as db:
            query = "SELECT 1 FROM account WHERE role = 'admin' AND password IS NOT NULL"
            if db.execute(query).fetchone():
                return None
            db.execute("DELETE FROM invitation WHERE name IS NULL")
            return self._invite(None, "admin", FIRST_LINK_S)

    def add(self, name: str, role: Role) -> str:
        """A new account without a password; the token by which its owner sets one."""
        _require(_is_name(name), "name")
        with self._store.changing() as db:
            _require(
                db.execute("SELECT count(*) FROM account").fetchone()[0] < ACCOUNTS_MAX, "full"
            )
            query = "SELECT 1 FROM account WHERE lower(name) = lower(?)"
            _require(not db.execute(query, (name,)).fetchone(), "name_taken")
            db.execute(
                "INSERT INTO account VALUES (?, ?, NULL, ?, NULL)", (name, role, int(time.time()))
            )
            return self._invite(name, role, LINK_S)

    def link(self, name: str) -> str:
        """A token for a new password; the old one works until it was used."""
        with self._store.changing() as db:
            role = self.role(name)
            db.execute("DELETE FROM invitation WHERE name = ?", (name,))
            return self._invite(name, role, LINK_S)

    def role(self, name: str) -> Role:
        with self._store.reading() as db:
            found = db.execute("SELECT role FROM account WHERE name = ?", (name,)).fetchone()
        _require(found is not None, "no_account")
        return _role(found[0])

    def change_role(self, name: str, role: Role) -> Role:
        """The role it had. Whoever is logged in by it must log in again."""
        with self._store.changing() as db:
            before = self.role(name)
            self._keep_an_admin(name, role)
            db.execute("UPDATE account SET role = ? WHERE name = ?", (role, name))
            db.execute("UPDATE invitation SET role = ? WHERE name = ?", (role, name))
            db.execute("DELETE FROM session WHERE name = ?", (name,))
        return before

    def remove(self, name: str) -> Role:
        with self._store.changing() as db:
            before = self.role(name)
            self._keep_an_admin(name, None)
            db.execute("DELETE FROM invitation WHERE name = ?", (name,))
            db.execute("DELETE FROM account WHERE name = ?", (name,))
        return before

    def invited(self, token: str) -> dict[str, Any] | None:
        """For whom a one-time link is; None where it is none any more."""
        query = "SELECT name, role FROM invitation WHERE hash = ? AND expires_at > ?"
        with self._store.reading() as db:
            row = db.execute(query, (_digest(token), time.time())).fetchone()
        return {"name": row[0], "role": row[1]} if row else None

    def accept(self, token: str, name: str | None, password: str) -> Visitor:
        """Set the password a one-time link is for. Raises AccountError, BusyError."""
        invited = self.invited(token)
        if invited is None:
            raise AccountError("link")
        owner = invited["name"] or (name or "").strip()
        _require(_is_name(owner), "name")
        wrong = fault(password, owner)
        _require(wrong is None, wrong or "")
        kept = hashed(password)
        with self._store.changing() as db:
            _require(self.invited(token) is not None, "link")
            db.execute("DELETE FROM invitation WHERE hash = ?", (_digest(token),))
            if invited["name"] is None:
                self._first(owner, kept)
            else:
                db.execute("UPDATE account SET password = ? WHERE name = ?", (kept, owner))
                db.execute("DELETE FROM session WHERE name = ?", (owner,))
        return Visitor(owner, _role(invited["role"]))

    def log_in(self, name: str, password: str) -> tuple[Visitor, str] | None:
        """Who it is, and the token of a new session; None for a wrong name or password, in the
        same time. Raises BusyError.
        """
        with self._store.reading() as db:
            query = "SELECT name, role, password FROM account WHERE lower(name) = lower(?)"
            # not cut: many names would be one account, each with tries of its own
            row = db.execute(query, (name,)).fetchone()
        if not verify(password[:1_000], row[2] if row else None):
            return None
        visitor = Visitor(row[0], _role(row[1]))
        with self._store.changing() as db:
            # as long as it took to verify, it may have been replaced, and its sessions ended
            update = "UPDATE account SET logged_in_at = ? WHERE name = ? AND password = ?"
            still = db.execute(update, (int(time.time()), row[0], row[2])).rowcount
            return (visitor, self.begin(visitor)) if still else None

    def begin(self, visitor: Visitor) -> str:
        """A new session; its token, of which only the hash is kept."""
        token, now = secrets.token_urlsafe(32), time.time()
        with self._store.changing() as db:
            db.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?)", (_digest(token), visitor.name, now, now)
            )
            old = "SELECT hash FROM session WHERE name = ? ORDER BY used_at DESC LIMIT -1 OFFSET ?"
            drop = f"DELETE FROM session WHERE hash IN ({old})"  # noqa: S608 - our words
            db.execute(drop, (visitor.name, SESSIONS_MAX))
        return token

    def visitor(self, token: str, *, used: bool) -> Visitor | None:
        """Whose session it is, unless it has ended. used: by a person, not by the page itself."""
        query = (
            "SELECT s.name, a.role, s.begun_at, s.used_at FROM session s"
            " JOIN account a ON a.name = s.name WHERE s.hash = ?"
        )
        now, key = time.time(), _digest(token)
        with self._store.reading() as db:
            row = db.execute(query, (key,)).fetchone()
        if row is None:
            return None
        if self._over(row[1], now - row[2], now - row[3]):
            self.end(token)
            return None
        if used and now - row[3] > 20.0:  # not a write for every click
            with self._store.changing() as db:
                db.execute("UPDATE session SET used_at = ? WHERE hash = ?", (now, key))
        return Visitor(row[0], _role(row[1]))

    def end(self, token: str) -> None:
        with self._store.changing() as db:
            db.execute("DELETE FROM session WHERE hash = ?", (_digest(token),))

    def _over(self, role: str, age_s: float, idle_s: float) -> bool:
        if age_s < -60.0 or idle_s < -60.0:  # the clock was set back: log in again
            return True
        if role == "viewer":
            return age_s > 3_600.0 * self._settings.viewer_h
        hours, minutes = self._settings.absolute_h, self._settings.idle_min
        return age_s > 3_600.0 * hours or idle_s > 60.0 * minutes

    def _invite(self, name: str | None, role: str, seconds: float) -> str:
        token = secrets.token_urlsafe(32)
        with self._store.changing() as db:
            db.execute("DELETE FROM invitation WHERE expires_at <= ?", (time.time(),))
            row = (_digest(token), name, role, time.time() + seconds)
            db.execute("INSERT INTO invitation VALUES (?, ?, ?, ?)", row)
        return token

    def _first(self, name: str, kept: str) -> None:
        with self._store.changing() as db:
            admin = "role = 'admin' AND password IS NOT NULL"
            query = f"SELECT 1 FROM account WHERE lower(name) = lower(?) OR ({admin})"  # noqa: S608
            _require(not db.execute(query, (name,)).fetchone(), "name_taken")
            row = (name, "admin", kept, int(time.time()))
            db.execute("INSERT INTO account VALUES (?, ?, ?, ?, NULL)", row)

    def _keep_an_admin(self, name: str, role: str | None) -> None:
        """Else nobody could let anybody in any more."""
        query = "SELECT 1 FROM account WHERE role = 'admin' AND password IS NOT NULL AND name != ?"
        with self._store.reading() as db:
            others = db.execute(query, (name,)).fetchone()
        _require(role == "admin" or bool(others), "last_admin")


def _role(text: str) -> Role:
    return next(role for role in ROLES if role == text)


def _is_name(name: str) -> bool:
    """Safe within a command's id, which the station's audit keeps."""
    plain = name.isascii() and name[:1].isalnum() and all(c.isalnum() or c in "._-" for c in name)
    return plain and len(name) <= NAME_MAX


def _require(holds: bool, word: str) -> None:  # noqa: FBT001 - a check
    if not holds:
        raise AccountError(word)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
