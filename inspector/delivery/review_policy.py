"""Which parts people are shown: review.toml, one file of each station, beside its review store."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from inspector.contract.errors import RecordError
from inspector.contract.review import Review
from inspector.contract.strict import Score, Strict, read_toml
from inspector.contract.whole import write_whole

FILE = "review.toml"

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Interest = Literal["novel", "doubtful", "disagreement", "near", "rejected", "passed"]
"""Why a person should look: unlike anything seen, in the review band, two bundles disagree, near a
limit on its sure side, and samples of what was rejected and of what passed."""


class Rates(Strict):
    """Share of the parts of each kind that are shown to people, the same ones for everybody."""

    novel: Share = 1.0
    doubtful: Share = 1.0
    disagreement: Share = 1.0
    near: Share = 1.0
    rejected: Share = 0.05
    passed: Share = 0.01
    """The audit: the only look at parts nothing was suspicious about. Needs their pictures:
    archive.keep_ok_share."""


class Policy(Strict):
    """What people are shown: review.toml."""

    rates: Rates = Rates()
    band: Score = 0.05
    """A part whose score is nearer than this to a limit, on its sure side, is `near`."""
    second_opinion: Share = 0.1
    """Share of reviewed parts that another person is shown too, without the first's label."""
    look_back: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Newest results of the journal that are looked through."""


def policy_path(store: Path) -> Path:
    """Of the station whose review store this is."""
    return store.with_name(FILE)


def read_policy(store: Path) -> Policy:
    """The station's own; where nobody wrote one, the defaults. Raises ConfigError."""
    path = policy_path(store)
    return read_toml(path, Policy) if path.exists() else Policy()


def write_policy(store: Path, policy: Policy) -> None:
    """Whole or not at all. Raises RecordError."""
    path = policy_path(store)
    words = policy.model_dump()
    rates = words.pop("rates")
    lines = ["# What people are shown; written by the operator's pages, and by hand."]
    lines += [f"{name} = {value}" for name, value in words.items()]
    lines += ["", "[rates]", *(f"{name} = {value}" for name, value in rates.items()), ""]
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write_whole(path, "\n".join(lines).encode(), draft=draft)
    except OSError as error:
        raise RecordError(f"{path}: cannot be written: {error.strerror}") from error


def interest_of(row: dict[str, Any], policy: Policy, disagreed: frozenset[str]) -> Interest | None:
    """Why a person should look at it, None: no reason, or the policy's rate left it out."""
    kind = _kind(row, policy, disagreed)
    if kind is None:
        return None
    return kind if _drawn(kind, row, getattr(policy.rates, kind)) else None


def _kind(row: dict[str, Any], policy: Policy, disagreed: frozenset[str]) -> Interest | None:
    if row.get("result_id") in disagreed:
        return "disagreement"
    evaluation, score, limits = row.get("evaluation"), row.get("score"), row.get("limits") or {}
    if evaluation == "NOT_DECIDABLE":
        return "novel" if row.get("cause") == "novelty" else "doubtful"
    sure: dict[Any, tuple[str, Interest]] = {
        "OK": ("review_at", "passed"),
        "NOT_OK": ("reject_at", "rejected"),
    }
    if evaluation not in sure:  # UNDEFINED: the picture, or the line, was at fault, not the part
        return None
    limit, kind = sure[evaluation]
    is_near = score is not None and limit in limits and abs(score - limits[limit]) < policy.band
    return "near" if is_near else kind


def wants_second(row: dict[str, Any], opinions: list[Review], policy: Policy) -> bool:
    """Where the first could not tell, somebody else may."""
    return any(each.label is None for each in opinions) or _drawn(
        "second", row, policy.second_opinion
    )


def _drawn(lot: str, row: dict[str, Any], share: float) -> bool:
    """The same answer whenever and wherever it is asked: nothing has to be remembered."""
    digest = hashlib.sha256(f"{lot}/{row.get('result_id')}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
