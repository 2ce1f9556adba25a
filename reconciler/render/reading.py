"""Remembers what a render reads of a tree: the paths of its closure."""

from __future__ import annotations

import posixpath

from reconciler.errors import InvalidManifest, PathNotFound
from reconciler.model.revision import ABSENT
from reconciler.ports import SourceTree, TreeEntry


class Reading:
    """A tree that keeps a list of what was asked of it."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self._paths: dict[str, str] = {}

    def entry(self, path: str) -> TreeEntry | None:
        """What stands at a path; its object id, or its absence, becomes part of the closure."""
        found = self._tree.entry(path)
        if found is None or found.kind != "folder":
            self._paths[path] = found.oid if found else ABSENT
        return found

    def read(self, path: str) -> bytes:
        """A file's content, as part of the closure. Raises PathNotFound, InvalidManifest for a link."""
        found = self.entry(path)
        if found is None or found.kind == "folder":
            raise PathNotFound(f"no file {path}", subject=path)
        self._refuse_link(path, found)
        return self._tree.read(path)

    def folder(self, path: str) -> dict[str, bytes]:
        """Every file below a folder by its path from the root. The folder stands in the closure as one tree id.

        Raises PathNotFound, and InvalidManifest for links: whatever they point at is not what this commit names.
        """
        found = self._tree.entry(path)
        if found is None or found.kind != "folder":
            raise PathNotFound(f"no folder {path or '/'}", subject=path)
        self._paths[path] = found.oid
        return dict(self._walk(path))

    def _walk(self, path: str) -> list[tuple[str, bytes]]:
        files: list[tuple[str, bytes]] = []
        for entry in self._tree.list(path):
            below = f"{path}/{entry.name}" if path else entry.name
            if entry.kind == "folder":
                files += self._walk(below)
            elif entry.kind == "submodule":
                continue
            else:
                self._refuse_link(below, entry)
                files.append((below, self._tree.read(below)))
        return files

    def _refuse_link(self, path: str, entry: TreeEntry) -> None:
        if entry.kind == "link":
            target = self._tree.read(path).decode(errors="replace")
            raise InvalidManifest(
                f"{path} is a symbolic link (to {target}); links are not followed, put the file itself there",
                subject=path,
            )

    def closure(self) -> dict[str, str]:
        """The paths read so far; what lies below a folder that stands as a whole is left out."""
        folders = {path for path in self._paths if self._is_folder(path)}
        return {path: oid for path, oid in sorted(self._paths.items()) if not _is_below(path, folders)}

    def _is_folder(self, path: str) -> bool:
        found = self._tree.entry(path)
        return found is not None and found.kind == "folder"


def _is_below(path: str, folders: set[str]) -> bool:
    above = path
    while above:
        above = posixpath.dirname(above)
        if above in folders:
            return True
    return False
