"""Passwords as they are kept: scrypt (RFC 7914), with the parameters OWASP lists for 32 MB.

A third of a second of one core for each try: two at a time, the rest wait or are sent away, so
that nobody's guessing takes the machine from the station beside us.
"""

import hashlib
import hmac
import os
from threading import BoundedSemaphore

N, R, P = 2**15, 8, 3
MEMORY_BYTES = 64 * 1024 * 1024
SALT_BYTES, HASH_BYTES = 16, 32
LENGTH_MIN, LENGTH_MAX = 10, 200
DIFFERENT_MIN = 5
WAIT_S = 5.0

_AT_WORK = BoundedSemaphore(2)


class BusyError(Exception):
    """Too many tries at once."""


def fault(password: str, name: str) -> str | None:
    """Why it cannot be taken, in one word of the pages' messages; None where it can."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        return "password_length"
    if len(set(password)) < DIFFERENT_MIN or name.lower() in password.lower():
        return "password_simple"
    return None


def hashed(password: str) -> str:
    """Its parameters, salt and hash as one text. Raises BusyError."""
    salt = os.urandom(SALT_BYTES)
    return f"scrypt${N}${R}${P}${salt.hex()}${_scrypt(password, salt, N, R, P).hex()}"


def verify(password: str, kept: str | None) -> bool:
    """In the same time where there is no such account (None). Raises BusyError."""
    if kept is None:
        _scrypt(password, bytes(SALT_BYTES), N, R, P)
        return False
    _, n, r, p, salt, expected = kept.split("$")
    found = _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p))
    return hmac.compare_digest(found, bytes.fromhex(expected))


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    if not _AT_WORK.acquire(timeout=WAIT_S):
        raise BusyError
    try:
        data = password.encode()
        return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=MEMORY_BYTES, dklen=HASH_BYTES)
    finally:
        _AT_WORK.release()
