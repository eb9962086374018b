"""Keys of those who may send commands: HMAC-SHA256 (RFC 2104) or Ed25519 (RFC 8032).

The key's file says which: PEM is Ed25519, a line of hexadecimal digits is an HMAC key. Never the
message: who forges one must not choose how it is checked.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Annotated, Literal

from pydantic import Field

from inspector.contract.command import Action, Command
from inspector.contract.errors import ConfigError
from inspector.contract.keyfile import (
    PRIVATE_PEM,
    PUBLIC_PEM,
    parsed,
    read_public,
    read_secret,
)
from inspector.contract.signed import SignedCommand, signed_text
from inspector.contract.strict import Name, Strict
from inspector.contract.topics import Root

HMAC_BYTES_MIN = 32
_PEM = b"-----BEGIN"


class KeySettings(Strict):
    """Who may send commands over the broker, and which."""

    name: Name
    """Of the sender: a level of the topics it sends to and hears from."""
    file: Path
    """Its Ed25519 public key in PEM, or the HMAC key it shares with us (at least 64 hexadecimal
    digits, for nobody else to read)."""
    actions: Annotated[frozenset[Action], Field(min_length=1)]
    """What it may ask for."""
    schema_min: Literal[1, 2] = 2
    """The oldest version of an envelope that is taken of it. 1, only until this sender can sign
    version 2: whoever reads one line's commands can have them followed by the stations of the same
    name on others."""


@dataclass(frozen=True, slots=True)
class CommandKey:
    name: Name
    actions: frozenset[Action]
    verifies: Callable[[bytes, bytes], bool]
    """Whether the second is this key's signature of the first."""
    schema_min: int


def read_key(settings: KeySettings) -> CommandKey:
    """Raises ConfigError, which quotes none of the key."""
    what = f"commands.keys {settings.name}: "
    data = read_public(settings.file, what=what)
    if data.startswith(_PEM):
        verifies = _ed25519(data, f"{what}{settings.file}")
    else:
        secret = _hmac_key(settings.file, what)

        def verifies(text: bytes, signature: bytes) -> bool:
            return hmac.compare_digest(_hmac(secret, text), signature)

    return CommandKey(settings.name, settings.actions, verifies, settings.schema_min)


class Signer:
    """Puts commands of one sender, to stations below one root, in signed envelopes."""

    def __init__(self, sender: Name, key_file: Path, topic_root: Root) -> None:
        """key_file: the Ed25519 private key in PEM, or the HMAC key. Raises ConfigError."""
        self._sender = sender
        self._root = topic_root
        data = read_secret(key_file, what="key_file ")
        if data.startswith(_PEM):
            self._sign = _ed25519_signer(data, key_file)
        else:
            secret = _hmac_key(key_file, "key_file ")
            self._sign = lambda text: _hmac(secret, text)

    def seal(self, command: Command, station: Name, lifetime_s: float) -> SignedCommand:
        """From now on for `lifetime_s`, by this machine's clock."""
        issued_ms = time.time_ns() // 1_000_000
        expires_ms = issued_ms + max(1, round(1_000 * lifetime_s))
        nonce, text = token_hex(16), command.to_json().decode()
        signed = signed_text(self._sender, self._root, station, nonce, issued_ms, expires_ms, text)
        return SignedCommand(
            schema=2,
            sender=self._sender,
            topic_root=self._root,
            station=station,
            nonce=nonce,
            issued_ms=issued_ms,
            expires_ms=expires_ms,
            command=text,
            signature=self._sign(signed).hex(),
        )


def _hmac(secret: bytes, text: bytes) -> bytes:
    return hmac.digest(secret, text, hashlib.sha256)


def _hmac_key(path: Path, what: str) -> bytes:
    try:
        secret = bytes.fromhex(read_secret(path, what=what).decode("ascii").strip())
    except ValueError:
        raise ConfigError(
            f"{what}{path}: is neither PEM nor a line of hexadecimal digits: "
            "openssl rand -hex 32 makes one"
        ) from None
    if len(secret) < HMAC_BYTES_MIN:
        raise ConfigError(f"{what}{path}: has fewer than {2 * HMAC_BYTES_MIN} hexadecimal digits")
    return secret


def _ed25519(pem: bytes, where: str) -> Callable[[bytes, bytes], bool]:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Ed25519PublicKey = parsed(
        lambda: load_pem_public_key(pem), Ed25519PublicKey, where=where, what=PUBLIC_PEM
    )

    def verifies(text: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, text)
        except InvalidSignature:
            return False
        return True

    return verifies


def _ed25519_signer(pem: bytes, path: Path) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key: Ed25519PrivateKey = parsed(
        lambda: load_pem_private_key(pem, password=None),
        Ed25519PrivateKey,
        where=f"key_file {path}",
        what=PRIVATE_PEM,
    )
    return key.sign
