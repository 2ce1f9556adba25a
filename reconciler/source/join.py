"""Joins a mirror's small packs into one, byte by byte: nothing is inflated, and nothing but the index is held in memory.

A pack is a head, its objects, and a sum. What leads from one object to another is a distance back within its pack, or an
object id, so the objects of several packs can stand one after the other as they are, and each index moves by where its pack
begins. An object that two packs hold stands twice, which Git reads; a fetch completes a pack with the few objects that it
was cut against, so they are few. Format: gitformat-pack(5).

dulwich's own `repack` holds every object of the mirror, inflated, in memory.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.pack import PackIndexEntry, iter_sha1, load_pack_index, write_pack_index

LEFT_ALONE = 8
"""The largest packs, which are not copied again and again as small ones come."""
_HEAD, _SUM, _CHUNK = 12, 20, 1024 * 1024


def join_small(folder: Path) -> None:
    """Leave one pack in place of all but the largest ones. The caller holds the mirror's lock.

    The new pack is complete before the old ones go; who reads one of these has it open, or looks again.
    """
    packs = sorted(folder.glob("pack-*.pack"), key=lambda one: one.stat().st_size)
    small = packs[: max(len(packs) - LEFT_ALONE, 0)]
    if len(small) < 2:
        return
    made = _written(folder, small)
    for one in small:
        if one != made:
            for part in (one, *folder.glob(f"{one.stem}.*")):
                part.unlink(missing_ok=True)


def _written(folder: Path, packs: Sequence[Path]) -> Path:
    with tempfile.NamedTemporaryFile(dir=folder, prefix="tmp", delete=False) as data:
        starts, checksum = _concatenated(data, packs)
        _settle(data)
    entries = sorted(entry for one, start in zip(packs, starts, strict=True) for entry in _moved(one, start))
    target = folder / f"pack-{iter_sha1(name for name, _, _ in entries).decode()}.pack"
    with tempfile.NamedTemporaryFile(dir=folder, prefix="tmp", delete=False) as index:
        write_pack_index(index, entries, checksum, version=2)
        _settle(index)
    # A pack without an index is not looked at yet.
    os.replace(data.name, target)
    os.replace(index.name, target.with_suffix(".idx"))
    return target


def _concatenated(data: IO[bytes], packs: Sequence[Path]) -> tuple[list[int], bytes]:
    """Where the objects of each pack begin now, and the sum of all."""
    count = sum(_count(one) for one in packs)
    found, starts = hashlib.sha1(usedforsecurity=False), []

    def write(part: bytes) -> None:
        found.update(part)
        data.write(part)

    write(b"PACK" + (2).to_bytes(4) + count.to_bytes(4))
    for one in packs:
        starts.append(data.tell())
        for part in _body(one):
            write(part)
    data.write(found.digest())
    return starts, found.digest()


def _count(pack: Path) -> int:
    with pack.open("rb") as file:
        head = file.read(_HEAD)
    return int.from_bytes(head[8:])


def _body(pack: Path) -> Iterator[bytes]:
    left = pack.stat().st_size - _HEAD - _SUM
    with pack.open("rb") as file:
        file.seek(_HEAD)
        while left > 0:
            part = file.read(min(left, _CHUNK))
            left -= len(part)
            yield part


def _moved(pack: Path, start: int) -> Iterator[PackIndexEntry]:
    with closing(load_pack_index(str(pack.with_suffix(".idx")), DEFAULT_OBJECT_FORMAT)) as index:
        for name, offset, crc in index.iterentries():
            yield name, offset - _HEAD + start, crc


def _settle(file: IO[bytes]) -> None:
    """On disk before what it replaces goes."""
    file.flush()
    os.fchmod(file.fileno(), 0o444)
    os.fsync(file.fileno())
