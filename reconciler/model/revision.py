"""Where manifests come from, the exact commit, and what one render read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reconciler.ports import SourceTree

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

    `paths` maps a path from the repository's root to the Git object id found there (a blob's; a listed folder's tree id,
    its path with a `/` at the end), or to `absent`. `inputs` is the digest of everything else that went in: options,
    values, renderer version. `capabilities` maps each cluster capability that the render looked at to the digest of its
    value; empty when none.
    Two renders with equal closures give equal manifests.
    """

    paths: Mapping[str, str] = field(default_factory=dict)
    inputs: str = ""
    capabilities: Mapping[str, str] = field(default_factory=dict)

    def matches(self, tree: SourceTree) -> bool:
        """Whether every recorded path has the recorded object id in `tree`, and the absent ones are absent still.

        One look-up per path; a folder stands by its tree id, so its contents are not walked. An empty closure proves
        nothing and never matches.
        """
        return bool(self.paths) and all(_oid(tree, path) == oid for path, oid in self.paths.items())


def _oid(tree: SourceTree, path: str) -> str:
    entry = tree.entry(path.removesuffix("/"))
    return entry.oid if entry is not None else ABSENT
