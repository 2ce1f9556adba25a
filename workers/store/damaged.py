"""What stands in Redis and can't be read: somebody else wrote there, or another version did.

Whoever reads it would end by it, and so would each process that takes over. It is dropped with a warning instead: what it
stood for is found again by the next publishing, scan or look. For decisions of people their stores say what is safe
(`brakes`, `tombstones`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import structlog

Row = TypeVar("Row")
T = TypeVar("T")

log = structlog.get_logger()
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError)
"""What parsing raises: no text, no JSON, or not of the shape that we write."""


def undamaged(where: str, rows: Iterable[Row], read: Callable[[Row], T], drop: Callable[[Row], object]) -> list[T]:
    """What the rows say; those that can't be read are dropped. `where` is the key in Redis."""
    found = list[T]()
    for row in rows:
        try:
            found.append(read(row))
        except UNREADABLE as error:
            log.warning("redis_entry_damaged", where=where, error=type(error).__name__)
            drop(row)
    return found


def fields(client: Any, key: str, found: Mapping[bytes, bytes], read: Callable[[bytes, bytes], T]) -> list[T]:
    """What fields of a hash say, each read by its name and value."""
    return undamaged(key, found.items(), lambda row: read(*row), lambda row: client.hdel(key, row[0]))


def members(client: Any, key: str, found: Iterable[bytes], read: Callable[[bytes], T]) -> list[T]:
    """What members of a set say."""
    return undamaged(key, found, read, lambda raw: client.srem(key, raw))
