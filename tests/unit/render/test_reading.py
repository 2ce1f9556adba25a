"""What a render reads of trees that a hostile commit holds."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidManifest, RenderLimit
from reconciler.model.revision import ABSENT
from reconciler.render.reading import Reading
from reconciler.testing.trees import MemoryTree
from tests.fixtures import bombs


def test_folders_without_a_file_are_counted_too() -> None:
    """A billion of them in ten objects: before, only files were counted, and the walk took hours."""
    with pytest.raises(RenderLimit, match="more than 20000 folders"):
        Reading(bombs.nested(9, 10)).files("")


def test_files_that_multiply_are_counted() -> None:
    with pytest.raises(RenderLimit, match="more than 20000 files"):
        Reading(bombs.wide(25_000)).files("")


@pytest.mark.parametrize("levels", [101, 1500])
def test_folders_too_deep_are_a_limit_of_the_render(levels: int) -> None:
    """Before, 1,500 of them were a RecursionError."""
    with pytest.raises(RenderLimit, match="more than 100 deep"):
        Reading(bombs.nested(levels, 1, leaf=b"kind: X\n")).files("")


def test_a_path_of_many_folders_is_found() -> None:
    deep = "/".join(["d0"] * 1300)

    assert Reading(bombs.nested(1300, 1, leaf=b"x")).read(f"{deep}/a.yaml") == b"x"


@pytest.mark.timeout(10)
def test_what_is_missing_in_many_folders_is_found_missing_at_once() -> None:
    """Before, each took half a second, and a kustomization may look for two such files in each of its bases."""
    tree, deep = bombs.nested(1, 1, above=["d"] * 2000, leaf=b"x"), "/".join(["d"] * 2000)
    reading = Reading(tree)

    assert [reading.entry(f"{deep}/{number}/a") for number in range(100)] == [None] * 100
    assert reading.closure() == {f"{deep}/{number}": ABSENT for number in range(100)}


def test_a_path_that_no_system_has_is_a_limit_of_the_render() -> None:
    """Before, 20,000 files below 97 folders with names of 255 letters were paths of a gigabyte."""
    names = ["d" * 255] * 16
    tree = bombs.nested(1, 3, above=names, leaf=b"x")

    for found in (lambda: Reading(tree).files(""), lambda: Reading(tree).read("/".join([*names, "d0", "a.yaml"]))):
        with pytest.raises(RenderLimit, match=r"^d{80}…: the path has 4\d+ bytes, more than 4096; give its folders"):
            found()
    with pytest.raises(RenderLimit, match="more than 4096"):
        Reading(MemoryTree({})).entry("a/" * 3000)


def test_a_path_is_short_where_it_lies_too() -> None:
    """Each link may lead further down from where the one before it led, by short paths as they are found."""
    deep = "/".join(["d" * 255] * 14)
    tree = MemoryTree({f"{deep}/{'e' * 255}/{'f' * 255}/a.yaml": "x"}, links={"app/l": f"../{deep}/{'e' * 255}"})

    with pytest.raises(RenderLimit, match="more than 4096"):
        Reading(tree).files("app")


def test_paths_of_all_files_together_are_bounded() -> None:
    with pytest.raises(RenderLimit, match="paths of more than 16 MiB in all"):
        Reading(bombs.wide(5_000, above=["d" * 255] * 15)).files("")


def test_lists_of_the_folders_above_are_counted_before_the_walk_goes_down() -> None:
    """Each of them stays in memory until the walk is back: a hundred of the largest are 6 GB."""
    tree = bombs.nested(1, 50_000, leaf=b"x")

    with pytest.raises(RenderLimit, match="more than 40000 files and folders"):
        Reading(tree).files("")


def test_a_link_to_a_path_that_no_system_has_is_refused() -> None:
    """Each leading part of where a link points is looked up: half a million parts took hours."""
    tree = MemoryTree({"a.yaml": "kind: X\n"}, links={"link": "a/" * 500_000})

    with pytest.raises(InvalidManifest, match="1000000 characters"):
        Reading(tree).read("link")
