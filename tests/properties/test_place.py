"""Scope: whatever is rendered, each object gets the one namespace it will live in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import DuplicateObject
from reconciler.model.live import Discovery, Resource
from reconciler.model.manifest import ManifestSet
from reconciler.model.revision import Closure
from reconciler.objects import scope
from tests.properties.strategies import CLUSTER_SCOPED, KINDS, key_sets
from tests.worlds import manifest

DISCOVERY = Discovery(
    {
        kind: (Resource(kind.group, "v1", kind.kind, kind.kind.lower() + "s", kind.kind not in CLUSTER_SCOPED),)
        for kind in KINDS
    }
)


def rendered(keys):
    return ManifestSet(tuple(manifest(key) for key in keys), Closure())


@given(key_sets(), st.randoms())
def test_namespaces_left_out_and_put_where_none_belongs_make_no_difference(keys, random):
    """Cluster-scoped objects lose a namespace, namespaced ones without one get the application's."""
    written = [
        replace(key, namespace=random.choice(("shop", "")))
        if key.kind in CLUSTER_SCOPED or key.namespace == "shop"
        else key
        for key in keys
    ]

    placed = scope.place(rendered(written), DISCOVERY, "shop")

    assert [one.key for one in placed] == keys


@given(key_sets())
def test_placing_twice_is_placing_once(keys):
    placed = scope.place(rendered(keys), DISCOVERY, "shop")

    assert scope.place(placed, DISCOVERY, "another") == placed


@given(key_sets(min_size=1), st.data())
def test_one_identity_twice_is_always_refused_with_both_places(keys, data):
    twin = replace(manifest(data.draw(st.sampled_from(keys)), "b"), origin="other.yaml#2")
    first = rendered(keys)

    with pytest.raises(DuplicateObject, match=rf"in {twin.key.name}\.yaml and in other\.yaml#2"):
        scope.place(replace(first, manifests=(*first.manifests, twin)), DISCOVERY, "shop")
