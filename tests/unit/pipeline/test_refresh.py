"""A look at a repository into which one of its tenants commits what nobody would: the others are judged all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob, Tree

from reconciler.model.instance import InstanceKey
from reconciler.model.revision import Closure
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.pipeline.refresh import Known, RefreshReport, Watched, refresh
from reconciler.ports import SourceTree, TreeEntry
from reconciler.source import GitTree, Refs
from reconciler.testing.trees import MemoryTree
from tests.fixtures import bombs

MAIN = Ref(branch="main")
ACCESS = RepositoryAccess(url="https://git.example.com/apps.git")
BEFORE, AFTER = "a" * 40, "b" * 40
GOOD, EVIL = InstanceKey("default", "good", "eu-1"), InstanceKey("evil", "evil", "eu-1")


@dataclass
class Source:
    """The source room, as far as a look uses it."""

    trees: Mapping[str, SourceTree]

    def connected(self, _: RepositoryAccess) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def refs(self, access: RepositoryAccess) -> Refs:
        return Refs(access.url, {"refs/heads/main": AFTER})

    def fetch(self, *_: Any) -> None:
        return None

    @contextlib.contextmanager
    def tree(self, _: RepositoryAccess, commit: str) -> Iterator[SourceTree]:
        yield self.trees[commit]


class Asked(MemoryTree):
    """A tree that counts which paths were looked up."""

    def __init__(self, files: Mapping[str, str]) -> None:
        super().__init__(files)
        self.asked: list[str] = []

    def entry(self, path: str) -> TreeEntry | None:
        self.asked.append(path)
        return super().entry(path)


def looked(before: SourceTree, after: SourceTree, everyone: list[Watched]) -> RefreshReport:
    known = Known(heads={MAIN: BEFORE}, reading=lambda folders: everyone, everyone=lambda: everyone)
    rooms = SimpleNamespace(source=Source({BEFORE: before, AFTER: after}))
    return refresh(ACCESS, known, rooms)  # type: ignore[arg-type]  # the one room that it uses


def watched(key: InstanceKey, tree: SourceTree, path: str) -> Watched:
    entry = tree.entry(path)
    assert entry is not None
    return Watched(key, MAIN, closure=Closure({f"{path}/": entry.oid}))


def test_a_commit_that_can_not_be_walked_makes_everybody_looked_at() -> None:
    """Before, the look was killed at its time limit three times and parked, for all tenants of the repository."""
    before, after = MemoryTree({"d0/a.yaml": "one"}), bombs.nested(9, 10)

    report = looked(before, after, [watched(GOOD, after, "d1"), watched(EVIL, before, "d0")])

    assert report.moved == {GOOD: AFTER}
    assert report.changed == {EVIL: AFTER}


def test_what_many_instances_read_is_looked_up_once() -> None:
    """One application on a thousand clusters has one closure, and one of which nothing is known is no such application."""
    before, after = MemoryTree({"web/a.yaml": "one"}), Asked({"web/a.yaml": "one", "api/a.yaml": "two"})
    same, other = watched(GOOD, before, "web").closure, Closure({"api/": "1" * 40})
    there = [InstanceKey("default", "web", f"eu-{n}") for n in range(3)]
    strangers = [InstanceKey("default", name, f"eu-{n}") for name in ("api", "new") for n in range(3)]
    everyone = [Watched(key, MAIN, closure=same) for key in there]
    everyone += [Watched(key, MAIN, closure=other if key.application == "api" else None) for key in strangers]

    report = looked(before, after, everyone)

    assert report.moved == dict.fromkeys(there, AFTER)
    assert report.changed == dict.fromkeys(strangers, AFTER)
    assert sorted(path for path in after.asked if path) == ["api", "web"]


def test_a_folder_that_is_no_folder_concerns_only_those_that_read_in_it() -> None:
    store, good = MemoryObjectStore(), Tree()
    liar = Blob.from_string(b"no folder")
    root = Tree()
    root.add(b"evil", bombs.FOLDER, liar.id)
    root.add(b"good", bombs.FOLDER, good.id)
    for one in (good, liar, root):
        store.add_object(one)
    after = GitTree(store, bombs.committed(store, root), where="memory")
    evil = Watched(EVIL, MAIN, closure=Closure({"evil/a.yaml": "1" * 40}))

    report = looked(MemoryTree({}), after, [watched(GOOD, after, "good"), evil])

    assert report.moved == {GOOD: AFTER}
    assert report.changed == {EVIL: AFTER}
