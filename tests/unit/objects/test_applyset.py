"""The id of an ApplySet is a promise to other tools: kubectl computes the same one."""

from __future__ import annotations

import re

from reconciler.model.instance import InstanceKey
from reconciler.objects.applyset import applyset_id, part_of


def test_the_id_is_the_one_that_kubernetes_documents():
    """The example of the well-known labels page; kubectl's own tests give it to the Secret `my-set` in `test`."""
    assert applyset_id("my-set", "test") == "applyset-0eFHV8ySqp7XoShsGvyWFQD3s96yqwHmzc4e0HR1dsY-v1"


def test_the_id_is_a_legal_label_value():
    value = applyset_id("undrift.default.shop", "undrift-system")

    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", value)
    assert len(value) == 55


def test_kind_group_name_and_namespace_make_different_sets():
    ids = {
        applyset_id("a", "b"),
        applyset_id("b", "a"),
        applyset_id("a", "b", "ConfigMap"),
        applyset_id("a", "b", "Secret", "example.com"),
    }

    assert len(ids) == 4


def test_an_instance_has_one_set_on_every_cluster_it_is_on():
    one, other = InstanceKey("default", "shop", "eu-1"), InstanceKey("default", "shop", "us-1")

    assert part_of(one) == part_of(other) == applyset_id("undrift.default.shop", "undrift-system")
