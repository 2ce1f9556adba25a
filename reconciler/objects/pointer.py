"""JSON pointers (RFC 6901) into objects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

NOTHING: Final = object()


def tokens(pointer: str) -> list[str]:
    """The parts of a pointer, as they stand in the object."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def escaped(part: object) -> str:
    """A key as a part of a pointer."""
    return str(part).replace("~", "~0").replace("/", "~1")


def value_at(body: Any, pointer: str) -> Any:
    """The value that a pointer names; NOTHING when there is none."""
    for token in tokens(pointer):
        if isinstance(body, Mapping) and token in body:
            body = body[token]
        elif isinstance(body, list) and token.isdecimal() and int(token) < len(body):
            body = body[int(token)]
        else:
            return NOTHING
    return body


def with_value(body: Any, pointer: str, value: Any) -> Any:
    """A copy of a body in which a pointer that leads somewhere leads to another value."""
    return _put(body, tokens(pointer), value)


def without(body: Any, pointer: str) -> Any:
    """A copy of a body without what a pointer leads to; items of a list that come after it move up."""
    return _drop(body, tokens(pointer))


def differing(left: Any, right: Any, at: str = "") -> Iterator[str]:
    """The pointers of the values that differ, in order; lists of another length differ as a whole."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}, key=str):
            yield from differing(left.get(key, NOTHING), right.get(key, NOTHING), f"{at}/{escaped(key)}")
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield from differing(one, other, f"{at}/{index}")
    elif left != right:
        yield at


def _put(body: Any, parts: list[str], value: Any) -> Any:
    if not parts:
        return value
    first, *rest = parts
    if isinstance(body, Mapping):
        return {key: _put(below, rest, value) if key == first else below for key, below in body.items()}
    return [_put(below, rest, value) if str(index) == first else below for index, below in enumerate(body)]


def _drop(body: Any, parts: list[str]) -> Any:
    first, *rest = parts
    if isinstance(body, Mapping):
        return {
            key: _drop(below, rest) if key == first else below for key, below in body.items() if rest or key != first
        }
    if isinstance(body, list):
        return [
            _drop(one, rest) if str(at) == first else one for at, one in enumerate(body) if rest or str(at) != first
        ]
    return body
