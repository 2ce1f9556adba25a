"""Which folders two commits hold differently: the closure diff.

Two trees are walked together, and equal subtrees, known by their ids, are skipped: the cost grows with what changed and the
folders on its way, not with the repository. What a render reads is found by the folders that it reads in, so a commit's
changed folders lead to the instances that it can concern.

A commit is somebody's input: ten folders that are one tree object, nine levels deep, are a billion paths in ten objects. So
the walk counts what it looks at and the paths that it holds, and gives up at a limit; whoever asked then looks at everybody.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from reconciler.errors import SourceTooLarge
from reconciler.model.revision import Closure
from reconciler.ports import SourceTree, TreeEntry

MOST_ENTRIES = 500_000
"""Entries of changed folders, on both sides: about a second of work. A repository of 10,000 applications that changes as a
whole has some 100,000."""
MOST_PATHS = 32 * 1024 * 1024
"""Characters of all paths that are held, up to four bytes each. Git sets no bound to a name's length: 16,000 folders in
eight objects had paths of 2.9 GB. Of those 100,000 usual ones have some 5 million."""
MOST_DEEP = 100

# A folder's path, and the tree it is in on each side: None where that side has no such folder.
_Pair = tuple[str, SourceTree | None, SourceTree | None]


def changed_folders(before: SourceTree, after: SourceTree) -> frozenset[str]:
    """Every folder with another list of entries, and so another tree id; one that came or went too, and those below it.

    Raises SourceTooLarge where more has changed than is worth a look at each, or deeper than folders lie.
    """
    if before.entry("") == after.entry(""):
        return frozenset()
    found: set[str] = set()
    looked = held = 0
    waiting: list[_Pair] = [("", before, after)]
    while waiting:
        path, old, new = waiting.pop()
        left, right = _entries(old, path), _entries(new, path)
        looked += len(left) + len(right) + 1
        _require_bounded(path, looked)
        found.add(path)
        for below in _differing((path, old, new), left, right):
            held += len(below[0])
            _require_held(held)
            waiting.append(below)
    return frozenset(found)


def folders_read(closure: Closure) -> frozenset[str]:
    """The folders by which a closure is found: one of them changes whenever a path of the closure does."""
    return frozenset(path[:-1] if path.endswith("/") else posixpath.dirname(path) for path in closure.paths)


def _differing(pair: _Pair, left: Mapping[str, TreeEntry], right: Mapping[str, TreeEntry]) -> Iterator[_Pair]:
    """The folders right below a folder that are to be looked at."""
    path, before, after = pair
    for name in left.keys() | right.keys():
        old, new = _folder(left.get(name)), _folder(right.get(name))
        if (old and old.oid) == (new and new.oid):
            continue
        yield f"{path}/{name}" if path else name, before if old else None, after if new else None


def _folder(entry: TreeEntry | None) -> TreeEntry | None:
    return entry if entry is not None and entry.kind == "folder" else None


def _entries(tree: SourceTree | None, path: str) -> Mapping[str, TreeEntry]:
    return {one.name: one for one in tree.list(path)} if tree is not None else {}


def _require_bounded(path: str, looked: int) -> None:
    if looked > MOST_ENTRIES:
        raise SourceTooLarge(f"the commits differ in folders of more than {MOST_ENTRIES} entries")
    if path.count("/") >= MOST_DEEP:
        raise SourceTooLarge(f"the commits differ in a folder more than {MOST_DEEP} deep: {path[:80]}…", subject=path)


def _require_held(characters: int) -> None:
    """Asked for each path as it comes: those of one folder's children may be too many together."""
    if characters > MOST_PATHS:
        raise SourceTooLarge(
            f"the commits differ in folders whose paths have more than {MOST_PATHS // 1024**2} million characters"
        )
