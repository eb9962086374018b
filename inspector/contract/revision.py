"""A recipe is changed from afar: what the change says, and what a station remembers of changes.

The recipe's file is what was commissioned. A change is a revision of it: the whole of what may be
changed (regions and limits), for the bundle it was made for. The station keeps its revisions in a
file of its own beside the journal; the file wins again as soon as a person writes other regions,
limits or another bundle into it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from inspector.contract.errors import ConfigError
from inspector.contract.regions import RegionRule, say_regions
from inspector.contract.strict import Name, Sha256, Strict
from inspector.contract.verdict import Limits

REVISIONS_MAX = 200
"""Of one recipe; the oldest are forgotten, the audit has their words."""
RECIPES_MAX = 1_000
SCHEMA = 2
"""Of the file; 1 knew no variant, and is read."""

Why = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
Number = Annotated[int, Field(ge=0, lt=2**31)]
"""Of a revision; 0 is the recipe's file."""


class RecipeChange(Strict):
    """The recipe as it shall be from the next part on: all of it that can be changed so."""

    based_on: Number
    """The revision that was looked at; refused where another one holds by now."""
    bundle: Name
    """The bundle that serves; refused where it is another: limits hold for one model's scores."""
    regions: RegionRule | None
    """null: as the bundle was trained, on its tiles or on whole frames."""
    limits: Limits | None
    """null: the bundle's own."""
    beyond_certificate: bool = False
    """review_at or novelty_at above the bundle's: more may escape than its certificate says. Only
    where this says so."""
    only_check: bool = False
    """Everything but the change: is it taken, and what would it be?"""
    why: Why


class Revision(Strict):
    number: Annotated[int, Field(ge=1, lt=2**31)]
    at: str
    """UTC, by the station's clock; the order is the numbers'."""
    by: Annotated[str, Field(max_length=300)]
    why: Why
    bundle: Name
    regions: RegionRule | None
    limits: Limits | None
    variant: Name | None = None
    """Which form of the bundle's model ran: the limits were set for its scores. None: not kept, by
    a program that knew of schema 1 only."""
    beyond_certificate: bool = False
    """As the change said it, of that form; schema 1 did not keep it."""


class Revised(Strict):
    """Of one recipe, as long as its file says what it said when the first of them was made."""

    written: Sha256
    """Of what the file says that a revision replaces."""
    last: Number = 0
    """The last number given: they go on over a file that was written anew."""
    revisions: Annotated[tuple[Revision, ...], Field(max_length=REVISIONS_MAX)] = ()

    @property
    def newest(self) -> Revision | None:
        return self.revisions[-1] if self.revisions else None


class RevisionsFile(Strict):
    schema_version: Annotated[int, Field(alias="schema", ge=1, le=SCHEMA)] = SCHEMA
    recipes: dict[Name, Revised] = Field(default_factory=dict, max_length=RECIPES_MAX)


def revisions_path(journal: Path) -> Path:
    return journal.with_name(journal.name + ".recipes")


def read_revisions(path: Path) -> RevisionsFile:
    """Raises ConfigError where there is one and it cannot be read: what holds is not known then."""
    try:
        return RevisionsFile.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return RevisionsFile()
    except (OSError, ValidationError) as error:
        words = str(error).splitlines()[0]
        raise ConfigError(
            f"{path}: revisions of the recipe cannot be read: {words}; move it aside and the "
            "recipe's file holds"
        ) from None


def set_for(revision: Revision, variant: str, *, alone: bool) -> bool:
    """Whether its limits were set for the scores of this form of its bundle's model.

    alone: the bundle has no other form.
    """
    return revision.variant == variant or (revision.variant is None and alone)


def limits_for(revision: Revision, variant: str, own: Limits, *, alone: bool) -> Limits | None:
    """What of its limits holds where this form runs, whose own are `own`; None: these.

    Limits found with one form's scores mean nothing for another's. Those that were set for another
    hold where they are stricter than the form's own, whatever a person took on for that other one.
    """
    if revision.limits is None or set_for(revision, variant, alone=alone):
        return revision.limits
    return revision.limits.over(own).stricter(own)


def say_limits(limits: Limits | None, own: Limits | None) -> str:
    """In words; own: the bundle's, where they are known."""
    if limits is None:
        return "the bundle's own" + (f" ({_figures(own)})" if own else "")
    return _figures(limits.over(own) if own else limits)


def _figures(limits: Limits) -> str:
    novelty = "" if limits.novelty_at is None else f", novelty {limits.novelty_at:.6g}"
    return f"review {limits.review_at:.6g}, reject {limits.reject_at:.6g}{novelty}"


def say_change(
    old: tuple[RegionRule | None, Limits | None],
    new: tuple[RegionRule | None, Limits | None],
    own: Limits,
) -> str:
    """Old -> new; empty where nothing differs. Regions, then limits; own: the bundle's."""
    words = []
    if old[1] != new[1]:
        words.append(f"limits: {say_limits(old[1], own)} -> {say_limits(new[1], own)}")
    if old[0] != new[0]:
        words.append(f"regions: {say_regions(old[0])} -> {say_regions(new[0])}")
    return "; ".join(words)
