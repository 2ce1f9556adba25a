"""Where manifests come from, the exact commit, and what one render read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.ports import SourceTree, TreeEntry

ABSENT = "absent"
"""Stands for a path that was looked for and missing in a closure."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One commit of one repository, and the ref that led to it."""

    source: str
    ref: str
    commit: str

    @property
    def short(self) -> str:
        return self.commit[:7]


@dataclass(frozen=True, slots=True)
class Checkout:
    """A revision's files, and the folder in them that an instance renders; `path` is normalised, "" is the root."""

    revision: Revision
    tree: SourceTree
    path: str


@dataclass(frozen=True, slots=True)
class Closure:
    """What one render read.

    `paths` maps a path from the repository's root to what stands there as `recorded` says it (a file's blob; a listed
    folder's tree, its path with a `/` at the end), or to `absent`. `inputs` is the digest of everything else that went in:
    options, values, renderer version. `capabilities` maps each cluster capability that the render looked at to the digest
    of its value; empty when none.
    Two renders with equal closures give equal manifests.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    inputs: str = ""
    capabilities: Mapping[str, str] = field(default_factory=dict)

    def matches(self, tree: SourceTree) -> bool:
        """Whether at every recorded path the same stands in `tree`, and the absent ones are absent still.

        One look-up per path; a folder stands by its tree id, so its contents are not walked. An empty closure proves
        nothing and never matches.
        """
        return bool(self.paths) and all(_standing(tree, path) == what for path, what in self.paths.items())


def recorded(entry: TreeEntry | None) -> str:
    """What a closure says of what stands at a path: a file's or folder's object id, and that of any other kind after its
    kind, as `link:<id>`.

    The id alone does not tell a link from a file: the blob of a link is the text that it points to, and a submodule's id is
    whatever the commit says. Whether a file is executable is left out: no engine asks for it.
    """
    if entry is None:
        return ABSENT
    return entry.oid if entry.kind in ("file", "folder") else f"{entry.kind}:{entry.oid}"


def _standing(tree: SourceTree, path: str) -> str:
    return recorded(tree.entry(path.removesuffix("/")))
