"""What came on a station's topics, read: somebody else's, of any version, and nothing is done here.

Everything raises ValueError in words.
"""

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, ConfigDict, Field

from inspector.consumer.ledger import Row
from inspector.contract.consumer import ConsumerReply, ResultId, Seq
from inspector.contract.errors import ConfigError
from inspector.contract.foreign import foreign_json
from inspector.contract.strict import Name, Strict, parse
from inspector.contract.table import fitting

Model = TypeVar("Model", bound=Strict)

_Count = Annotated[int, Field(ge=0, le=2**62, strict=True)]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must not hold control characters")
    return text


class _Any(Strict):
    """What a consumer needs of a message, strictly; what else a version says is let be."""

    model_config = ConfigDict(extra="ignore")


class _Which(_Any):
    station: Name
    seq: Seq
    result_id: Annotated[ResultId, AfterValidator(_printable)]


class _Consumer(_Any):
    name: str
    acknowledged: _Count


class Told(_Any):
    """A station's state."""

    seq: _Count
    state: str
    consumers: tuple[_Consumer, ...] = ()

    def acknowledged(self, consumer: Name) -> int | None:
        """Up to which row; None where the station does not know it."""
        return next((each.acknowledged for each in self.consumers if each.name == consumer), None)


def read_state(payload: bytes) -> Told:
    return _parse(Told, foreign_json(payload), "state")


def read_reply(payload: bytes) -> ConsumerReply:
    return _parse(ConsumerReply, foreign_json(payload), "reply")


def read_row(payload: bytes, station: Name) -> Row:
    """A result that can be stored and acknowledged. Only what names it must be as we know it: of a
    newer station each is kept as it was sent, and what no column holds is left empty there."""
    found = foreign_json(payload)
    which = _parse(_Which, found, "result")
    if which.station != station:
        raise ValueError("a result of another station")
    taken, odd = fitting(found)
    return Row(station, which.seq, which.result_id, payload, taken, odd)


def _parse(model: type[Model], found: Any, what: str) -> Model:
    try:
        return parse(model, found, what)
    except ConfigError as error:
        raise ValueError("; ".join(str(error).splitlines())) from None
