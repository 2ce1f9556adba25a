"""The source room: from a repository's address to the files of one commit."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from dulwich.client import LocalGitClient
from dulwich.objects import Commit, ObjectID
from dulwich.pack import UnresolvedDeltas
from dulwich.repo import Repo

from reconciler.clock import Clock
from reconciler.credentials import Credentials
from reconciler.errors import GitDenied, GitUnreachable, MirrorBroken, PathNotFound, RefNotFound, SourceTooLarge
from reconciler.model.revision import Checkout, Revision
from reconciler.model.spec import LONGEST_FETCH, Ref, RepositoryAccess, Source
from reconciler.ports import SourceTree, Visits
from reconciler.source import remote
from reconciler.source.mirror import Mirror
from reconciler.source.opened import OpenMirrors
from reconciler.source.refs import Refs

LOOKUP_S = 60.0
"""A look-up has at most so long; less where `limits.timeout` is."""


class SourceRoom:
    """Reads repositories through mirrors below one folder, which other processes of this host may share."""

    def __init__(
        self,
        mirrors: Path,
        credentials: Credentials,
        clock: Clock,
        *,
        private: Collection[Path] = (),
        visits: Visits | None = None,
    ) -> None:
        """No `file://` repository is read in the mirrors' folder, where what other projects fetched lies, nor in one of the
        `private` folders. `visits` bounds how many fetch from one host at once; without it nothing does."""
        self._visits = visits
        self._mirrors, self._credentials, self._clock = mirrors, credentials, clock
        self._private = (mirrors, *private)
        self._opened = OpenMirrors()
        self._session = threading.local()

    def refs(self, access: RepositoryAccess) -> Refs:
        """What every ref points at now: one look-up. Raises GitUnreachable, GitDenied."""
        self._refuse_private(access)
        seconds = min(_seconds(access), LOOKUP_S)
        with self._reached(access) as found, remote.told(access), found.exchange.within(seconds):
            raw = found.client.get_refs(found.path.encode())
            return _peeled(Refs.from_raw(remote.shown(access.url), raw.refs), found)

    def resolve(self, access: RepositoryAccess, ref: Ref, refs: Refs | None = None) -> Revision:
        """The commit that a ref means now. A full commit needs no look-up. Raises RefNotFound besides."""
        if ref.commit is not None:
            return Revision(remote.shown(access.url), str(ref), ref.commit)
        return Revision(remote.shown(access.url), str(ref), (refs or self.refs(access)).commit_of(ref))

    def fetch(self, access: RepositoryAccess, commits: Collection[str], refs: Refs | None = None) -> None:
        """Bring commits into the mirror; without a request when all are there.

        Raises GitUnreachable, GitBusy, GitDenied, RefNotFound for a commit that the host does not give, SourceTooLarge,
        MirrorBroken.
        """
        mirror = self._mirror(access)
        missing = mirror.missing(commits)
        if not missing:
            return
        with (
            self._reached(access) as found,
            remote.told(access),
            found.exchange.within(_seconds(access), SourceTooLarge),
        ):
            self._fetch_missing(mirror, found, missing, access)

    @contextlib.contextmanager
    def connected(self, access: RepositoryAccess) -> Iterator[None]:
        """In the block, this thread's look-ups and fetches of the repository are one session: over HTTP one connection, and
        a fetch is one request more than the look-up before it. Raises CredentialMissing."""
        self._refuse_private(access)
        with remote.connected(access, self._credentials) as found:
            self._session.at = (access, found)
            try:
                yield
            finally:
                self._session.at = None

    @contextlib.contextmanager
    def tree(self, access: RepositoryAccess, commit: str) -> Iterator[SourceTree]:
        """The files of a commit, fetched when the mirror lacks it. Valid inside the block."""
        mirror, where = self._mirror(access), remote.shown(access.url)
        found = self._opened.tree(mirror, commit, where=where)
        if found is None:
            self.fetch(access, [commit])
            found = self._opened.tree(mirror, commit, where=where)
        if found is None:
            raise MirrorBroken(f"{where}: its mirror lost commit {commit[:12]} as we read it; the next try fetches it")
        try:
            yield found
        except MirrorBroken:
            mirror.discard()  # the next try fetches it anew
            raise

    @contextlib.contextmanager
    def checkout(self, source: Source, commit: str | None = None) -> Iterator[Checkout]:
        """The files of a source at a commit, by default at the one its ref means now.

        Raises PathNotFound when the commit has no such folder. A commit in the mirror needs no Git host.
        """
        if commit is None:
            commit = self.resolve(source.repo, source.ref).commit
        path = normal_path(source.path)
        with self.tree(source.repo, commit) as tree:
            found = tree.entry(path)
            if found is None or found.kind != "folder":
                url = remote.shown(source.repo.url)
                raise PathNotFound(f"{url}: no folder {source.path!r} at {source.ref} {commit[:7]}", subject=url)
            yield Checkout(Revision(remote.shown(source.repo.url), str(source.ref), commit), tree, path)

    @contextlib.contextmanager
    def _reached(self, access: RepositoryAccess) -> Iterator[remote.Remote]:
        session = getattr(self._session, "at", None)
        if session is not None and session[0] == access:
            yield session[1]
            return
        with remote.connected(access, self._credentials) as found:
            yield found

    def _fetch_missing(
        self, mirror: Mirror, found: remote.Remote, missing: Collection[str], access: RepositoryAccess
    ) -> None:
        try:
            mirror.fetch(found, missing, access.limits, self._visits.to(access.url) if self._visits else None)
        except GitUnreachable:
            raise
        except (KeyError, AssertionError, UnresolvedDeltas) as error:  # dulwich, for a store it can't make sense of
            mirror.discard()
            raise MirrorBroken(f"{remote.shown(access.url)}: its mirror was damaged and is made anew") from error
        except Exception as error:
            if "not our ref" in str(error) or "did not send commit" in str(error):
                names = ", ".join(commit[:12] for commit in missing)
                raise RefNotFound(f"{remote.shown(access.url)}: the Git host has no commit {names}") from error
            raise

    def _mirror(self, access: RepositoryAccess) -> Mirror:
        self._refuse_private(access)
        who = access.credentials.model_dump_json()
        name = hashlib.sha256(f"{access.url}\n{who}".encode()).hexdigest()[:20]
        return Mirror(self._mirrors / f"{name}.git")

    def _refuse_private(self, access: RepositoryAccess) -> None:
        """Whoever writes a fleet file may name any place on the worker's disk."""
        folder = remote.folder_of(access)
        if folder is not None and any(folder.is_relative_to(one.resolve()) for one in self._private):
            raise GitDenied(
                f"{access.url}: lies in Undrift's own folder, from which no application is read", subject=access.url
            )


def _seconds(access: RepositoryAccess) -> float:
    return min(access.limits.timeout, LONGEST_FETCH).total_seconds()


def normal_path(path: str) -> str:
    """A folder's path as trees name it: no leading or trailing slash, no `.`. Raises PathNotFound for one with `..`."""
    parts = [part for part in PurePosixPath(path.strip("/")).parts if part != "."]
    if ".." in parts:
        raise PathNotFound(f"path {path!r} leads out of the repository", subject=path)
    return "/".join(parts)


def _peeled(refs: Refs, found: remote.Remote) -> Refs:
    """A repository on disk does not advertise what its annotated tags point at, so it is asked here."""
    if not isinstance(found.client, LocalGitClient):
        return refs
    with contextlib.closing(Repo(found.path)) as repo:
        return Refs(refs.url, {name: _commit_of(repo, oid) for name, oid in refs.by_name.items()})


def _commit_of(repo: Repo, oid: str) -> str:
    found = repo[ObjectID(oid.encode())]
    while not isinstance(found, Commit) and hasattr(found, "object"):
        found = repo[found.object[1]]
    return found.id.decode()
