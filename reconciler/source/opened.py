"""Mirrors that this process keeps open, so that the next sync of a repository reads without opening it anew.

An opened mirror is used for as long as its packs are the same files: a fetch, a join of packs or a mirror made anew by
any process changes the folder of packs, and the next use opens it again.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field

from dulwich.objects import ObjectID
from dulwich.repo import Repo

from reconciler.source.mirror import Mirror
from reconciler.source.tree import Folders, GitTree

MOST_MIRRORS = 8
MOST_TREES = 16

Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _Opened:
    stamp: Stamp
    repo: Repo
    folders: Folders = field(default_factory=Folders)
    trees: OrderedDict[str, GitTree] = field(default_factory=OrderedDict)


class OpenMirrors:
    """The mirrors used last. What they hold open is given back when others take their place."""

    def __init__(self) -> None:
        self._opened: OrderedDict[str, _Opened] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._opened)

    def tree(self, mirror: Mirror, commit: str, *, where: str) -> GitTree | None:
        """The files of a commit; None when the mirror lacks it. Raises MirrorBroken when it can't be read."""
        with self._lock, mirror.mended():
            opened = self._current(mirror)
            if opened is None:
                return None
            known = opened.trees.get(commit)
            if known is None:
                if ObjectID(commit.encode()) not in opened.repo.object_store:
                    return None
                known = opened.trees[commit] = GitTree(
                    opened.repo.object_store, commit, where=where, folders=opened.folders
                )
                while len(opened.trees) > MOST_TREES:
                    opened.trees.popitem(last=False)
            opened.trees.move_to_end(commit)
            return known

    def _current(self, mirror: Mirror) -> _Opened | None:
        name = str(mirror.path)
        stamp = _stamp(mirror)
        opened = self._opened.pop(name, None)
        if opened is not None and opened.stamp != stamp:
            opened.repo.close()
            opened = None
        if opened is None and stamp is not None:
            opened = _Opened(stamp, Repo(name))
        if opened is not None:
            self._opened[name] = opened
        while len(self._opened) > MOST_MIRRORS:
            self._opened.popitem(last=False)[1].repo.close()
        return opened


def _close_all(opened: OrderedDict[str, _Opened]) -> None:
    while opened:
        opened.popitem()[1].repo.close()


def _stamp(mirror: Mirror) -> Stamp | None:
    """What changes whenever a pack comes or goes; None when nothing was fetched yet."""
    try:
        found = os.stat(mirror.path / "objects" / "pack")
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
