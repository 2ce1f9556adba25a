"""Keeps what renders gave, by what they read: one render serves all clusters that have the same inputs.

A render is named by its folder and its inputs (options, namespace, release, version of the renderer), and found again by
its closure: every path that it read is the same object in the commit at hand, and the cluster says the same about what it
was asked. Nothing is ever taken on trust: what comes from the disk is checked by its hash, and dropped when it differs.

In memory as JSON, the newest ones; and on this host's disk, shared by its worker processes. What holds a Secret stays in
memory only. Both are bounded in size, and either may be lost at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from reconciler.model.manifest import Manifest, ManifestSet, ObjectKey
from reconciler.model.revision import Closure
from reconciler.objects.kinds import SECRET
from reconciler.ports import SourceTree

MEMORY_BYTES = 8 * 1024 * 1024
DISK_BYTES = 256 * 1024 * 1024
KEPT_EACH = 4
"""Renders kept of one name: a rollback finds the one before, and clusters of several versions do not take turns."""
SWEEP_EVERY = 200
DIGEST_BYTES = 32


class RenderCache:
    """Of one process, over a folder that the processes of this host share."""

    def __init__(self, folder: Path, *, memory_bytes: int = MEMORY_BYTES, disk_bytes: int = DISK_BYTES) -> None:
        self._folder, self._disk_bytes, self._room = folder, disk_bytes, memory_bytes
        self._known: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._writes = 0

    def find(self, name: str, tree: SourceTree, capabilities: Mapping[str, str]) -> ManifestSet | None:
        """What a render of this name gave that read nothing but what the tree and the cluster still say."""
        for slot in range(KEPT_EACH):
            data = self._read(name, slot)
            if data is None:
                continue
            raw = orjson.loads(data)
            closure = Closure(raw["paths"], raw["inputs"], raw["capabilities"])
            said = {key: capabilities.get(key) for key in closure.capabilities}
            if said == closure.capabilities and closure.matches(tree):
                return _manifests(raw, closure)
        return None

    def keep(self, name: str, found: ManifestSet) -> None:
        """Keep a render, in the place of one that read the same, else of the oldest of its name."""
        data = _encoded(found)
        same = self._same(name, found.closure)
        slot = self._oldest(name) if same is None else same
        self._remember(name, slot, data)
        if not any(one.key.group_kind == SECRET for one in found):
            self._write(name, slot, data)

    def _read(self, name: str, slot: int) -> bytes | None:
        data = self._known.get((name, slot))
        if data is not None:
            self._known.move_to_end((name, slot))
            return zlib.decompress(data)
        data = self._from_disk(name, slot)
        if data is not None:
            self._remember(name, slot, data)
        return data

    def _from_disk(self, name: str, slot: int) -> bytes | None:
        """A render of another process, or of one before; None, and gone, when it is not what was written."""
        file = self._file(name, slot)
        try:
            stored = file.read_bytes()
            digest, packed = stored[:DIGEST_BYTES], stored[DIGEST_BYTES:]
            if hashlib.sha256(packed).digest() == digest:
                return zlib.decompress(packed)
        except (OSError, zlib.error):
            pass
        with contextlib.suppress(OSError):
            file.unlink()
        return None

    def _remember(self, name: str, slot: int, data: bytes) -> None:
        before = self._known.pop((name, slot), b"")
        self._known[name, slot] = packed = zlib.compress(data, 1)
        self._room += len(before) - len(packed)
        while self._room < 0 and self._known:
            self._room += len(self._known.popitem(last=False)[1])

    def _same(self, name: str, closure: Closure) -> int | None:
        """The place of a render that read the same: a newer one stands for it, whatever it gave."""
        for slot in range(KEPT_EACH):
            data = self._read(name, slot)
            raw = orjson.loads(data) if data is not None else {}
            if raw and Closure(raw["paths"], raw["inputs"], raw["capabilities"]) == closure:
                return slot
        return None

    def _oldest(self, name: str) -> int:
        """An empty place of a name, else the one written longest ago."""
        ages = []
        for slot in range(KEPT_EACH):
            try:
                ages.append((self._file(name, slot).stat().st_mtime_ns, slot))
            except OSError:
                ages.append((int((name, slot) in self._known), slot))
        return min(ages)[1]

    def _write(self, name: str, slot: int, data: bytes) -> None:
        """Best effort: a full disk costs a render, not a sync."""
        file, packed = self._file(name, slot), zlib.compress(data, 6)
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as target:
                target.write(hashlib.sha256(packed).digest() + packed)
            os.replace(temporary, file)
        self._writes += 1
        if self._writes % SWEEP_EVERY == 1:
            self._sweep()

    def _sweep(self) -> None:
        """Delete the oldest files beyond the bound."""
        files = sorted(self._files(), reverse=True)
        size = 0
        for _, file_size, file in files:
            size += file_size
            if size > self._disk_bytes:
                with contextlib.suppress(OSError):
                    file.unlink()

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        for file in self._folder.glob("*/*"):
            with contextlib.suppress(OSError):
                stat = file.stat()
                yield stat.st_mtime_ns, stat.st_size, file

    def _file(self, name: str, slot: int) -> Path:
        return self._folder / name[:2] / f"{name[2:]}.{slot}"


def _encoded(found: ManifestSet) -> bytes:
    closure = found.closure
    return orjson.dumps(
        {
            "paths": dict(closure.paths),
            "inputs": closure.inputs,
            "capabilities": dict(closure.capabilities),
            "warnings": list(found.warnings),
            "manifests": [[one.key.to_text(), one.origin, one.body] for one in found],
        }
    )


def _manifests(raw: Mapping[str, Any], closure: Closure) -> ManifestSet:
    made = (Manifest(ObjectKey.from_text(key), body, origin) for key, origin, body in raw["manifests"])
    return ManifestSet(tuple(made), closure, tuple(raw["warnings"]))
