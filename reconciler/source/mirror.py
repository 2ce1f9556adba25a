"""A bare mirror of one repository on this host, shared by all worker processes behind a file lock.

A fetch asks for the missing commits only and stores them as one more pack, after measuring it; when packs pile up they
are joined. Readers take no lock: a pack is never changed, and a joined one replaces its parts by rename. What fails in
the middle leaves at most a temporary file, which the next fetch removes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO

from dulwich.errors import GitProtocolError
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID
from dulwich.refs import Ref as RefName
from dulwich.repo import Repo

from reconciler.errors import MirrorBroken, SourceTooLarge
from reconciler.model.spec import RepositoryLimits
from reconciler.source import pack
from reconciler.source.remote import Remote, shown

MOST_PACKS = 50


class Mirror:
    """One repository's mirror. Cheap to make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether anything was fetched yet."""
        return (self.path / "objects").is_dir()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Repo]:
        """The repository, for reading. Raises MirrorBroken when it can't be opened."""
        with self.mended(), contextlib.closing(self._open()) as repo:
            yield repo

    def missing(self, commits: Collection[str]) -> frozenset[str]:
        """Which of these commits are not here."""
        if not self.exists():
            return frozenset(commits)
        with self.reading() as repo:
            return frozenset(commit for commit in commits if ObjectID(commit.encode()) not in repo.object_store)

    def fetch(self, remote: Remote, commits: Collection[str], limits: RepositoryLimits) -> None:
        """Bring commits here. Another process may have done so while this one waited for the lock.

        Raises SourceTooLarge at a limit, MirrorBroken when the disk does not take it; the mirror stays usable.
        """
        with self._locked():
            wanted = self.missing(commits)
            if not wanted:
                return
            with self.mended(), contextlib.closing(self._open()) as repo:
                self._sweep()
                _receive(repo, remote, wanted, limits)
                _remember(repo, wanted)
                if len(repo.object_store.packs) > MOST_PACKS:
                    repo.object_store.pack_loose_objects()
                    repo.object_store.repack()

    def _open(self) -> Repo:
        if not self.exists():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Repo.init_bare(str(self.path))
        return Repo(str(self.path))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.mended(), open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def mended(self) -> Iterator[None]:
        """Name disk trouble; a mirror that can't be read any more is thrown away, to be made anew at the next try."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
                raise
            raise MirrorBroken(
                f"the mirror {self.path.name} can't be written: {error.strerror}; free space on the disk of the "
                "mirrors folder, the next try goes on",
                subject=str(self.path.name),
            ) from error

    def discard(self) -> None:
        """Forget a damaged mirror."""
        with self._locked():
            shutil.rmtree(self.path, ignore_errors=True)

    def _sweep(self) -> None:
        """Remove what a killed fetch left. Safe: the lock is held, so no fetch is running."""
        folder = self.path / "objects" / "pack"
        for left in (*folder.glob("tmp*"), *folder.glob("*.tmp")):
            left.unlink(missing_ok=True)


def _receive(repo: Repo, remote: Remote, wanted: Collection[str], limits: RepositoryLimits) -> None:
    store = repo.object_store
    assert isinstance(store, DiskObjectStore)
    file, commit, abort = store.add_pack()
    meter = _Meter(remote.url, limits)

    def write(data: bytes) -> int:
        meter.count(len(data))
        return file.write(data)

    try:
        remote.client.fetch_pack(
            remote.path, _wants(wanted), repo.get_graph_walker(), write, progress=lambda text: None
        )
        _measure(file, meter)
        commit()
    except BaseException:
        abort()
        raise


def _measure(file: IO[bytes], meter: _Meter) -> None:
    """Check what was received, and leave the file at its end, where the store goes on writing."""
    if file.tell():
        file.seek(0)
        limits = meter.limits
        pack.require_bounded(file, objects=limits.objects, object_bytes=limits.object_bytes, url=shown(meter.url))
        file.seek(0, os.SEEK_END)


def _wants(commits: Collection[str]) -> Callable[..., list[ObjectID]]:
    """What to ask for: the refs that lead straight to the commits, else every branch and tag.

    A server need not give an object that no ref points at, so an annotated tag is asked for as such.
    """

    def determine(refs: Mapping[bytes, bytes | None], depth: int | None = None) -> list[ObjectID]:
        tips = {name: oid for name, oid in refs.items() if oid and name.startswith((b"refs/heads/", b"refs/tags/"))}
        wanted = {commit.encode() for commit in commits}
        direct = {tips.get(name.removesuffix(b"^{}"), oid): oid for name, oid in tips.items() if oid in wanted}
        if wanted <= set(direct.values()):
            return [ObjectID(oid) for oid in sorted(direct)]
        return [ObjectID(oid) for oid in sorted({oid for name, oid in tips.items() if not name.endswith(b"^{}")})]

    return determine


class _Meter:
    """Counts what a fetch costs while it runs, and stops it at a limit."""

    def __init__(self, url: str, limits: RepositoryLimits) -> None:
        self.url, self.limits = url, limits
        self._bytes = 0
        self._deadline = time.monotonic() + limits.timeout.total_seconds()

    def count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self.limits.size_bytes:
            limit = self.limits.size_bytes
            raise SourceTooLarge(
                f"{shown(self.url)}: the fetch is over {limit} bytes (limits.sizeBytes)", subject=shown(self.url)
            )
        if time.monotonic() > self._deadline:
            raise SourceTooLarge(
                f"{shown(self.url)}: the fetch took too long (limits.timeout)", subject=shown(self.url)
            )


def _remember(repo: Repo, commits: Collection[str]) -> None:
    """Point a ref at what was fetched: the next fetch then tells the server that we have it. Checks that it came."""
    for commit in commits:
        if ObjectID(commit.encode()) not in repo.object_store:
            raise GitProtocolError(f"the Git host did not send commit {commit}")
        repo.refs[RefName(b"refs/heads/seen-" + commit[:12].encode())] = ObjectID(commit.encode())
