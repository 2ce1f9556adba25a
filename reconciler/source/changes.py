"""Which folders two commits hold differently: the closure diff.

Two trees are walked together, and equal subtrees, known by their ids, are skipped: the cost grows with what changed and the
folders on its way, not with the repository. What a render reads is found by the folders that it reads in, so a commit's
changed folders lead to the instances that it can concern.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from reconciler.model.revision import Closure
from reconciler.ports import SourceTree, TreeEntry


def changed_folders(before: SourceTree, after: SourceTree) -> frozenset[str]:
    """Every folder with another list of entries, and so another tree id; one that came or went too, and those below it."""
    return frozenset(_differing(before, after, ""))


def folders_read(closure: Closure) -> frozenset[str]:
    """The folders by which a closure is found: one of them changes whenever a path of the closure does."""
    return frozenset(path[:-1] if path.endswith("/") else posixpath.dirname(path) for path in closure.paths)


def _differing(before: SourceTree | None, after: SourceTree | None, path: str) -> Iterator[str]:
    """`before` or `after` is None on the side that has no such folder."""
    ours, theirs = _entry(before, path), _entry(after, path)
    if (ours is None and theirs is None) or (ours is not None and theirs is not None and ours.oid == theirs.oid):
        return
    yield path
    left = _entries(before, path) if ours else {}
    right = _entries(after, path) if theirs else {}
    for name in left.keys() | right.keys():
        old, new = left.get(name), right.get(name)
        if old == new:
            continue
        below = f"{path}/{name}" if path else name
        yield from _differing(
            before if old is not None and old.kind == "folder" else None,
            after if new is not None and new.kind == "folder" else None,
            below,
        )


def _entry(tree: SourceTree | None, path: str) -> TreeEntry | None:
    return tree.entry(path) if tree is not None else None


def _entries(tree: SourceTree | None, path: str) -> Mapping[str, TreeEntry]:
    return {one.name: one for one in tree.list(path)} if tree is not None else {}
