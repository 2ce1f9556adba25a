"""Any mixture of good, broken, doubled and hidden definitions, load after load.

No good definition is ever lost, nothing that is defined twice or wrongly changes, no instance is taken for gone while
something can't be read, and neither the order of files nor any text at all makes a difference or an exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from reconciler.fleet import Fleet, expand, load
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec
from reconciler.ports import TreeEntry
from tests.fleets import MemoryTree, application, cluster, document, documents

HIDDEN = {
    "syntax": "undrift.dev/v1alpha1: [",
    "nameless": documents({**application("x"), "metadata": {}}),
    "words": "only undrift's words",
}
FOREIGN = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web}\n"
Name = tuple[str, str]


@dataclass(frozen=True)
class Written:
    """One document of a file: what it defines, in which version, and `how`: good, wrong in a field, or no YAML."""

    name: Name
    version: int
    how: str

    @property
    def is_good(self) -> bool:
        return self.how == "good"

    @cache  # noqa: B019  # a handful of values, made anew by every example
    def text(self) -> str:
        kind, full = self.name
        project, _, name = full.rpartition("/")
        if kind == "Cluster":
            made = cluster(name, version=str(self.version))
        elif kind == "Repository":
            made = document(kind, name, url=f"https://{name}.example.com/", poll=f"{self.version + 1}s", **of(project))
        elif kind == "Project":
            made = document(
                kind, name, repos=["*"], clusters={"names": ["*"]}, namespaces=["*"], description=str(self.version)
            )
        else:
            made = application(name, f"v{self.version}", **of(project))
        if self.how == "field":
            return documents({**made, "spec": {"unknown": 1, **of(project)}})
        return documents(made) + ("oops: [\n" if self.how == "syntax" else "")

    def is_in_force(self, fleet: Fleet) -> bool:
        entry = fleet.entries.get(self.name)
        return entry is not None and entry.document == self.entry()

    def entry(self) -> object:
        return load(MemoryTree({"x.yaml": self.text()})).entries[self.name].document


def of(project: str) -> dict[str, str]:
    return {"project": project} if project else {}


Files = Mapping[str, Sequence[Written | str]]

NAMES = st.sampled_from(
    [
        ("Application", "a"),
        ("Application", "b"),
        ("Application", "team/a"),
        ("Cluster", "a"),
        ("Cluster", "c"),
        ("Project", "default"),
        ("Repository", "r"),
        ("Repository", "team/r"),
    ]
)
WRITTEN = st.builds(Written, NAMES, st.integers(0, 3), st.sampled_from(["good", "good", "good", "field", "syntax"]))
DOCUMENTS = st.lists(
    st.one_of(WRITTEN, WRITTEN, WRITTEN, st.just(FOREIGN), st.sampled_from(sorted(HIDDEN.values()))), max_size=4
)
GOOD_DOCUMENTS = st.lists(st.builds(Written, NAMES, st.integers(0, 3), st.just("good")), max_size=4)
PATHS = st.sampled_from(["a.yaml", "b.yaml", "in/c.yaml", "in/d.yml"])
FILES = st.one_of(st.dictionaries(PATHS, GOOD_DOCUMENTS), st.dictionaries(PATHS, DOCUMENTS))


class ReversedTree(MemoryTree):
    """The same files, listed the other way round."""

    def list(self, path: str) -> Sequence[TreeEntry]:
        return list(reversed(super().list(path)))


def texts(files: Files) -> dict[str, str]:
    return {
        path: "\n---\n".join(one if isinstance(one, str) else one.text() for one in found)
        for path, found in files.items()
    }


def defined(files: Files) -> dict[Name, list[Written]]:
    found: dict[Name, list[Written]] = {}
    for one in (one for all_of_file in files.values() for one in all_of_file if isinstance(one, Written)):
        found.setdefault(one.name, []).append(one)
    return found


def hides(files: Files) -> bool:
    return any(one in HIDDEN.values() for all_of_file in files.values() for one in all_of_file)


def is_yaml(files: Files) -> bool:
    return not any(one.how == "syntax" for found in defined(files).values() for one in found)


@given(st.lists(FILES, min_size=1, max_size=5))
def test_no_mixture_of_files_loses_or_changes_what_it_must_not(loads: list[Files]) -> None:
    before = Fleet()
    for files in loads:
        after = load(MemoryTree(texts(files)), previous=before)
        visible = defined(files)
        for name, entry in before.entries.items():
            places = visible.get(name, [])
            if not places and hides(files):
                assert after.entries[name] == entry, "never gone while something is hidden"
            elif not places:
                assert name not in after.entries or not is_yaml(files), "gone by intent"
            elif len(places) > 1 or not places[0].is_good:
                assert after.entries[name] == entry, "defined twice or wrongly: stays as it was"
        for name, places in visible.items():
            is_single_and_good = len(places) == 1 and places[0].is_good
            if is_single_and_good and not hides(files) and is_yaml(files):
                assert places[0].is_in_force(after)
            if not is_single_and_good:
                assert name in after.broken
                assert name in before.entries or name not in after.entries
                assert any(problem.subject == name for problem in after.problems)
        assert after.entries.keys() <= visible.keys() | before.entries.keys()
        before = after


@given(FILES, FILES)
def test_the_order_of_files_makes_no_difference(first: Files, second: Files) -> None:
    before = load(MemoryTree(texts(first)))

    there = load(MemoryTree(texts(second)), previous=before)
    back = load(ReversedTree(texts(second)), previous=load(ReversedTree(texts(first))))

    assert there == back
    assert load(MemoryTree(texts(second)), previous=there) == there, "loading again changes nothing"
    assert list(there.entries) == list(back.entries)


@given(st.lists(FILES, min_size=2, max_size=4), st.booleans())
def test_no_instance_leaves_while_what_makes_it_is_wrong_or_hidden(loads: list[Files], forgets: bool) -> None:
    """`forgets`: the scheduler starts anew before each load, so that only the specs are remembered."""
    fleet: Fleet | None = None
    specs: Mapping[InstanceKey, InstanceSpec] = {}
    for files in loads:
        fleet = load(MemoryTree(texts(files)), previous=None if forgets else fleet)
        expansion = expand(fleet, previous=specs)
        visible = defined(files)
        for key in expansion.left:
            app, target = visible.get(("Application", key.application)), visible.get(("Cluster", key.cluster))
            assert not (hides(files) and not (app and target)), "left although its definition may be hidden"
            assert app is None or target is None, "left although both of its definitions are there"
        assert expansion.left == specs.keys() - expansion.specs.keys()
        assert expansion.kept <= specs.keys()
        for key in expansion.kept:
            is_refused = expansion.specs[key].rules is not None
            assert expansion.specs[key] == specs[key] or is_refused
        assert expand(fleet, previous=specs) == expansion
        specs = expansion.specs


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 60), st.sampled_from(["x.yaml", "x.json"]))
def test_no_text_at_all_makes_loading_or_expanding_raise(noise: bytes, start: int, length: int, file: str) -> None:
    whole = documents(
        cluster("c", env="prod"),
        application(
            "a", overrides=[{"clusters": {"all": True}, "render": {"helm": {"values": {"x": [1, 2.5, None]}}}}]
        ),
    ).encode()
    good = load(MemoryTree({file: whole}))
    mangled = whole[:start] + noise + whole[start + length :]

    for text in (noise, mangled):
        expand(load(MemoryTree({file: text}), previous=good), previous=expand(good).specs)


TEXTS = st.text("ab1:/@.${}*-é\n", max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=8,
)
# fmt: off
FIELDS = st.sampled_from([
    "project", "source", "sources", "render", "clusters", "namespace", "overrides", "sync", "drift", "rollout",
    "access", "url", "poll", "credentials", "mode", "repos", "namespaces", "clusterKinds", "values"
])
# fmt: on


@given(st.dictionaries(FIELDS, JSON, max_size=4), st.sampled_from(["Application", "Cluster", "Project", "Repository"]))
def test_any_wrong_value_of_any_field_is_a_problem_with_its_line_and_never_an_exception(spec, kind) -> None:
    text = json.dumps({"apiVersion": "undrift.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})

    found = load(MemoryTree({"x.json": text}))
    expand(found)

    assert bool(found.problems) == bool(found.broken or found.doubtful)
    assert all(problem.line >= 1 and problem.message for problem in found.problems)
