"""Things people write, parsed once at the door: TOML in, a frozen model or words of help out."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

from inspector.contract.errors import ConfigError

Name = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", min_length=1, max_length=64)
]
"""Letters, digits, '.', '_' and '-': safe as a file name and as an MQTT topic level."""

Score = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, strict=True)]
"""Strict, since `true` would be 1.0, a limit that lets everything pass."""

Distance = Annotated[float, Field(gt=0.0, allow_inf_nan=False, strict=True)]
"""How far from something: above zero, without an upper end."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Frozen, and a key it does not know is an error: a typing slip never falls silent."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True
    )


Model = TypeVar("Model", bound=Strict)


def read_toml(path: Path, model: type[Model]) -> Model:
    """Read a TOML file that a person wrote. Raises ConfigError naming file, key and rule."""
    return parse(model, read_table(path), str(path))


def read_table(path: Path) -> dict[str, Any]:
    """What a TOML file says, whatever it is. Raises ConfigError naming the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # as Windows writes
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder, expected a TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from None


def resolved(model: Model, base: Path) -> Model:
    """The same with every path absolute, relative ones starting from `base`."""
    changes: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Path):
            changes[name] = base / value
        elif isinstance(value, Strict):
            changes[name] = resolved(value, base)
        elif isinstance(value, tuple) and any(isinstance(each, Strict) for each in value):
            changes[name] = tuple(resolved(each, base) for each in value)
    return model.model_copy(update=changes)


def parse(model: type[Model], data: Any, where: str) -> Model:
    """Validate what was read. Raises ConfigError with one line a fault."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [f"{where}: {_say(model, fault)}" for fault in error.errors()]
        raise ConfigError("\n".join(lines)) from None


def _say(model: type[Strict], fault: ErrorDetails) -> str:
    """One fault in words: the key, what was written, what is allowed."""
    key = ".".join(str(step) for step in fault["loc"] if step != "function-after")
    message, context = fault["msg"], fault.get("ctx", {})
    match fault["type"]:
        case "missing":
            return f"{key}: is missing"
        case "extra_forbidden":
            known = ", ".join(sorted(_keys_beside(model, fault["loc"])))
            return f"{key}: is not a key here" + (f"; known keys: {known}" if known else "")
        case "union_tag_not_found":
            return f"{key}.kind: is missing"
        case "union_tag_invalid":
            return f"{key}.kind {context['tag']!r}: must be one of {context['expected_tags']}"
        case "literal_error" | "enum":
            return f"{key} {fault['input']!r}: must be {context['expected']}"
        case "value_error":
            return f"{key}: {context['error']}" if key else str(context["error"])
    written = fault["input"]
    shown = f" {written!r}" if isinstance(written, (str, int, float, bool)) else ""
    return f"{key}{shown}: {message[0].lower()}{message[1:]}"


def _keys_beside(model: type[Strict], loc: tuple[int | str, ...]) -> set[str]:
    """The keys a table knows, found by walking the fault's path through the models."""
    candidates: list[Any] = [model]
    for step in loc[:-1]:
        found: list[Any] = []
        for candidate in candidates:
            if step in candidate.model_fields:
                found.extend(_models_in(candidate.model_fields[str(step)].annotation))
            elif _tag(candidate) == step or isinstance(step, int):
                found.append(candidate)
        candidates = found
    return {
        field.alias or name
        for candidate in candidates
        for name, field in candidate.model_fields.items()
    }


def _models_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in getattr(annotation, "__args__", ()) for m in _models_in(part)]


def _tag(model: Any) -> Any:
    kind = model.model_fields.get("kind")
    return kind.default if kind else None
