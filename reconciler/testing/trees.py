"""A revision's files held in memory, with the object ids that Git would give them. For tests and for trying things out."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence

from dulwich.objects import Blob, ObjectID, Tree

from reconciler.errors import PathNotFound
from reconciler.model.revision import Checkout, Revision
from reconciler.ports import TreeEntry

__all__ = ["MemoryTree", "checkout_of"]

_MODES = {"file": 0o100644, "link": 0o120000, "folder": 0o040000, "submodule": 0o160000}


class MemoryTree:
    """`MemoryTree({"apps/web/a.yaml": "…"})`. `links` maps a path to where it points, `submodules` to a commit."""

    def __init__(
        self,
        files: Mapping[str, str | bytes],
        *,
        links: Mapping[str, str] | None = None,
        submodules: Mapping[str, str] | None = None,
    ) -> None:
        self._contents: dict[str, bytes] = {}
        self._folders: dict[str, dict[str, TreeEntry]] = {"": {}}
        for path, text in files.items():
            self._put(path, "file", text.encode() if isinstance(text, str) else text)
        for path, target in (links or {}).items():
            self._put(path, "link", target.encode())
        for path, commit in (submodules or {}).items():
            self._enter(path, TreeEntry(posixpath.basename(path), "submodule", commit))
        self._root = self._seal("")

    def entry(self, path: str) -> TreeEntry | None:
        if not path:
            return TreeEntry("", "folder", self._root)
        parent, _, name = path.rpartition("/")
        return self._folders.get(parent, {}).get(name)

    def list(self, path: str) -> Sequence[TreeEntry]:
        if path not in self._folders:
            raise PathNotFound(f"no folder {path or '/'}", subject=path)
        return sorted(self._folders[path].values(), key=lambda entry: entry.name)

    def read(self, path: str) -> bytes:
        if path not in self._contents:
            raise PathNotFound(f"no file {path}", subject=path)
        return self._contents[path]

    def _put(self, path: str, kind: str, data: bytes) -> None:
        self._contents[path] = data
        oid = Blob.from_string(data).id.decode()
        name = posixpath.basename(path)
        self._enter(path, TreeEntry(name, "link" if kind == "link" else "file", oid))

    def _enter(self, path: str, entry: TreeEntry) -> None:
        folder = posixpath.dirname(path)
        self._folders.setdefault(folder, {})[entry.name] = entry
        while folder:
            above, name = posixpath.split(folder)
            self._folders.setdefault(above, {}).setdefault(name, TreeEntry(name, "folder", ""))
            folder = above

    def _seal(self, folder: str) -> str:
        """Give every folder its tree id, the deepest first."""
        tree = Tree()
        for name, entry in self._folders[folder].items():
            if entry.kind == "folder":
                entry = TreeEntry(name, "folder", self._seal(f"{folder}/{name}" if folder else name))
                self._folders[folder][name] = entry
            tree.add(name.encode(errors="surrogateescape"), _MODES[entry.kind], ObjectID(entry.oid.encode()))
        return tree.id.decode()


def checkout_of(tree: MemoryTree, path: str = "") -> Checkout:
    """A tree as the checkout of a folder, under a made-up revision."""
    return Checkout(Revision("memory", "main", "0" * 40), tree, path)
