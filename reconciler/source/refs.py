"""The refs of a repository as one look-up found them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.errors import GitUnreachable, RefNotFound
from reconciler.model.spec import Ref

PEELED = b"^{}"
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")


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
        kind = name.rpartition("/")[0].split("/")[1]
        prefix = f"refs/{kind}/"
        names = [one.removeprefix(prefix) for one in self.by_name if one.startswith(prefix)]
        near = difflib.get_close_matches(name.removeprefix(prefix), names, n=3) or sorted(names)[:3]
        return f"; there are {', '.join(near)}" if near else f"; it has no {kind} at all"
