"""Turns what pydantic found into sentences: file, line, field, what was found, and what is accepted."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.fleet.documents import NOT_YET
from reconciler.model.spec import Spec

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `subject` is the (kind, name) that it stops, when that could be read."""

    file: str
    line: int
    field: str
    message: str
    subject: tuple[str, str] | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}"
        return f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}"


def of_validation(
    error: ValidationError,
    file: str,
    lines: Mapping[Path, int],
    model: type[Spec],
    subject: tuple[str, str] | None,
) -> list[Problem]:
    """Every problem of one document, in the order of its lines."""
    kind = model.__name__
    found = [_problem(one, file, lines, model, kind, subject) for one in error.errors(include_url=False)]
    return sorted(found, key=lambda problem: problem.line)


def _problem(
    one: ErrorDetails,
    file: str,
    lines: Mapping[Path, int],
    model: type[Spec],
    kind: str,
    subject: tuple[str, str] | None,
) -> Problem:
    path = tuple(one["loc"])
    return Problem(file, _line(path, lines), dotted(path), _message(one, path, model, kind), subject)


def _line(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of a field, or of the nearest thing above it that is written."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def dotted(path: Sequence[str | int]) -> str:
    """`spec.overrides[0].clusters` of a path."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _message(one: ErrorDetails, path: Path, model: type[Spec], kind: str) -> str:
    found = one.get("input")
    if one["type"] == "extra_forbidden":
        return _unknown(path, model, kind)
    if one["type"] == "missing":
        return "is missing"
    words = one["msg"].removeprefix("Value error, ")
    words = words[0].lower() + words[1:]
    return words if isinstance(found, (Mapping, list)) else f"{words}, found {found!r}"


def _unknown(path: Path, model: type[Spec], kind: str) -> str:
    name = str(path[-1])
    if len(path) == 2 and path[0] == "spec" and name in NOT_YET.get(kind, {}):
        return f"{NOT_YET[kind][name]} are not supported yet; remove the field"
    known = _fields_at(model, path[:-1])
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"unknown field; did you mean {near[0]!r}?"
    return f"unknown field; expected one of {', '.join(sorted(known))}" if known else "unknown field"


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The fields that a place in a document accepts."""
    here: Any = model
    for part in path:
        if isinstance(part, int):
            continue
        here = _model_of(here, str(part))
        if here is None:
            return []
    return [field.alias or name for name, field in here.model_fields.items()]


def _model_of(model: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if alias in (field.alias, name):
            return _first_model(field.annotation)
    return None


def _first_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _first_model(argument)) is not None:
            return found
    return None
