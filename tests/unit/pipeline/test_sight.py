"""Marks: what a scan compares instead of judging."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.cluster import Survey
from reconciler.model.instance import InstanceKey
from reconciler.objects.keys import PART_OF
from reconciler.pipeline import sight
from reconciler.pipeline.sight import Proven
from tests.worlds import NOW, PART_OF_US, key, live


def marks(**meta: Any) -> bytes:
    one = live(key("one"))
    one["metadata"] |= {"resourceVersion": "7"} | meta
    return sight._marks_of_seen(Survey(NOW, {key("one"): one}), {"kubeVersion": "v1.37.2"})[PART_OF_US]


@pytest.mark.parametrize("meta", [{"resourceVersion": "8"}, {"uid": "another"}])
def test_an_object_that_is_another_has_another_mark(meta: dict[str, str]) -> None:
    assert marks() == marks()
    assert marks(**meta) != marks()


def test_what_has_no_version_has_no_mark() -> None:
    assert marks(resourceVersion="") == b""


def test_an_object_without_the_label_is_nobodys() -> None:
    one = live(key("one"))
    del one["metadata"]["labels"][PART_OF]

    assert PART_OF_US not in sight._marks_of_seen(Survey(NOW, {key("one"): one}), {})


def test_a_mark_is_by_all_that_is_known() -> None:
    parent = {"metadata": {"annotations": {"undrift.dev/fence": "7"}}, "data": {"inventory": "abc"}}
    other = {"metadata": {"annotations": {"undrift.dev/fence": "8"}}, "data": {"inventory": "abc"}}
    whole = sight._mark_of_known([1, "us"], b"spec memory", parent)

    assert whole == sight._mark_of_known([1, "us"], b"spec memory", dict(parent))
    assert whole != sight._mark_of_known([1, "us"], b"spec other", parent)
    assert whole != sight._mark_of_known([2, "us"], b"spec memory", parent)
    assert whole != sight._mark_of_known([1, "us"], b"spec memory", other)
    assert whole != sight._mark_of_known([1, "us"], b"spec memory", {**parent, "data": {"inventory": "abd"}})


def test_some_are_left_out() -> None:
    one, two = InstanceKey("default", "one", "eu-1"), InstanceKey("default", "two", "eu-1")

    assert Proven({one: b"1", two: b"2"}).without({one}) == Proven({two: b"2"})
