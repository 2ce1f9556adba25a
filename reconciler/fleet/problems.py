"""Turns what pydantic found into sentences: file, line, field, what was found, and what is accepted.

What stands in credentials, access and values is never repeated: people paste secrets where a reference belongs.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from reconciler.fleet import documents, later
from reconciler.model.shape import format_duration
from reconciler.model.spec import FULL_COMMIT
from reconciler.text import printable

Path = tuple[str | int, ...]
MOST_NAMED = 3
"""Places that one problem names."""
MOST_HINTS, MOST_COMPARED, MOST_LISTED = 10, 1000, 10
"""Of one look at a fleet: wrong names for which one is looked for that is near, and names that each is compared with. Names
that are listed where none is near."""
_PRIVATE = frozenset({"credentials", "access", "values", "annotations"})
_EXPECTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_SLIP = 0.8
"""How much alike a slip of the pen is: `cluster` to `clusters` is, `name` to `namespace` is not."""
_NAME_WORDS = "1 to 63 lower-case letters, digits and `-`{}, beginning and ending with a letter or digit"
NAMESPACE_WORDS = _NAME_WORDS.format("")
_PATTERNS = {
    documents.NAME: _NAME_WORDS.format(" or `.`"),
    documents.LABEL: NAMESPACE_WORDS,
    documents.LABEL_OR_FILLED: NAMESPACE_WORDS,
    documents.LABEL_OR_ANY: f"`*`, or {NAMESPACE_WORDS}",
    documents.LABEL_VALUE: "a label's value: at most 63 letters, digits, `-`, `_` and `.`",
    r"^UNDRIFT_CRED_[A-Z0-9_]+$": "the name of an environment variable that begins with UNDRIFT_CRED_",
    FULL_COMMIT: "a full commit id of 40 (or 64) hexadecimal digits",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, or worth a note. `subject` is the (kind, name) it is about, when that could be read."""

    file: str
    line: int
    field: str
    message: str
    subject: tuple[str, str] | None = None

    def __str__(self) -> str:
        """As it is told and stored: whoever names a file or a field also chooses its characters, which may be no text."""
        file = printable(self.file).replace("\n", "\\n")
        place = f"{file}:{self.line}" if self.line else file
        return printable(f"{place}: {self.field}: {self.message}" if self.field else f"{place}: {self.message}")


def of_validation(
    error: ValidationError,
    file: str,
    lines: Mapping[Path, int],
    model: type[BaseModel],
    subject: tuple[str, str] | None,
) -> list[Problem]:
    """Every problem of one document, in the order of its lines."""
    found = [
        Problem(file, line_of(place, lines), dotted(place), _message(one, model), subject)
        for one in error.errors(include_url=False)
        for place in [(*one["loc"], *_inside(one))]
    ]
    return sorted(found, key=lambda problem: (problem.line, problem.field))


def _inside(one: ErrorDetails) -> Path:
    """The way from a field to what is wrong inside it, where the check itself went deeper."""
    return tuple(getattr(one.get("ctx", {}).get("error"), "path", ()))


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems as people read files, each once."""
    return tuple(sorted(set(problems), key=lambda one: (one.file, one.line, one.field, one.message)))


def line_of(path: Path, lines: Mapping[Path, int]) -> int:
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


def named(some: Sequence[str], of: int) -> str:
    """`a, b, c and 4 more`, where `some` are the first of so many."""
    return ", ".join(some) + (f" and {of - len(some)} more" if of > len(some) else "")


def near(name: str, known: Sequence[str], *, cutoff: float = 0.6) -> str:
    """What was probably meant, or ""."""
    by_case = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=cutoff)
    return by_case[close[0]] if close else ""


class Hints:
    """What was meant by names that do not exist. Each is compared with many, at 20 us each, so only the first of a fleet's
    wrong names are; the others are told a few names that there are, as those are that look like none."""

    def __init__(self) -> None:
        self._left = MOST_HINTS

    def instead(self, name: str, known: Iterable[str]) -> str:
        """What stands behind `no Cluster 'eu-2'; `."""
        self._left -= 1
        some = list(islice(known, MOST_COMPARED if self._left >= 0 else MOST_LISTED))
        hint = near(name, some) if self._left >= 0 else ""
        return f"did you mean {hint!r}?" if hint else f"the fleet has {', '.join(some[:MOST_LISTED]) or 'none'}"


def _message(one: ErrorDetails, model: type[BaseModel]) -> str:
    path, kind = one["loc"], one["type"]
    if kind == "extra_forbidden":
        return _unknown(path, model)
    if kind == "missing":
        return "is missing"
    if kind == "literal_error":
        return _not_among(one)
    context = one.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return f"expected {_PATTERNS.get(context['pattern'], context['pattern'])}{_found(one)}"
    if kind in ("string_too_short", "too_short"):
        return "is empty"
    if kind == "string_too_long":
        return f"expected at most {context['max_length']} characters{_found(one)}"
    if kind in ("greater_than", "greater_than_equal"):
        least = context.get("gt", context.get("ge"))
        least = format_duration(least) if isinstance(least, timedelta) else least
        return f"expected {'more than' if 'gt' in context else 'at least'} {least}{_found(one)}"
    if path[-1:] == ("ref",) and kind in ("model_type", "model_attributes_type"):
        return f"expected a branch, or a mapping with branch, tag or commit{_found(one)}; put it in quotes"
    if kind in _EXPECTED:
        is_unquoted = kind == "string_type" and isinstance(one["input"], int | float | bool)
        return f"expected {_EXPECTED[kind]}{_found(one)}{'; put it in quotes' if is_unquoted else ''}"
    words = one["msg"].removeprefix("Value error, ")
    is_told = hasattr(context.get("error"), "path")
    return words[0].lower() + words[1:] + ("" if is_told else _found(one))


def _found(one: ErrorDetails) -> str:
    """`, found …`, as YAML would write it; the kind of thing alone where a secret may stand."""
    value = one["input"]
    if isinstance(value, Mapping | list | tuple):
        return (
            "" if one["type"] == "value_error" else f", found a {'mapping' if isinstance(value, Mapping) else 'list'}"
        )
    if value is None:
        return ", found nothing"
    if _PRIVATE.intersection(one["loc"]) or "@" in str(value):
        return ", found something else (not shown: it may be secret)"
    if isinstance(value, bool):
        return f", found {str(value).lower()}"
    if isinstance(value, timedelta):
        return f", found {format_duration(value)}"
    return f", found {value!r}" if len(str(value)) <= 100 else ", found a longer text"


def _not_among(one: ErrorDetails) -> str:
    value = one["input"]
    accepted = [word.strip("'") for word in _choices(one).replace(" or ", ", ").split(", ")]
    hint = near(value, accepted) if isinstance(value, str) else ""
    return f"expected {_choices(one)}{_found(one)}" + (
        f"; did you mean {hint!r}?" if hint and len(accepted) > 1 else ""
    )


def _choices(one: ErrorDetails) -> str:
    return str(one.get("ctx", {}).get("expected", ""))


def _unknown(path: Path, model: type[BaseModel]) -> str:
    plain, name = _without_indices(path), str(path[-1])
    if what := later.FIELDS.get(model.__name__, {}).get(plain):
        return f"{what} are not supported yet; remove the field"
    known = _fields_at(model, path[:-1])
    elsewhere = [place for place in _all_fields(model) if place.rpartition(".")[2] == name]
    # A slip of the pen is likelier than the right field in the wrong place, and what is only somewhat alike is less likely.
    beside = near(name, known, cutoff=_SLIP) or ("" if elsewhere else near(name, known))
    if hint := dotted((*path[:-1], beside)) if beside else next(iter(elsewhere), ""):
        return f"unknown field; did you mean {hint!r}?"
    return f"unknown field; expected one of {', '.join(sorted(known))}" if known else "unknown field; expected none"


def _without_indices(path: Path) -> str:
    return ".".join(part for part in path if isinstance(part, str))


def _all_fields(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Every field of a document as a dotted path, parents before their children, without those of overrides."""
    for name, field in model.model_fields.items():
        place = f"{above}.{field.alias or name}".lstrip(".")
        yield place
        below = _first_model(field.annotation)
        if below is not None and name != "overrides":
            yield from _all_fields(below, place)


def _fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The fields that a place in a document accepts."""
    here: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, str) and here is not None:
            here = _model_of(here, part)
    return [field.alias or name for name, field in here.model_fields.items()] if here is not None else []


def _model_of(model: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if alias in (field.alias, name):
            return _first_model(field.annotation)
    return None


def _first_model(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `tuple[Override, ...]` or `Ref | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_first_model(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)
