"""A folder on disk as a `SourceTree`, with the object ids that Git would give its files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dulwich.objects import Blob, ObjectID, Tree

from reconciler.errors import PathNotFound
from reconciler.ports import TreeEntry

FILE_MODE, EXECUTABLE_MODE, LINK_MODE, FOLDER_MODE = 0o100644, 0o100755, 0o120000, 0o040000


class FolderTree:
    """The folder as it was when each part of it was first looked at. `.git` is left out; links are not followed."""

    def __init__(self, path: Path) -> None:
        self._root = path
        self._folders: dict[str, dict[str, TreeEntry]] = {}

    def revision(self) -> str:
        """The tree id of the whole folder: equal contents, equal revision."""
        return self._oid_of_folder("")

    def entry(self, path: str) -> TreeEntry | None:
        if not path:
            return TreeEntry("", "folder", self._oid_of_folder(""))
        parent, _, name = path.rpartition("/")
        if parent:
            above = self.entry(parent)
            if above is None or above.kind != "folder":
                return None
        return self._folder(parent).get(name)

    def list(self, path: str) -> Sequence[TreeEntry]:
        found = self.entry(path)
        if found is None or found.kind != "folder":
            raise PathNotFound(f"{self._root}: no folder {path or '/'}", subject=path)
        return sorted(self._folder(path).values(), key=lambda entry: entry.name)

    def read(self, path: str) -> bytes:
        found = self.entry(path)
        if found is None or found.kind not in ("file", "link"):
            raise PathNotFound(f"{self._root}: no file {path}", subject=path)
        place = self._root / path
        return os.fsencode(os.readlink(place)) if found.kind == "link" else place.read_bytes()

    def _folder(self, path: str) -> dict[str, TreeEntry]:
        if path not in self._folders:
            place = self._root / path
            if not place.is_dir():
                raise PathNotFound(f"{place} is no folder", subject=path)
            names = sorted(entry.name for entry in os.scandir(place) if entry.name != ".git")
            found = {name: self._entry(f"{path}/{name}" if path else name, name) for name in names}
            self._folders[path] = {name: entry for name, entry in found.items() if entry is not None}
        return self._folders[path]

    def _entry(self, path: str, name: str) -> TreeEntry | None:
        place = self._root / path
        if place.is_symlink():
            return TreeEntry(name, "link", _blob_oid(os.fsencode(os.readlink(place))))
        if place.is_dir():
            return TreeEntry(name, "folder", self._oid_of_folder(path))
        if place.is_file():
            return TreeEntry(name, "file", _blob_oid(place.read_bytes()), os.access(place, os.X_OK))
        return None  # a socket or a device: nothing that Git would hold either

    def _oid_of_folder(self, path: str) -> str:
        tree = Tree()
        for entry in self._folder(path).values():
            tree.add(os.fsencode(entry.name), _mode(entry), ObjectID(entry.oid.encode()))
        return tree.id.decode()


def _blob_oid(data: bytes) -> str:
    return Blob.from_string(data).id.decode()


def _mode(entry: TreeEntry) -> int:
    if entry.kind == "folder":
        return FOLDER_MODE
    if entry.kind == "link":
        return LINK_MODE
    return EXECUTABLE_MODE if entry.executable else FILE_MODE
