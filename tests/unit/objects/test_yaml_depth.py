"""Nesting is limited before PyYAML's C composer sees it: that one recurses until the process dies."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidManifest
from reconciler.objects import yaml

DEEP = {
    "brackets": "[" * 50_000 + "]" * 50_000,
    "braces": "{a: " * 50_000,
    "dashes": "- " * 50_000 + "x",
    "indentation": "\n".join(" " * level + "a:" for level in range(1_000)),
    "questions": "? " * 50_000 + "x",
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
@pytest.mark.parametrize("form", [str, str.encode], ids=["str", "bytes"])
def test_a_text_that_nests_too_deeply_is_refused(text, form):
    with pytest.raises(InvalidManifest, match=r"f: line \d+: nested more than 200 levels deep"):
        yaml.load_all(form(text), "f")


def test_aliases_may_not_add_up_to_a_depth_that_one_document_could_not_have():
    text = f"a: &a {'[' * 150}{']' * 150}\nb: {'[' * 150}*a{']' * 150}\n"

    with pytest.raises(InvalidManifest, match="nested more than 200 levels deep"):
        yaml.load_all(text, "f")


def test_what_real_objects_need_is_far_below_the_limit():
    text = "{a: " * 150 + "1" + "}" * 150

    assert len(yaml.load_all(text, "f")) == 1


def test_a_syntax_error_in_a_text_that_may_be_deep_is_told_as_such():
    with pytest.raises(InvalidManifest, match=r"line 1: did not find expected"):
        yaml.load_all("[" * 150 + "}", "f")
