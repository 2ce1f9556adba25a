"""A look at a repository makes due every instance whose render changed, whatever was committed: never fewer, and more only
where something that a render read is another object now."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.errors import MirrorBroken, RenderError, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ManifestSet
from reconciler.model.revision import Closure
from reconciler.model.spec import Ref, RepositoryAccess
from reconciler.pipeline.refresh import Known, RefreshReport, Watched, refresh
from reconciler.render import Renderer
from reconciler.source import Refs, changed_folders, folders_read
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import config_map, discovery, spec

MAIN = Ref(branch="main")
ACCESS = RepositoryAccess(url="https://git.example.com/apps.git")
APPS = {"plain": "apps/plain", "deep": "apps", "one": "overlays/one", "two": "overlays/two", "chart": "charts/web"}
KUSTOMIZATION = "resources: [../../base]\nnamePrefix: {}-\n"
FILES = {
    "README.md": "words",
    "apps/plain/a.yaml": config_map("a"),
    "base/kustomization.yaml": "resources: [b.yaml]\n",
    "base/b.yaml": config_map("b"),
    "overlays/one/kustomization.yaml": KUSTOMIZATION.format("one"),
    "overlays/two/kustomization.yaml": KUSTOMIZATION.format("two"),
    "charts/web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "charts/web/templates/c.yaml": config_map("c"),
}
PATHS = (
    *FILES,
    "apps/plain/new.yaml",
    "apps/other/o.yaml",
    "apps/plain/sub/deep.yaml",
    "base/kustomization.yml",
    "overlays/one/kustomization.yml",
    "overlays/one/Chart.yaml",
    "charts/web/values.yaml",
    "docs/a.md",
)
TEXTS = (
    None,
    config_map("x"),
    config_map("y"),
    "resources: [b.yaml]\n",
    "resources: []\n",
    KUSTOMIZATION.format("z"),
    "apiVersion: v2\nname: web\nversion: 2.0.0\n",
    "a: [\n",
)
commits = st.lists(
    st.dictionaries(st.sampled_from(PATHS), st.sampled_from(TEXTS), min_size=1, max_size=3), min_size=1, max_size=4
)


def key(name: str) -> InstanceKey:
    return InstanceKey("default", name, "eu-1")


@dataclass
class Repository:
    """Commits by number; the source room of the engine, as far as a look uses it."""

    trees: list[MemoryTree] = field(default_factory=list)
    forgotten: set[str] = field(default_factory=set)

    def commit(self, tree: MemoryTree) -> str:
        self.trees.append(tree)
        return self.head

    @property
    def head(self) -> str:
        return f"{len(self.trees):040x}"

    def connected(self, _: RepositoryAccess) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def refs(self, access: RepositoryAccess) -> Refs:
        return Refs(access.url, {"refs/heads/main": self.head})

    def fetch(self, *_: Any) -> None:
        return None

    @contextlib.contextmanager
    def tree(self, _: RepositoryAccess, commit: str) -> Iterator[MemoryTree]:
        if commit in self.forgotten:
            raise MirrorBroken("gone")
        yield self.trees[int(commit, 16) - 1]


@dataclass
class Fleet:
    """What a store knows of the applications, kept as the tasks keep it: each that is due is synced at once."""

    repository: Repository
    renderer: Renderer
    heads: dict[Ref, str] = field(default_factory=dict)
    open: dict[InstanceKey, str] = field(default_factory=lambda: {key(name): "" for name in APPS})
    closures: dict[InstanceKey, Closure | None] = field(default_factory=dict)
    readers: dict[str, set[InstanceKey]] = field(default_factory=dict)

    def look(self) -> RefreshReport:
        opened = tuple(self.watched(one, commit) for one, commit in self.open.items())
        known = Known(
            heads=self.heads,
            open=opened,
            reading=self.reading,
            everyone=lambda: [self.watched(key(name)) for name in APPS],
        )
        report = refresh(ACCESS, known, SimpleNamespace(source=self.repository))  # type: ignore[arg-type]  # its source only
        self.heads |= report.heads
        for one in report.changed:
            self.sync(one)
        return report

    def watched(self, one: InstanceKey, commit: str = "") -> Watched:
        return Watched(one, MAIN, commit, None if commit else self.closures.get(one))

    def reading(self, folders: Collection[str]) -> Sequence[Watched]:
        return [self.watched(one) for folder in folders for one in self.readers.get(folder, ())]

    def sync(self, one: InstanceKey) -> None:
        found = self.rendered(one)
        if found is None:
            self.open[one], self.closures[one] = self.repository.head, None
            return
        self.open.pop(one, None)
        self.closures[one] = found.closure
        for folder in folders_read(found.closure):
            self.readers.setdefault(folder, set()).add(one)

    def rendered(self, one: InstanceKey) -> ManifestSet | None:
        """What Git says now; None when it does not render."""
        try:
            tree = self.repository.trees[-1]
            return self.renderer.render(checkout_of(tree, APPS[one.application]), spec({}), discovery())
        except (RenderError, UndriftError):
            return None


def objects(found: ManifestSet | None) -> object:
    return [(one.origin, one.body) for one in found] if found is not None else None


def tree_of(files: Mapping[str, str | None]) -> MemoryTree:
    left = {path: text for path, text in files.items() if text is not None}
    return MemoryTree(left or {"README.md": ""})


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    """One that keeps nothing: a cache finds by the closure, so it would agree with whatever a closure leaves out."""
    found = Renderer(tmp_path_factory.mktemp("renders") / "work")
    yield found
    found.close()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=commits, rewritten=st.booleans())
def test_every_instance_whose_render_changed_is_due(renderer: Renderer, edits: Any, rewritten: bool) -> None:
    repository = Repository()
    files: dict[str, str | None] = dict(FILES)
    repository.commit(tree_of(files))
    fleet = Fleet(repository, renderer)
    assert fleet.look().changed.keys() == {key(name) for name in APPS}
    before = {name: objects(fleet.rendered(key(name))) for name in APPS}

    for edit in edits:
        files |= edit
        if rewritten:
            repository.forgotten.add(repository.head)
        repository.commit(tree_of(files))
        closures, opened = dict(fleet.closures), dict(fleet.open)
        due = fleet.look().changed.keys()
        after = {name: objects(fleet.rendered(key(name))) for name in APPS}

        concerned = {key(name) for name in APPS if before[name] != after[name]}
        event(f"due: {len(due)}, changed: {len(concerned)}")
        assert concerned <= due
        for one in due - concerned:  # more than had to be: it was not known, or what it read is another object now
            closure = closures.get(one)
            assert one in opened or closure is None or not closure.matches(repository.trees[-1])
        before = after


def test_a_file_that_nobody_reads_makes_nothing_due_and_looks_at_nobody(renderer: Renderer) -> None:
    repository = Repository()
    repository.commit(tree_of(FILES))
    fleet = Fleet(repository, renderer)
    fleet.look()

    repository.commit(tree_of({**FILES, "README.md": "other words", "docs/a.md": "more"}))
    report = fleet.look()

    assert (report.changed, report.looked) == ({}, 0)
    assert fleet.heads == {MAIN: repository.head}


def test_a_base_makes_due_those_that_use_it_and_asks_no_other(renderer: Renderer) -> None:
    repository = Repository()
    repository.commit(tree_of(FILES))
    fleet = Fleet(repository, renderer)
    fleet.look()

    repository.commit(tree_of({**FILES, "base/b.yaml": config_map("b", a="1")}))
    report = fleet.look()

    assert report.changed.keys() == {key("one"), key("two")}
    assert report.looked == 2


def test_a_file_that_becomes_a_link_with_its_text_makes_due(renderer: Renderer) -> None:
    """Git gives both one object id: before, such a commit was said to render the same, and never applied."""
    generator = "configMapGenerator:\n- name: settings\n  files: [rules.conf]\n"
    files = {**FILES, "overlays/one/kustomization.yaml": generator, "overlays/one/real.conf": "deny all\n"}
    repository = Repository()
    repository.commit(tree_of({**files, "overlays/one/rules.conf": "real.conf"}))
    fleet = Fleet(repository, renderer)
    fleet.look()

    repository.commit(MemoryTree(files, links={"overlays/one/rules.conf": "real.conf"}))

    assert fleet.look().changed.keys() == {key("one")}


TREES = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(["a", "b"]), min_size=1)


@given(
    before=TREES, after=TREES, read=st.sets(st.sampled_from([*PATHS, "apps/", "base/", "nowhere/x", "/"]), min_size=1)
)
def test_a_closure_that_does_not_match_is_found_by_a_folder_it_reads(
    before: dict[str, str], after: dict[str, str], read: set[str]
) -> None:
    old, new = MemoryTree(before), MemoryTree(after)
    found = {path: old.entry(path.removesuffix("/")) for path in read}
    closure = Closure({path: one.oid if one else "absent" for path, one in found.items()})

    if not closure.matches(new):
        assert folders_read(closure) & changed_folders(old, new)
