"""The refs of a repository as one look-up found them."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.errors import GitUnreachable, RefNotFound
from reconciler.model.spec import LONGEST_REF, Ref

PEELED = b"^{}"
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST_COMPARED = 300
_LONGEST_COMPARED = 100
"""Names that are like one another are compared in the square of their length and more: at both bounds for 0.2 s in all,
where 100,000 names of 180 characters took minutes after the look-up's time was over."""


@dataclass(frozen=True, slots=True)
class Refs:
    """Commit by full ref name; annotated tags are peeled to their commit. `url` is for messages, without credentials."""

    url: str
    by_name: Mapping[str, str]

    @classmethod
    def from_raw(cls, url: str, raw: Mapping[Any, Any]) -> Refs:
        """From what a Git server advertises: `refs/tags/v1^{}` is what the annotated tag `v1` points at.

        Raises GitUnreachable for what is no object id: it would be noted as the commit that is judged.
        """
        if not all(_OBJECT_ID.fullmatch(oid) for oid in raw.values() if oid):
            raise GitUnreachable(
                f"{url}: the Git host did not answer as Git does: one of its refs has no object id of 40 or 64 hex digits",
                subject=url,
            )
        plain = {name.decode(): oid.decode() for name, oid in raw.items() if oid and not name.endswith(PEELED)}
        peeled = {name[:-3].decode(): oid.decode() for name, oid in raw.items() if oid and name.endswith(PEELED)}
        return cls(url, plain | peeled)

    def commit_of(self, ref: Ref) -> str:
        """The commit a ref means now. A commit means itself, whether or not a ref leads to it.

        Raises RefNotFound, with the nearest names that exist.
        """
        if ref.commit is not None:
            return ref.commit
        name = f"refs/heads/{ref.branch}" if ref.branch is not None else f"refs/tags/{ref.tag}"
        found = self.by_name.get(name)
        if found is None:
            raise RefNotFound(
                f"{self.url}: no {'branch' if ref.branch else 'tag'} {ref}{self._near(name)}", subject=self.url
            )
        return found

    def tips(self) -> frozenset[str]:
        return frozenset(self.by_name.values())

    def _near(self, name: str) -> str:
        """A hint for a message, for which few of what a host may tell are compared: those of about the same length."""
        kind = name.rpartition("/")[0].split("/")[1]
        prefix = f"refs/{kind}/"
        names = [one.removeprefix(prefix) for one in self.by_name if one.startswith(prefix)]
        if not names:
            return f"; it has no {kind} at all"
        wanted = name.removeprefix(prefix)
        near: list[str] = []
        if len(wanted) <= _LONGEST_COMPARED:
            like = heapq.nsmallest(_MOST_COMPARED, names, key=lambda one: abs(len(one) - len(wanted)))
            near = difflib.get_close_matches(wanted, like, n=3)
        told = near or heapq.nsmallest(3, names)
        return f"; there are {', '.join(one[:LONGEST_REF] for one in told)}"
