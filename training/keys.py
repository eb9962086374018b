"""Every key of a plan, or of promote's terms, with its values, default and meaning, read from the
classes that take them.
"""

import textwrap
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from inspector.contract.strict import Strict
from training.plan import Plan
from training.promotion import Terms

WIDTH = 96
PROMOTE = "promote"


def lines(only: str = "") -> Iterator[str]:
    """The keys for a person; only: of a section (`student`) or one key (`student.views`), or
    PROMOTE: those of promote's terms.
    """
    model: type[Strict] = Plan
    if only == PROMOTE:
        model, only = Terms, ""
    for key, field in _keys(model, ""):
        if only and key != only and not key.startswith(f"{only}."):
            continue
        default = "required" if field.is_required() else f"default {_default(field)}"
        yield f"{key}  ({_values(field)}; {default})"
        if field.description:
            text = " ".join(field.description.split())
            yield textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _keys(model: type[Strict], prefix: str) -> Iterator[tuple[str, FieldInfo]]:
    """Plain keys first, then those of the sections below, by their dotted names."""
    below = []
    for name, field in model.model_fields.items():
        section = _section(field.annotation)
        if section is None:
            yield f"{prefix}{name}", field
        else:
            below.append((f"{prefix}{name}", field, section))
    for name, field, section in below:
        many = "[]" if get_origin(_bare(field.annotation)) is tuple else ""
        yield f"{name}{many}", field
        yield from _keys(section, f"{name}{many}.")


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _section(kind: Any) -> type[Strict] | None:
    """The section that a key holds, one or many; None for a plain value."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, Strict):
        return kind
    found = (_section(each) for each in get_args(kind) if each is not type(None))
    return next((each for each in found if each is not None), None)


def _values(field: FieldInfo) -> str:
    """What may be written, in words."""
    kind = _bare(field.annotation)
    if get_origin(kind) is Literal:
        return " | ".join(repr(each) for each in get_args(kind))
    if _section(kind) is not None:
        return "sections" if get_origin(kind) is tuple else "section"
    metadata = list(field.metadata)
    if get_origin(kind) in (Union, UnionType):
        inner = next(each for each in get_args(kind) if each is not type(None))
        metadata += list(getattr(inner, "__metadata__", ()))
        kind = _bare(inner)
    if get_origin(kind) is tuple:
        return f"list of {_values_of(get_args(kind)[0])}"
    name = getattr(kind, "__name__", str(kind))
    words = {"str": "text", "float": "number", "int": "whole number", "bool": "true | false"}
    limits = " ".join(filter(None, map(_limit, _flat(metadata))))
    return f"{words.get(name, name)} {limits}".strip()


def _values_of(kind: Any) -> str:
    """The same for one of a list."""
    return _values(FieldInfo.from_annotation(kind))


def _flat(metadata: list[Any]) -> Iterator[Any]:
    for each in metadata:
        yield from each.metadata if isinstance(each, FieldInfo) else (each,)


def _limit(rule: Any) -> str:
    for name, sign in (("ge", ">="), ("gt", ">"), ("le", "<="), ("lt", "<")):
        if hasattr(rule, name):
            return f"{sign} {getattr(rule, name):g}"
    return ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Strict) or value in ((), {}):
        return "none given"
    if isinstance(value, tuple):
        return repr(list(value))
    return "absent" if value is None else repr(value)
