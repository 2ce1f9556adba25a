"""Measures a received pack before it is indexed: indexing inflates every object whole into memory.

Walks the pack as a stream and keeps nothing: for each object the size that its header declares, and for a delta the size
that its result declares. Format: gitformat-pack(5).
"""

from __future__ import annotations

import zlib
from typing import IO

from reconciler.errors import MirrorBroken, SourceTooLarge

_OFS_DELTA, _REF_DELTA = 6, 7
_CHUNK = 64 * 1024


def require_bounded(pack: IO[bytes], *, objects: int, object_bytes: int, url: str) -> None:
    """Raises SourceTooLarge when the pack holds too many objects or one that is too large inflated."""
    stream = _Stream(pack)
    header = stream.take(12)
    if header[:4] != b"PACK":
        raise MirrorBroken(f"{url}: what was received is no pack", subject=url)
    count = int.from_bytes(header[8:12])
    if count > objects:
        raise SourceTooLarge(
            f"{url}: the fetch has {count} objects, the limit is {objects} (limits.objects)", subject=url
        )
    for _ in range(count):
        size = _skip_object(stream, object_bytes)
        if size > object_bytes:
            raise SourceTooLarge(
                f"{url}: an object of {size} bytes is over the limit of {object_bytes} (limits.objectBytes)",
                subject=url,
            )


class _Stream:
    """Reads a file in chunks and lets zlib hand back what it did not use."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._held = file, b""

    def take(self, count: int) -> bytes:
        while len(self._held) < count:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                raise MirrorBroken("a received pack ends in the middle")
            self._held += chunk
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def some(self) -> bytes:
        taken = self._held or self._file.read(_CHUNK)
        if not taken:
            raise MirrorBroken("a received pack ends in the middle")
        self._held = b""
        return taken

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
    start = _inflate(stream)
    if kind in (_OFS_DELTA, _REF_DELTA):
        return max(size, _result_size(start))
    return size


def _inflate(stream: _Stream) -> bytes:
    """Pass over one deflated object; its first bytes, enough for a delta's two sizes."""
    inflater, start = zlib.decompressobj(), b""
    data = stream.some()
    while True:
        try:
            out = inflater.decompress(data, _CHUNK)
        except zlib.error as error:
            raise MirrorBroken("a received pack is damaged") from error
        if len(start) < 32:
            start += out[:32]
        if inflater.eof:
            stream.put_back(inflater.unused_data)
            return start
        data = inflater.unconsumed_tail or stream.some()


def _result_size(delta: bytes) -> int:
    """The second of the two sizes that a delta begins with."""
    position = 0
    sizes = []
    for _ in range(2):
        size = shift = 0
        while True:
            byte = delta[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        sizes.append(size)
    return sizes[1]
