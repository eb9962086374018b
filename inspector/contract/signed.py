"""A command that crosses a network: in an envelope that its sender has signed, schema version 1.

What is signed is not JSON, of which every program writes its own, but seven lines: see
`signed_text`. The command is one of them, as the very text that the envelope holds.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import MESSAGE_BYTES_MAX, read_message
from inspector.contract.strict import Name, Strict

SIGNED_AS = "inspector-command-1"
"""The first signed line: a signature made for anything else is none of a command."""

Milliseconds = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
"""Since 1970-01-01 UTC."""


class SignedCommand(Strict):
    schema_version: Literal[1] = Field(alias="schema")
    sender: Name
    """Whose key signed it: the name in the station's `[[commands.keys]]`."""
    station: Name
    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
    """Another one for every command; the same when it is sent again for want of a reply."""
    issued_ms: Milliseconds
    expires_ms: Milliseconds
    command: Annotated[str, StringConstraints(max_length=MESSAGE_BYTES_MAX)]
    """The text of a Command: JSON within a string, signed as it is."""
    signature: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64}|[0-9a-f]{128})$")]
    """In hexadecimal: HMAC-SHA256 or Ed25519, whichever key the sender has."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.expires_ms <= self.issued_ms:
            raise ValueError("expires_ms must be after issued_ms")
        return self

    def signed_text(self) -> bytes:
        return signed_text(
            self.sender, self.station, self.nonce, self.issued_ms, self.expires_ms, self.command
        )

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True).encode()


def signed_text(
    sender: Name, station: Name, nonce: str, issued_ms: int, expires_ms: int, command: str
) -> bytes:
    """What a sender signs: seven lines, joined by line feeds, the command last, in UTF-8.

    Only the last may hold a line feed, so that no two envelopes have the same text.
    """
    lines = (SIGNED_AS, sender, station, nonce, str(issued_ms), str(expires_ms), command)
    return "\n".join(lines).encode()


def read_signed(data: bytes) -> SignedCommand:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, SignedCommand, "envelope")
