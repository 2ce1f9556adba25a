"""Globs of a plain folder mean what a regular expression says of them, in time that no pattern can stretch."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.errors import RenderLimit
from reconciler.model.spec import DirectoryOptions
from reconciler.render import semver
from reconciler.render.directory import Globs

MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@given(
    st.text(alphabet="ab/", max_size=8), st.lists(st.sampled_from(["**/", "**", "*", "?", "a", "b", "/"]), max_size=6)
)
@example("a/b/c", ["**/", "*"])
def test_a_glob_means_what_its_expression_says(path: str, parts: list[str]):
    pattern = "".join(parts)
    tokens = [token for token in re.split(r"(\*\*/|\*\*|\*|\?)", pattern) if token]
    expression = re.compile("".join(MEANING.get(token) or re.escape(token) for token in tokens) + r"\Z", re.DOTALL)

    included = Globs(DirectoryOptions(recurse=True, include=(pattern,))).let_in(path)

    assert included == (expression.match(path) is not None)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("pattern", "path"),
    [("**/" * 8 + "zz", "/".join("a" * 60)), ("*a" * 12 + "zz", "a" * 100), ("**a" * 40 + "zz", "a" * 4000)],
    ids=["folders", "stars", "both"],
)
def test_no_glob_takes_for_ever(pattern: str, path: str):
    assert not Globs(DirectoryOptions(recurse=True, include=(pattern,))).let_in(path)


@pytest.mark.timeout(60)
def test_the_globs_of_a_folder_have_a_bound_over_all_of_its_files():
    """Before, one glob took minutes for the 20,000 files of a hostile folder, outside of every limit of the render."""
    globs, path = Globs(DirectoryOptions(recurse=True, include=("**" + "*a**" * 5 + "zz",))), "a" * 4000

    with pytest.raises(RenderLimit, match=r"^a{80}: render\.directory\.include and exclude take more than 50 million"):
        any(globs.let_in(path) for _ in range(20_000))


def test_usual_globs_of_a_large_folder_are_far_from_the_bound():
    globs = Globs(DirectoryOptions(exclude=("**/test/**", "**/*.test.yaml", "docs/**", "*.json", "**/values*.yaml")))

    assert all(globs.let_in(f"clusters/eu-{one % 100}/apps/web-{one}/deployment.yaml") for one in range(20_000))


@pytest.mark.timeout(10)
def test_no_constraint_of_a_chart_takes_for_ever():
    assert not semver.matches("v1.31.2", "1" * 5_000_000 + "x")
