"""A copy of the journal in a repository of its own, which outlives this machine.

Only ever added to: a copy that holds what this journal does not is another journal's, or was rewritten, and is left as it
is. A journal that is lost with its volume begins again from the copy, and one of several machines takes from it what the
scheduler of another has written since.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from dulwich.client import GitClient
from dulwich.objects import ZERO_SHA, ObjectID
from dulwich.repo import Repo

from reconciler.errors import JournalBroken
from reconciler.journal.chain import BRANCH, Journal


@dataclass(frozen=True, slots=True)
class Copy:
    """Where the copy is: a Git client, the path as that wants it, and the URL as people may see it."""

    client: GitClient
    path: str
    url: str


def push(journal: Journal, copy: Copy) -> str:
    """Bring the copy up to date; the commit that it has then, "" for a journal that was never written.

    Raises JournalBroken when the copy's history is not a part of this one; dulwich's errors when it can't be reached.
    """
    head = journal.head()
    if head is None:
        return ""
    with closing(Repo(str(journal.path))) as repo:

        def wanted(refs: dict[Any, Any]) -> dict[Any, Any]:
            theirs = refs.get(BRANCH) or ZERO_SHA
            if theirs == head.encode():
                return {}
            if theirs != ZERO_SHA and not journal.has(theirs.decode()):
                raise JournalBroken(
                    f"the copy of the journal at {copy.url} has commit {theirs[:12].decode()}, which is not in this "
                    "journal; it is another installation's, or was rewritten: give this one an empty repository",
                    subject=copy.url,
                )
            return {BRANCH: head.encode()}

        def missing(have: AbstractSet[ObjectID], want: AbstractSet[ObjectID], **_: Any) -> tuple[int, Any]:
            return repo.generate_pack_data(set(have), set(want))

        result = copy.client.send_pack(copy.path.encode(), wanted, missing)
        if refused := (result.ref_status or {}).get(BRANCH):
            raise JournalBroken(f"the copy of the journal at {copy.url} was not taken: {refused}", subject=copy.url)
    return head


def catch_up(journal: Journal, copy: Copy) -> bool:
    """Take from the copy what this journal lacks; whether there was anything. A journal that is not there begins from it.

    Raises JournalBroken when each has what the other lacks; dulwich's errors when the copy can't be reached.
    """
    if not journal.exists:
        return bool(restore(journal, copy))
    theirs, own = copy.client.get_refs(copy.path.encode()).refs.get(BRANCH), journal.head()
    if theirs is None or theirs.decode() == own or journal.has(theirs.decode()):
        return False
    with closing(Repo(str(journal.path))) as repo:
        copy.client.fetch(copy.path.encode(), repo, determine_wants=lambda *_, **__: [ObjectID(theirs)])
        if own is not None and own not in journal.commits(repo, theirs.decode()):
            raise JournalBroken(
                f"this machine's journal and its copy at {copy.url} each have what the other lacks; move {journal.path} "
                "away, and it begins again from the copy",
                subject=copy.url,
            )
        repo.refs[BRANCH] = ObjectID(theirs)
    return True


def restore(journal: Journal, copy: Copy) -> str:
    """Begin a journal that is not there from its copy; the commit that it has then, "" when the copy is empty."""
    head = copy.client.get_refs(copy.path.encode()).refs.get(BRANCH)
    if head is None:
        return ""
    journal.path.mkdir(parents=True, mode=0o700)
    with closing(Repo.init_bare(str(journal.path))) as repo:
        copy.client.fetch(copy.path.encode(), repo, determine_wants=lambda *_, **__: [ObjectID(head)])
        repo.refs[BRANCH] = ObjectID(head)
    return str(head.decode())
