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
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from dulwich.errors import GitProtocolError
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, RawObjectID
from dulwich.pack import PackIndexer, UnresolvedDeltas
from dulwich.refs import Ref as RefName
from dulwich.repo import Repo

from reconciler.clock import looks
from reconciler.errors import GitUnreachable, MirrorBroken, SourceError
from reconciler.model.spec import RepositoryLimits
from reconciler.source import pack
from reconciler.source.exchange import Exchange
from reconciler.source.join import join_small
from reconciler.source.remote import Remote

MOST_PACKS = 50
MOST_SEEN = 64
"""Newest commits that were asked for, by which a fetch says what is here already."""
_LOCK_EVERY_S = 0.05


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

    def fetch(
        self,
        remote: Remote,
        commits: Collection[str],
        limits: RepositoryLimits,
        place: AbstractContextManager[None] | None = None,
    ) -> None:
        """Bring commits here. Another process may have done so while this one waited for the lock; only who really fetches
        takes a `place` at the host.

        Raises SourceTooLarge at a limit, MirrorBroken when the disk does not take it, GitBusy when no place comes free; the
        mirror stays usable.
        """
        with self._locked(remote.exchange.remaining_s):
            wanted = self.missing(commits)
            if not wanted:
                return
            with place or contextlib.nullcontext(), self.mended(), contextlib.closing(self._open()) as repo:
                self._sweep()
                _receive(repo, remote, wanted, limits)
                _remember(repo, wanted)
                self._forget_old(repo)
                if len(repo.object_store.packs) > MOST_PACKS:
                    join_small(self.path / "objects" / "pack")

    def _open(self) -> Repo:
        if not self.exists():
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            return Repo.init_bare(str(self.path))
        return Repo(str(self.path))

    @contextlib.contextmanager
    def _locked(self, remaining_s: Callable[[], float]) -> Iterator[None]:
        """Raises GitUnreachable when another process of this host does not give the mirror back in time."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self.mended(), open(self.path.with_suffix(".lock"), "w") as lock:
            _wait_for(lock, remaining_s, self.path.name)
            yield

    @contextlib.contextmanager
    def mended(self) -> Iterator[None]:
        """Name disk trouble."""
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
        """Forget a damaged mirror. One that another process fetches into just now stays, for the next who finds it so."""
        with contextlib.suppress(GitUnreachable), self._locked(lambda: 0.0):
            shutil.rmtree(self.path, ignore_errors=True)

    def _forget_old(self, repo: Repo) -> None:
        """A ref is what tells the server that we have a commit, with all before it; each is read at each fetch. What is in
        the mirror stays, with or without one."""
        seen = sorted((self.path / "refs" / "heads").glob("seen-*"), key=lambda one: one.stat().st_mtime_ns)
        for old in seen[:-MOST_SEEN]:
            del repo.refs[RefName(b"refs/heads/" + old.name.encode())]

    def _sweep(self) -> None:
        """Remove what a killed fetch left. Safe: the lock is held, so no fetch is running."""
        folder = self.path / "objects" / "pack"
        halves = [one for one in folder.glob("pack-*") if not _other_half(one).exists()]
        for left in (*folder.glob("tmp*"), *folder.glob("*.tmp"), *halves):
            left.unlink(missing_ok=True)


def _other_half(part: Path) -> Path:
    """The index of a pack, and the pack of an index."""
    return part.with_suffix(".idx" if part.suffix == ".pack" else ".pack")


def _wait_for(lock: IO[str], remaining_s: Callable[[], float], name: str) -> None:
    """A lock that is waited for can't be given up, so it is asked for again and again."""
    for _ in looks(remaining_s(), _LOCK_EVERY_S):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
    raise GitUnreachable(
        f"the mirror {name} is still being fetched by another process of this host (limits.timeout)", subject=name
    )


def _receive(repo: Repo, remote: Remote, wanted: Collection[str], limits: RepositoryLimits) -> None:
    store, exchange = repo.object_store, remote.exchange
    assert isinstance(store, DiskObjectStore)
    file, commit, abort = store.add_pack()
    wants = _wants(wanted)

    def determine(refs: Mapping[RefName, ObjectID], depth: int | None = None) -> list[ObjectID]:
        exchange.allow(limits.size_bytes)
        return wants(refs, depth)

    def is_here(base: bytes) -> bool:
        return store.contains_packed(RawObjectID(base))

    def write(data: bytes) -> int:
        exchange.require_time()
        return file.write(data)

    try:
        remote.client.fetch_pack(
            remote.path, determine, repo.get_graph_walker(), write, progress=lambda text: exchange.require_time()
        )
        with _told_damaged(exchange.url):
            _measure(
                file, pack.Bounds(limits.objects, limits.object_bytes, is_here, exchange.require_time), exchange.url
            )
            _watch_time(store, exchange)
            commit()
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # the store had moved it already, and took it back
            abort()
        raise


def _watch_time(store: DiskObjectStore, exchange: Exchange) -> None:
    """A store indexes a pack for as long as that takes, and its `commit` has no seam to end it by but a private one."""
    index = store._index_pack

    def watched(indexer: PackIndexer, count: int, progress: object = None) -> Any:
        return index(indexer, count, progress=lambda _: exchange.require_time())

    store._index_pack = watched  # type: ignore[method-assign,assignment]  # for this store


@contextlib.contextmanager
def _told_damaged(url: str) -> Iterator[None]:
    """What a pack that is none makes of dulwich, which checks as it goes. A missing object is left as it is: it may be ours
    that is gone."""
    try:
        yield
    except (SourceError, OSError, KeyError, UnresolvedDeltas, MemoryError):
        raise
    except Exception as error:
        raise GitUnreachable(
            f"{url}: the Git host sent a damaged pack ({type(error).__name__})", subject=url
        ) from error


def _measure(file: IO[bytes], bounds: pack.Bounds, url: str) -> None:
    """Check what was received, and leave the file at its end, where the store goes on writing."""
    if file.tell():
        file.seek(0)
        pack.require_bounded(file, bounds, url=url)
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


def _remember(repo: Repo, commits: Collection[str]) -> None:
    """Point a ref at what was fetched: the next fetch then tells the server that we have it. Checks that it came."""
    for commit in commits:
        if ObjectID(commit.encode()) not in repo.object_store:
            raise GitProtocolError(f"the Git host did not send commit {commit}")
        repo.refs[RefName(b"refs/heads/seen-" + commit[:12].encode())] = ObjectID(commit.encode())
