"""Runs a program in structured text, statement by statement, out of blark's parse tree.

No compiler for it is to be had from PyPI, npm or Debian. What the example does not use is not
here and raises NotImplementedError: words wrap at 16 bits, TON and R_TRIG are the standard's.
"""

import operator
import time
from pathlib import Path
from typing import Any

import pytest

WORD = 65_536
OPERATORS = {
    "AND": lambda a, b: a and b,
    "OR": lambda a, b: a or b,
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "+": operator.add,
    "-": operator.sub,
    "MOD": operator.mod,
}
START: dict[str, Any] = {"BOOL": False, "UINT": 0, "UDINT": 0, "INT": 0, "TIME": 0.0}


class Ton:
    """On-delay timer: Q once IN has been true for PT seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self.q = False

    def __call__(self, *, IN: bool, PT: float) -> None:  # noqa: N803 - the standard's names
        now = time.monotonic()
        self._since = (self._since if self._since is not None else now) if IN else None
        self.q = self._since is not None and now - self._since >= PT


class RTrig:
    """Rising edge."""

    def __init__(self) -> None:
        self._before = self.q = False

    def __call__(self, *, CLK: bool) -> None:  # noqa: N803
        self.q, self._before = CLK and not self._before, CLK


class Block:
    """One function block or program with its variables; a call is one cycle."""

    def __init__(self, name: str, sources: dict[str, Any]) -> None:
        self._source = sources[name]
        self.variables: dict[str, Any] = {}
        for part in self._source.declarations:
            for item in part.items:
                for declared in item.variables:
                    self.variables[str(declared.variable.name)] = _start(item.init, sources)

    def __call__(self, **inputs: Any) -> None:
        assert inputs.keys() <= self.variables.keys()
        self.variables |= inputs
        self._run(self._source.body.statements)

    def _run(self, statements: Any) -> None:
        for each in statements:
            match type(each).__name__:
                case "AssignmentStatement":
                    (variable,) = each.variables
                    self._assign(variable, self._value(each.expression))
                case "IfStatement" if not each.else_ifs:
                    if self._value(each.if_expression):
                        self._run(each.statements.statements)
                    elif each.else_clause is not None:
                        self._run(each.else_clause.statements.statements)
                case "FunctionCallStatement":
                    given = {str(p.name.name): self._value(p.value) for p in each.parameters}
                    self.variables[str(each.name.name)](**given)
                case other:
                    raise NotImplementedError(other)

    def _assign(self, variable: Any, value: Any) -> None:
        if type(variable).__name__ == "SimpleVariable":
            name = str(variable.name)
            assert type(value) is type(self.variables[name]), f"{name} := {value!r}"
            self.variables[name] = value
            return
        (subscripts,) = variable.elements
        (at,) = subscripts.subscripts
        self.variables[str(variable.name.name)][self._value(at)] = value

    def _value(self, expression: Any) -> Any:
        match type(expression).__name__:
            case "SimpleVariable":
                return self.variables[str(expression.name)]
            case "Boolean":
                return str(expression.value) == "TRUE"
            case "Integer":
                return int(expression.value)
            case "ParenthesizedExpression":
                return self._value(expression.expr)
            case "UnaryOperation" if expression.op == "NOT":
                return not self._value(expression.expr)
            case "BinaryOperation":
                left, right = self._value(expression.left), self._value(expression.right)
                return OPERATORS[str(expression.op)](left, right)
            case "MultiElementVariable":
                return self._element(expression)
            case other:
                raise NotImplementedError(other)

    def _element(self, expression: Any) -> Any:
        owner = self.variables[str(expression.name.name)]
        (element,) = expression.elements
        if type(element).__name__ == "SubscriptList":
            (at,) = element.subscripts
            return owner[self._value(at)]
        name = str(element.field.name)
        return owner.variables[name] if isinstance(owner, Block) else getattr(owner, name.lower())


def _start(init: Any, sources: dict[str, Any]) -> Any:
    if type(init).__name__ == "ArrayTypeInitialization":
        (part,) = init.spec.subranges
        assert str(part.start.value) == "0"
        kind = str(init.spec.type.type_name)
        return [START[kind] for _ in range(int(part.stop.value) + 1)]
    kind = str(init.spec.type)
    if kind in sources:
        return Block(kind, sources)
    if kind in ("TON", "R_TRIG"):
        return Ton() if kind == "TON" else RTrig()
    if type(init.value).__name__ == "Duration":
        return int(init.value.milliseconds) / 1000
    assert init.value is None
    return START[kind]


def load(path: Path, name: str) -> Block:
    """A program of the file. Raises what the parser finds wrong."""
    parse = pytest.importorskip("blark.parse", reason="needs the extra test")
    parsed = parse.parse_source_code(path.read_text(encoding="utf-8"))
    if parsed.exception is not None:
        raise parsed.exception
    sources = {str(item.name): item for item in parsed.transform().items}
    return Block(name, sources)
