"""A command that crosses a network: in an envelope that its sender has signed.

What is signed is not JSON, of which every program writes its own, but lines: see `signed_text`. The
command is one of them, as the very text that the envelope holds. Version 2 says for which topic
root it is; one of version 1 is good at every station of its name, and is taken only of a sender
that `[[commands.keys]]` allows it.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from inspector.contract.foreign import MESSAGE_BYTES_MAX, read_message
from inspector.contract.strict import Name, Strict
from inspector.contract.topics import Root

SIGNED_AS = "inspector-command-"
"""With the version the first signed line: a signature of anything else is none of a command."""

Milliseconds = Annotated[int, Field(ge=0, lt=2**53, strict=True)]
"""Since 1970-01-01 UTC."""


class SignedCommand(Strict):
    schema_version: Literal[1, 2] = Field(alias="schema")
    sender: Name
    """Whose key signed it: the name in the station's `[[commands.keys]]`."""
    topic_root: Root | None = None
    """The station's, from version 2 on: there may be a station of this name on every line."""
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

    @model_validator(mode="after")
    def _root_by_version(self) -> Self:
        if (self.topic_root is None) is not (self.schema_version == 1):
            raise ValueError("topic_root is there from schema 2 on, and not before")
        return self

    def signed_text(self) -> bytes:
        return signed_text(
            self.sender,
            self.topic_root,
            self.station,
            self.nonce,
            self.issued_ms,
            self.expires_ms,
            self.command,
        )

    def to_json(self) -> bytes:
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()


def signed_text(
    sender: Name,
    topic_root: Root | None,
    station: Name,
    nonce: str,
    issued_ms: int,
    expires_ms: int,
    command: str,
) -> bytes:
    """What a sender signs: eight lines, joined by line feeds, the command last, in UTF-8. Version
    1, without a topic_root, had seven.

    Only the last may hold a line feed, so that no two envelopes have the same text.
    """
    place = ("1", sender, station) if topic_root is None else ("2", sender, topic_root, station)
    lines = (*place, nonce, str(issued_ms), str(expires_ms), command)
    return (SIGNED_AS + "\n".join(lines)).encode()


def read_signed(data: bytes) -> SignedCommand:
    """Raises CommandError in words, which quote little of what came."""
    return read_message(data, SignedCommand, "envelope")
