"""What a render reads of trees that a hostile commit holds."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidManifest, RenderLimit
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
    deep = "/".join(["d0"] * 1500)

    assert Reading(bombs.nested(1500, 1, leaf=b"x")).read(f"{deep}/a.yaml") == b"x"


def test_a_link_to_a_path_that_no_system_has_is_refused() -> None:
    """Each leading part of where a link points is looked up: half a million parts took hours."""
    tree = MemoryTree({"a.yaml": "kind: X\n"}, links={"link": "a/" * 500_000})

    with pytest.raises(InvalidManifest, match="1000000 characters"):
        Reading(tree).read("link")
