"""Opens the fleet: a folder on disk, the HEAD of a Git work tree, or a repository's URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from dulwich.repo import Repo

from reconciler.errors import PathNotFound
from reconciler.fleet import urls
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.ports import SourceTree
from reconciler.source.folder import FolderTree
from reconciler.source.room import SourceRoom
from reconciler.source.tree import GitTree


def is_remote(location: str) -> bool:
    """Whether a fleet's location is a Git URL, and not a folder."""
    return "://" in location or location.startswith("git@")


def why_no_folder(location: str) -> str:
    """What is wrong with a fleet's location that is no folder."""
    if Path(location).is_file():
        return f"{location} is a file, and a fleet is a folder: give {Path(location).parent}"
    return f"fleet folder {location} does not exist"


@contextlib.contextmanager
def open_fleet(
    location: str, room: SourceRoom, access: RepositoryAccess | None = None
) -> Iterator[tuple[SourceTree, str]]:
    """The fleet's files and their revision, a commit or the folder's tree id. Valid inside the block.

    `location` is a folder, or a Git URL with `@branch` behind it where it is not `main`. A folder that is the root of a
    Git work tree is read at its HEAD commit: what is not committed is not wanted yet.
    """
    if is_remote(location):
        url, branch = _split(location)
        _require_url(url)
        access = access or RepositoryAccess(url=url)
        revision = room.resolve(access, Ref(branch=branch))
        with room.tree(access, revision.commit) as tree:
            yield tree, revision.commit
        return
    folder = Path(location)
    if not folder.is_dir():
        raise PathNotFound(why_no_folder(location), subject=location)
    if (folder / ".git").exists():
        with contextlib.closing(Repo(str(folder))) as repo:
            commit = repo.head().decode()
            yield GitTree(repo.object_store, commit, where=location), commit
        return
    found = FolderTree(folder)
    yield found, found.revision()


def _require_url(url: str) -> None:
    """Raises PathNotFound, without the URL, for one that is read otherwise than it was meant, as with a slash in its
    password: what is shown of it would not hide that."""
    scheme, is_url, rest = url.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    bare = f"{scheme}{is_url}{rest.removeprefix(user + at)}" if is_url else url
    try:
        urls.parse(bare)
        if is_url and "@" in bare:
            raise ValueError("a path holds no `@`, and a user or password no `/`")
    except ValueError as error:
        raise PathNotFound(f"the fleet's location: {error}", subject="fleet") from None


def _split(location: str) -> tuple[str, str]:
    """`https://host/repo.git@branch` as its URL and branch; an `@` before the path is a user's."""
    head, at, tail = location.rpartition("@")
    is_branch = (
        at and "/" not in tail.partition("/")[0] and ":" not in tail and "://" in head and "/" in head.split("://")[1]
    )
    return (head, tail) if is_branch else (location, "main")
