"""A commit concerns an instance exactly when something that its render read is another object now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.revision import ABSENT, Closure
from reconciler.testing.trees import MemoryTree

PATHS = ("a.yaml", "web/one.yaml", "web/two.yaml", "web/deep/three.yaml", "base/four.yaml")
FOLDERS = ("web", "web/deep", "base")
CONTENTS = st.sampled_from(["", "x", "y"])
TREES = st.dictionaries(st.sampled_from(PATHS), CONTENTS, min_size=1)


def oid(tree: MemoryTree, path: str) -> str:
    found = tree.entry(path)
    return found.oid if found is not None else ABSENT


def content(files: dict[str, str], path: str) -> object:
    """What stands at a path: a file's text, a folder's files, or nothing."""
    below = {name: text for name, text in files.items() if name.startswith(f"{path}/")}
    return below or files.get(path)


@given(TREES, TREES, st.sets(st.sampled_from(PATHS + FOLDERS), min_size=1))
def test_it_matches_exactly_when_no_recorded_path_changed(
    before: dict[str, str], after: dict[str, str], read: set[str]
) -> None:
    tree = MemoryTree(before)
    closure = Closure({path: oid(tree, path) for path in read})

    unchanged = all(content(before, path) == content(after, path) for path in read)

    assert closure.matches(MemoryTree(after)) == unchanged


@given(TREES)
def test_an_empty_closure_proves_nothing(files: dict[str, str]) -> None:
    assert not Closure().matches(MemoryTree(files))
