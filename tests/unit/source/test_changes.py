"""The closure diff over trees that a hostile commit holds."""

from __future__ import annotations

import tracemalloc

import pytest

from reconciler.errors import SourceTooLarge
from reconciler.source import changed_folders
from reconciler.testing.trees import MemoryTree
from tests.fixtures import bombs

EMPTY = MemoryTree({})


@pytest.mark.parametrize("levels", [7, 30], ids=["ten million paths", "more than can be counted"])
def test_a_tree_that_multiplies_is_given_up(levels: int) -> None:
    """Before, each path of it was walked: nine levels took hours, and the look at the repository was killed and parked."""
    with pytest.raises(SourceTooLarge, match="more than 500000 entries"):
        changed_folders(EMPTY, bombs.nested(levels, 10))


def test_a_tree_without_end_is_given_up() -> None:
    """Before, it was a RecursionError."""
    with pytest.raises(SourceTooLarge, match="deep"):
        changed_folders(bombs.nested(1500, 1), EMPTY)


def test_paths_that_multiply_by_long_names_are_given_up() -> None:
    """Git sets no bound to a name's length: before, a commit of 160 KB took 2.9 GB, with fewer entries than the bound."""
    long_names = bombs.nested(8, 500, name_bytes=4000)

    with pytest.raises(SourceTooLarge, match="more than 32 million characters"):
        changed_folders(EMPTY, long_names)


def test_the_children_of_one_folder_are_counted_as_they_come() -> None:
    """Each repeats the path above it, here of a million characters: all of them at once would be 400 MB."""
    deep = bombs.nested(1, 400, above=["x" * 500_000] * 2)
    tracemalloc.start()
    try:
        with pytest.raises(SourceTooLarge, match="more than 32 million characters"):
            changed_folders(EMPTY, deep)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 100 * 1024**2


def test_a_folder_of_a_hundred_thousand_files_is_compared() -> None:
    assert changed_folders(EMPTY, bombs.wide(100_000)) == {""}


def test_a_folder_that_became_a_file_is_walked_as_it_was() -> None:
    before = MemoryTree({"a/b/c.yaml": "one", "same/d.yaml": "x"})
    after = MemoryTree({"a": "a file now", "same/d.yaml": "x"})

    assert changed_folders(before, after) == {"", "a", "a/b"}
