"""Invariant 8: one serializer redacts, by the kind of the parsed object."""

from __future__ import annotations

import pytest

from reconciler.objects import mask
from reconciler.objects.keys import LAST_APPLIED

HUNTER = "aHVudGVyMg=="
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"password": HUNTER, "user": "YQ=="}}


@pytest.mark.parametrize("version", ["v1", "/v1", ""])
def test_every_way_to_write_the_core_group_is_a_secret(version):
    assert HUNTER not in str(mask.masked({**SECRET, "apiVersion": version}))
    assert "password" in mask.masked({**SECRET, "apiVersion": "x.io/v1"})["data"]


def test_values_of_a_secret_are_hidden_and_its_keys_are_not():
    shown = mask.masked(SECRET)

    assert list(shown["data"]) == ["password", "user"]
    assert HUNTER not in str(shown)
    assert shown["metadata"] == {"name": "a"}


@pytest.mark.parametrize("field", ["data", "stringData"])
@pytest.mark.parametrize("value", [{"a": HUNTER}, [HUNTER], HUNTER, {"a": {"b": HUNTER}}])
def test_a_secret_of_any_shape_is_hidden(field, value):
    assert HUNTER not in str(mask.masked({**SECRET, "data": {}, field: value}))


@pytest.mark.parametrize(
    "listing",
    [
        {"apiVersion": "v1", "kind": "List", "items": [SECRET]},
        {"apiVersion": "v1", "kind": "SecretList", "items": [{"metadata": {}, "data": {"a": HUNTER}}, HUNTER]},
    ],
    ids=["list", "typed-list"],
)
def test_secrets_in_a_list_are_hidden(listing):
    shown = mask.masked(listing)

    assert HUNTER not in str(shown)
    assert len(shown["items"]) == len(listing["items"])


def test_items_that_are_no_secrets_are_shown():
    listing = {
        "apiVersion": "v1",
        "kind": "List",
        "items": ["odd", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}}],
    }

    assert mask.masked(listing) == listing


def test_the_core_group_may_be_written_as_nothing_before_a_slash():
    """The API server takes `/v1` for `v1`."""
    assert HUNTER not in str(mask.masked({**SECRET, "apiVersion": "/v1"}))


def test_the_last_applied_annotation_is_cut_since_it_repeats_the_values():
    meta = {"name": "a", "annotations": {LAST_APPLIED: HUNTER, "team": "web"}}

    shown = mask.masked({**SECRET, "metadata": meta})

    assert HUNTER not in str(shown)
    assert shown["metadata"] == {"name": "a", "annotations": {"team": "web"}}


def test_a_secret_of_another_group_is_not_a_secret():
    body = {"apiVersion": "example.com/v1", "kind": "Secret", "data": {"a": "b"}}

    assert mask.masked(body) == body


def test_a_mask_changes_nothing_in_place():
    before = {**SECRET, "data": dict(SECRET["data"])}

    mask.masked(SECRET)

    assert before == SECRET


def test_equal_values_hide_as_equal_and_different_ones_as_different():
    assert mask.hidden(HUNTER) == mask.hidden(HUNTER) != mask.hidden("aHVudGVyMw==")
