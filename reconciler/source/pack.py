"""Measures a received pack before it is indexed: indexing inflates every object whole into memory.

Walks the pack as a stream and keeps nothing: for each object the size that its header declares, and for a delta the size
that its result declares. Format: gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import os
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from reconciler.errors import GitUnreachable, SourceTooLarge

_OFS_DELTA, _REF_DELTA = 6, 7
_CHUNK = 64 * 1024
_SUMS = {20: "sha1", 32: "sha256"}


DEEPEST = 8
"""A chain of deltas, each of whose steps is held while another waits for it, may take so many times limits.objectBytes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How many objects, and of how many bytes each at most. `is_here` tells of a base by its id whether it is in the store
    already; `each` is called at each object, and may raise."""

    objects: int
    object_bytes: int
    is_here: Callable[[bytes], bool] = lambda _: False
    each: Callable[[], None] = lambda: None


def require_bounded(pack: IO[bytes], bounds: Bounds, *, url: str) -> None:
    """Raises SourceTooLarge when the pack holds too many objects, or what is too large inflated: one object, or a chain of
    them; and GitUnreachable for one that is damaged: what is here was not touched by it."""
    stream = _Stream(pack, url)
    header = stream.take(12)
    if header[:4] != b"PACK":
        raise stream.damaged("it does not begin as one")
    count = int.from_bytes(header[8:12])
    if count > bounds.objects:
        raise SourceTooLarge(
            f"{url}: the fetch has {count} objects, the limit is {bounds.objects} (limits.objects)", subject=url
        )
    chains = _Chains(bounds)
    for _ in range(count):
        bounds.each()
        found = _skip_object(stream, bounds.object_bytes)
        if found.size > bounds.object_bytes:
            raise SourceTooLarge(
                f"{url}: an object of {found.size} bytes is over the limit of {bounds.object_bytes} (limits.objectBytes)",
                subject=url,
            )
        if chains.add(found, stream) > DEEPEST * bounds.object_bytes:
            raise SourceTooLarge(
                f"{url}: objects made of one another take more than {DEEPEST} times {bounds.object_bytes} bytes "
                "(limits.objectBytes)",
                subject=url,
            )
    _require_sum(pack, stream)


@dataclass(frozen=True, slots=True)
class _Object:
    """Where an object begins, its size in memory, and what it is cut against: a distance back, or an id."""

    start: int
    size: int
    back: int = 0
    base: bytes = b""
    base_size: int = 0


class _Chains:
    """What is held to unpack each object: its own bytes, and those of all that it is cut against. Two numbers an object."""

    def __init__(self, bounds: Bounds) -> None:
        self._is_here = bounds.is_here
        self._starts, self._held = array("Q"), array("Q")
        self._by_id = 0

    def add(self, found: _Object, stream: _Stream) -> int:
        """The bytes held for one more object."""
        held = found.size + self._below(found, stream)
        self._starts.append(found.start)
        self._held.append(held)
        return held

    def _below(self, found: _Object, stream: _Stream) -> int:
        if found.back:
            place = bisect_left(self._starts, found.start - found.back)
            if place == len(self._starts) or self._starts[place] != found.start - found.back:
                raise stream.damaged("a delta points between objects")
            return self._held[place]
        if not found.base or self._is_here(found.base):
            return found.base_size
        # Its base is somewhere in this pack, and ids are not known yet. Servers that may point back do so, hence one chain
        # of all of them is no hardship.
        self._by_id += found.size
        return self._by_id


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
        self.position = 0

    def damaged(self, why: str) -> GitUnreachable:
        return GitUnreachable(f"{self._url}: the Git host sent a damaged pack: {why}", subject=self._url)

    def take(self, count: int) -> bytes:
        while len(self._held) < count:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                raise self.damaged("it ends in the middle")
            self._held += chunk
        taken, self._held = self._held[:count], self._held[count:]
        self.position += count
        return taken

    def some(self) -> bytes:
        taken = self._held or self._file.read(_CHUNK)
        if not taken:
            raise self.damaged("it ends in the middle")
        self._held = b""
        self.position += len(taken)
        return taken

    def rest(self) -> bytes:
        """What is left; a little more than a sum at most."""
        return self._held + self._file.read(64)

    def put_back(self, data: bytes) -> None:
        self._held = data + self._held
        self.position -= len(data)


def _skip_object(stream: _Stream, limit: int) -> _Object:
    """The next object; its data is passed over, at most a chunk inflated at a time. One that is too large is not."""
    start = stream.position
    byte = stream.take(1)[0]
    kind, size, shift = (byte >> 4) & 7, byte & 15, 4
    while byte & 0x80:
        byte = stream.take(1)[0]
        size |= (byte & 0x7F) << shift
        shift += 7
    back = _distance(stream) if kind == _OFS_DELTA else 0
    base = stream.take(20) if kind == _REF_DELTA else b""
    if size > limit:
        return _Object(start, size)
    head = _inflate(stream, size)
    if kind not in (_OFS_DELTA, _REF_DELTA):
        return _Object(start, size)
    base_size, result = _delta_sizes(head, stream)
    return _Object(start, max(size, base_size, result), back, base, base_size)


def _distance(stream: _Stream) -> int:
    """How far back the base of a delta begins."""
    byte = stream.take(1)[0]
    back = byte & 0x7F
    while byte & 0x80:
        byte = stream.take(1)[0]
        back = ((back + 1) << 7) | (byte & 0x7F)
    return back


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


def _delta_sizes(delta: bytes, stream: _Stream) -> tuple[int, int]:
    """The two sizes that a delta begins with: its base's and its result's."""
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
    return sizes[0], sizes[1]
