"""One commit of a Git repository as a `SourceTree`, read from its object store."""

from __future__ import annotations

import contextlib
import stat
import struct
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, ObjectFormatException
from dulwich.object_store import BaseObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tag, Tree

from reconciler.errors import MirrorBroken, PathNotFound, SourceTooLarge
from reconciler.ports import TreeEntry

READ_LIMIT = 64 * 1024 * 1024
FOLDER_LIMIT = 8 * 1024 * 1024
"""Of one folder's tree object: some 200,000 entries, which take 60 MB once they are parsed."""
ENTRY_BYTES = 300
"""What one entry takes in memory once it is parsed, beside its name."""
SUBMODULE_MODE = 0o160000


class Folders:
    """Parsed folders by their Git id, the newest ones: commits of one repository share nearly all of them. Names count,
    since Git sets no bound to their length."""

    def __init__(self, most_bytes: int = 32 * 1024 * 1024) -> None:
        self._known: OrderedDict[str, tuple[int, Mapping[str, TreeEntry]]] = OrderedDict()
        self._room = most_bytes

    def get(self, oid: str) -> Mapping[str, TreeEntry] | None:
        found = self._known.get(oid)
        return found[1] if found is not None else None

    def put(self, oid: str, entries: Mapping[str, TreeEntry]) -> None:
        size = ENTRY_BYTES + sum(ENTRY_BYTES + len(name) for name in entries)
        self._known[oid] = size, entries
        self._room -= size
        while self._room < 0 and len(self._known) > 1:
            self._room += self._known.popitem(last=False)[1][0]


class Sound:
    """An object store whose damage is told as MirrorBroken: what dulwich raises then depends on the byte that is wrong."""

    def __init__(self, store: BaseObjectStore, where: str) -> None:
        self._store, self._where = store, where

    def __contains__(self, oid: ObjectID) -> bool:
        with self._named(oid):
            return oid in self._store

    def __getitem__(self, oid: ObjectID) -> ShaFile:
        with self._named(oid):
            return self._store[oid]

    def get_raw(self, oid: ObjectID) -> tuple[int, bytes]:
        """The object's type number and its content."""
        with self._named(oid):
            return self._store.get_raw(oid)

    @contextlib.contextmanager
    def _named(self, oid: ObjectID) -> Iterator[None]:
        try:
            yield
        except (
            zlib.error,
            ApplyDeltaError,
            ChecksumMismatch,
            AssertionError,
            IndexError,
            ValueError,
            struct.error,
        ) as error:
            raise MirrorBroken(
                f"{self._where}: object {oid[:12].decode()} is damaged on this host's disk", subject=self._where
            ) from error


Kind = TypeVar("Kind", Blob, Tree)


class GitTree:
    """The files of a commit. Each folder is parsed once. Valid as long as the repository it was opened from."""

    def __init__(self, store: BaseObjectStore, commit: str, *, where: str, folders: Folders | None = None) -> None:
        """`where` names the repository in messages. Raises PathNotFound when the store has no such commit."""
        self._store, self.commit, self._where = Sound(store, where), commit, where
        self._folders = folders if folders is not None else Folders()

    @cached_property
    def root_oid(self) -> str:
        """The tree id of the root folder."""
        try:
            found: object = self._store[ObjectID(self.commit.encode())]
            while isinstance(found, Tag):
                found = self._store[found.object[1]]
            if isinstance(found, Commit) and found.tree is not None:
                return str(found.tree.decode())
        except KeyError:
            pass  # as good as no commit
        except ObjectFormatException as error:
            raise PathNotFound(f"{self._where}: commit {self.commit} is malformed", subject=self._where) from error
        raise PathNotFound(f"{self._where}: no commit {self.commit}", subject=self._where)

    def entry(self, path: str) -> TreeEntry | None:
        found = TreeEntry("", "folder", self.root_oid)
        for name in path.split("/") if path else ():
            below = self._folder(found.oid).get(name) if found.kind == "folder" else None
            if below is None:
                return None
            found = below
        return found

    def list(self, path: str) -> Sequence[TreeEntry]:
        found = self.entry(path)
        if found is None or found.kind != "folder":
            raise PathNotFound(f"{self._where}: no folder {path or '/'} at {self.commit[:7]}", subject=path)
        return sorted(self._folder(found.oid).values(), key=lambda entry: entry.name)

    def read(self, path: str) -> bytes:
        found = self.entry(path)
        if found is None or found.kind not in ("file", "link"):
            raise PathNotFound(f"{self._where}: no file {path} at {self.commit[:7]}", subject=path)
        blob = self._object(found.oid, Blob, path)
        if blob.raw_length() > READ_LIMIT:
            raise SourceTooLarge(f"{self._where}: {path} is larger than {READ_LIMIT} bytes", subject=path)
        return blob.data

    def _object(self, oid: str, kind: type[Kind], what: str) -> Kind:
        """An object of the store. An entry's mode may say another kind than its object is, in a hostile repository only."""
        try:
            number, data = self._store.get_raw(ObjectID(oid.encode()))
            if number != kind.type_num:
                raise PathNotFound(
                    f"{self._where}: {what} is no {kind.__name__.lower()} (object {oid[:12]})", subject=what
                )
            if kind is Tree and len(data) > FOLDER_LIMIT:  # before it is parsed
                raise SourceTooLarge(
                    f"{self._where}: {what} has too many entries, in more than {FOLDER_LIMIT} bytes (tree {oid[:12]})",
                    subject=what,
                )
            return cast(Kind, ShaFile.from_raw_string(number, data, sha=ObjectID(oid.encode())))
        except KeyError as error:
            raise PathNotFound(
                f"{self._where}: {what} names object {oid[:12]}, which is not there", subject=what
            ) from error
        except ObjectFormatException as error:
            raise PathNotFound(f"{self._where}: {what} is malformed (object {oid[:12]})", subject=what) from error

    def _folder(self, oid: str) -> Mapping[str, TreeEntry]:
        known = self._folders.get(oid)
        if known is None:
            tree = self._object(oid, Tree, "a folder")
            known = {entry.name: entry for entry in map(_entry, tree.iteritems()) if _is_plain(entry.name)}
            self._folders.put(oid, known)
        return known


def _entry(raw: Any) -> TreeEntry:
    return TreeEntry(
        name=raw.path.decode(errors="surrogateescape"),
        kind=_kind(raw.mode),
        oid=raw.sha.decode(),
        executable=bool(raw.mode & 0o100),
    )


def _kind(mode: int) -> Literal["file", "folder", "link", "submodule"]:
    if stat.S_ISDIR(mode):
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    return "submodule" if mode == SUBMODULE_MODE else "file"


def _is_plain(name: str) -> bool:
    """Git itself refuses the others when it checks out; a hostile repository can still hold them."""
    return name not in ("", ".", "..", ".git") and "/" not in name and "\x00" not in name
