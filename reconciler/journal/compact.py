"""Drops the entries of old commits and keeps their chain, so that a journal does not grow with all that ever happened.

A new repository is written beside the old one and takes its place whole. What is dropped is first written down, as an entry
of its own: a journal whose writer was killed in between still has everything, and the next time completes it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from itertools import islice

from dulwich.objects import Commit, ObjectID, ShaFile, Tree
from dulwich.repo import Repo

from reconciler.journal.chain import BRANCH, Compacted, Journal

PACK_OBJECTS = 5000
"""Objects that are held in memory at once."""


def compact(journal: Journal, *, keep: int, most: int) -> int:
    """Keep at least the newest `keep` entries once there are more than `most`; how many were dropped, mostly 0."""
    with closing(Repo(str(journal.path))) as repo:
        head = journal.head()
        before = journal.compacted(repo).number
        newest = journal.last_number(repo, head) if head else 0
        if newest - before <= most:
            return 0
        boundary = next(
            Compacted(commit, number)
            for commit in journal.commits(repo)
            if (number := journal.last_number(repo, commit)) <= newest - keep
        )
    entry = {
        "kind": "compact",
        "subject": "journal",
        "message": f"the entries up to {boundary.number} are not kept any more; their commits are",
    }
    journal.append([entry], journal.state(), compacted=boundary)
    _exchange(journal, boundary)
    return boundary.number - before


def _exchange(journal: Journal, boundary: Compacted) -> None:
    place = journal.path
    fresh, aside = place.with_name(f"{place.name}.fresh"), place.with_name(f"{place.name}.before")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    with closing(Repo(str(place))) as old, closing(Repo.init_bare(str(fresh))) as new:
        kept = _kept(journal, old, boundary.commit)
        while objects := list(islice(kept, PACK_OBJECTS)):
            new.object_store.add_objects([(one, None) for one in objects])
        new.refs[BRANCH] = old.refs[BRANCH]
    place.rename(aside)
    fresh.rename(place)
    shutil.rmtree(aside)


def _kept(journal: Journal, repo: Repo, boundary: str) -> Iterator[ShaFile]:
    """Every commit and tree, and the files of those after the boundary; each object once."""
    seen: set[ObjectID] = set()
    is_old = False
    for name in journal.commits(repo):
        is_old = is_old or name == boundary
        commit = repo.object_store[ObjectID(name.encode())]
        assert isinstance(commit, Commit)  # the chain was read by its commits
        tree = repo.object_store[commit.tree]
        assert isinstance(tree, Tree)
        found: list[ShaFile] = [commit, tree]
        if not is_old:
            found += [repo.object_store[entry.sha] for entry in tree.iteritems() if entry.sha is not None]
        for one in found:
            if one.id not in seen:
                seen.add(one.id)
                yield one
