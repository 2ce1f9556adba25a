"""What a cluster has to offer to placeholders: its name, its labels and its values, each by one flat name.

A nested value is named by its keys with dots between them, and so is the map that holds it: `{db: {host: x}}` offers
`cluster.values.db.host` and `cluster.values.db`. Label keys, and keys of values that hold dots or slashes themselves, are
taken as they stand; two values that would have one name are refused, so a name never has two meanings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.model.spec import why_not_json

OPENING = "${"
"""Begins a placeholder."""
VALUES, LABELS, NAME = "cluster.values", "cluster.labels", "cluster.name"


class WrongValue(ValueError):
    """A value that can't be one; `path` leads to it from where the check began."""

    def __init__(self, message: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.path = path


def is_value(value: Any) -> Any:
    """The value unchanged. Raises WrongValue for what is not text, a number, true, false, or a map of these."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            try:
                is_value(below)
            except WrongValue as error:
                raise WrongValue(str(error), (key, *error.path)) from None
    elif not isinstance(value, str | int | float):
        kind = "a list" if isinstance(value, list | tuple) else "nothing"
        raise WrongValue(f"expected text, a number, true, false, or a map of these, found {kind}")
    elif why := why_not_json(value):
        raise WrongValue(why)
    return value


def has_single_names(values: dict[str, Any]) -> dict[str, Any]:
    """The values unchanged. Raises ValueError when two of them would have one name."""
    counted = Counter(name for name, _ in _flat(VALUES, values))
    if twice := [name for name, count in counted.items() if count > 1]:
        raise ValueError(f"two values have the name {twice[0]}; rename one of the two")
    return values


def names(name: str, labels: Mapping[str, str], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Everything that a cluster offers, by full name."""
    by_label = {f"{LABELS}.{key}": value for key, value in labels.items()}
    return {NAME: name, **by_label, **dict(_flat(VALUES, values))}


def _flat(above: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{above}.{key}"
        yield name, value
        if isinstance(value, Mapping):
            yield from _flat(name, value)


def is_over(most: int, value: Any) -> bool:
    """Whether a value has more than so many characters in all, by looking at no more of it."""
    waiting, left = [value], most
    while waiting and left >= 0:
        one = waiting.pop()
        left -= len(one) if isinstance(one, str) else 1
        if isinstance(one, Mapping):
            waiting += (*one.keys(), *one.values())
        elif isinstance(one, list | tuple):
            waiting += one
    return left < 0
