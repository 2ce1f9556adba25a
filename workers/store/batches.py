"""Long lists in pieces: a long command keeps Redis busy, and Lua hands no more than some thousand words to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby, islice
from typing import Any, TypeVar

AT_ONCE = 1000
"""Keys and fields in one command."""
T = TypeVar("T")
Key = TypeVar("Key")


def at_most(many: Iterable[T], count: int = AT_ONCE) -> Iterator[list[T]]:
    """The same, in their order, in lists of so many."""
    left = iter(many)
    while piece := list(islice(left, count)):
        yield piece


def grouped(keys: Iterable[T], by: Callable[[T], str]) -> Iterator[tuple[str, list[T]]]:
    """Those that have one name, name by name."""
    for name, some in groupby(sorted(keys, key=by), key=by):
        yield name, list(some)


def fields_of(client: Any, urls: Mapping[Key, str], hash_of: Callable[[str], str]) -> dict[Key, bytes]:
    """What hashes say of some keys, each asked of the hash for the text beside it; those that have no field are missing."""
    pieces = [(url, some) for url, keys in grouped(urls, urls.__getitem__) for some in at_most(keys)]
    pipe = client.pipeline(transaction=False)
    for url, some in pieces:
        pipe.hmget(hash_of(url), [str(key) for key in some])
    found = zip(pieces, pipe.execute(), strict=True)
    return {key: raw for (_, some), raws in found for key, raw in zip(some, raws, strict=True) if raw is not None}
