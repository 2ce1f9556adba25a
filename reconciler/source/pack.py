"""Measures a received pack before it is indexed: indexing inflates every object whole into memory.

Walks the pack as a stream and keeps nothing: for each object the size that its header declares, and for a delta the size
that its result declares. Format: gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from reconciler.errors import GitUnreachable, SourceTooLarge

_OFS_DELTA, _REF_DELTA = 6, 7
_CHUNK = 64 * 1024
_SUMS = {20: "sha1", 32: "sha256"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many objects, and of how many bytes each at most."""

    objects: int
    object_bytes: int


def require_bounded(pack: IO[bytes], bounds: Bounds, *, url: str, each: Callable[[], None] = lambda: None) -> None:
    """Raises SourceTooLarge when the pack holds too many objects or one that is too large inflated, and GitUnreachable for
    one that is damaged: what is here was not touched by it. `each` is called at each object, and may raise."""
    objects, object_bytes = bounds.objects, bounds.object_bytes
    stream = _Stream(pack, url)
    header = stream.take(12)
    if header[:4] != b"PACK":
        raise stream.damaged("it does not begin as one")
    count = int.from_bytes(header[8:12])
    if count > objects:
        raise SourceTooLarge(
            f"{url}: the fetch has {count} objects, the limit is {objects} (limits.objects)", subject=url
        )
    for _ in range(count):
        each()
        size = _skip_object(stream, object_bytes)
        if size > object_bytes:
            raise SourceTooLarge(
                f"{url}: an object of {size} bytes is over the limit of {object_bytes} (limits.objectBytes)",
                subject=url,
            )
    _require_sum(pack, stream)


def _require_sum(pack: IO[bytes], stream: _Stream) -> None:
    """The store would write a sum of its own; an object that was damaged on its way would then be missing for ever."""
    end = stream.rest()
    kind = _SUMS.get(len(end))
    if kind is None:
        raise stream.damaged("it goes on after its objects, or has no sum")
    found, left = hashlib.new(kind, usedforsecurity=False), pack.seek(0, os.SEEK_END) - len(end)
    pack.seek(0)
    while left:
        chunk = pack.read(min(left, _CHUNK))
        found.update(chunk)
        left -= len(chunk)
    if found.digest() != end:
        raise stream.damaged("its sum is wrong")


class _Stream:
    """Reads a file in chunks and lets zlib hand back what it did not use."""

    def __init__(self, file: IO[bytes], url: str) -> None:
        self._file, self._held, self._url = file, b"", url

    def damaged(self, why: str) -> GitUnreachable:
        return GitUnreachable(f"{self._url}: the Git host sent a damaged pack: {why}", subject=self._url)

    def take(self, count: int) -> bytes:
        while len(self._held) < count:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                raise self.damaged("it ends in the middle")
            self._held += chunk
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def some(self) -> bytes:
        taken = self._held or self._file.read(_CHUNK)
        if not taken:
            raise self.damaged("it ends in the middle")
        self._held = b""
        return taken

    def rest(self) -> bytes:
        """What is left; a little more than a sum at most."""
        return self._held + self._file.read(64)

    def put_back(self, data: bytes) -> None:
        self._held = data + self._held


def _skip_object(stream: _Stream, limit: int) -> int:
    """The size that an object will have in memory; its data is passed over, at most `limit` bytes inflated at a time."""
    byte = stream.take(1)[0]
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = stream.take(1)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
    if kind == _OFS_DELTA:
        while stream.take(1)[0] & 0x80:
            pass
    elif kind == _REF_DELTA:
        stream.take(20)
    if size > limit:
        return size
    start = _inflate(stream, size)
    if kind in (_OFS_DELTA, _REF_DELTA):
        return max(size, _result_size(start, stream))
    return size


def _inflate(stream: _Stream, size: int) -> bytes:
    """Pass over one deflated object of so many bytes; its first bytes, enough for a delta's two sizes."""
    inflater, start, seen = zlib.decompressobj(), b"", 0
    data = stream.some()
    while True:
        try:
            out = inflater.decompress(data, _CHUNK)
        except zlib.error as error:
            raise stream.damaged("an object can't be inflated") from error
        seen += len(out)
        if seen > size or (inflater.eof and seen < size):
            raise stream.damaged("an object has another size than it says")
        if len(start) < 32:
            start += out[:32]
        if inflater.eof:
            stream.put_back(inflater.unused_data)
            return start
        data = inflater.unconsumed_tail or stream.some()


def _result_size(delta: bytes, stream: _Stream) -> int:
    """The second of the two sizes that a delta begins with."""
    position = 0
    sizes = []
    for _ in range(2):
        size = shift = 0
        while True:
            if position == len(delta) or shift > 63:
                raise stream.damaged("a delta ends in its head")
            byte = delta[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        sizes.append(size)
    return sizes[1]
