"""A commit concerns an instance exactly when something that its render read is another object now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.revision import Closure, recorded
from reconciler.testing.trees import MemoryTree

PATHS = ("a.yaml", "web/one.yaml", "web/two.yaml", "web/deep/three.yaml", "base/four.yaml")
FOLDERS = ("web", "web/deep", "base")
CONTENTS = st.sampled_from(["", "x", "y"])
# A link has the object id of a file with its text.
TREES = st.dictionaries(st.sampled_from(PATHS), st.tuples(st.sampled_from(["file", "link"]), CONTENTS), min_size=1)
Files = dict[str, tuple[str, str]]


def tree_of(files: Files) -> MemoryTree:
    texts = {kind: {path: text for path, (one, text) in files.items() if one == kind} for kind in ("file", "link")}
    return MemoryTree(texts["file"], links=texts["link"])


def content(files: Files, path: str) -> object:
    """What stands at a path: a file's or link's text, a folder's files, or nothing."""
    below = {name: text for name, text in files.items() if name.startswith(f"{path}/")}
    return below or files.get(path)


@given(TREES, TREES, st.sets(st.sampled_from(PATHS + FOLDERS), min_size=1))
def test_it_matches_exactly_when_no_recorded_path_changed(before: Files, after: Files, read: set[str]) -> None:
    tree = tree_of(before)
    closure = Closure({path: recorded(tree.entry(path)) for path in read})

    unchanged = all(content(before, path) == content(after, path) for path in read)

    assert closure.matches(tree_of(after)) == unchanged


def test_a_submodule_named_after_a_file_is_not_that_file() -> None:
    """Its id is whatever the commit says."""
    read = MemoryTree({"a.yaml": "x"}).entry("a.yaml")
    assert read is not None
    after = MemoryTree({}, submodules={"a.yaml": read.oid})

    assert not Closure({"a.yaml": recorded(read)}).matches(after)


@given(TREES)
def test_an_empty_closure_proves_nothing(files: Files) -> None:
    assert not Closure().matches(tree_of(files))
