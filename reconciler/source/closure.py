"""Whether a commit still holds what a render read: the comparison by which a commit concerns an instance or not."""

from __future__ import annotations

from reconciler.model.revision import ABSENT, Closure
from reconciler.ports import SourceTree


def closure_matches(tree: SourceTree, closure: Closure) -> bool:
    """True when every recorded path has the recorded object id in `tree`, and the absent ones are absent still.

    One look-up per path; a folder, written with a `/` at its end, stands by its tree id, so its contents are not walked.
    An empty closure proves nothing and never matches.
    """
    return bool(closure.paths) and all(_oid(tree, path) == oid for path, oid in closure.paths.items())


def _oid(tree: SourceTree, path: str) -> str:
    entry = tree.entry(path.removesuffix("/"))
    return entry.oid if entry is not None else ABSENT
