"""Invariant 14: an instance changes only what its project lists."""

from __future__ import annotations

import pytest

from reconciler.errors import NotAllowed
from tests.worlds import World, key, spec

CONFIG, ROLE = key("a"), key("reader", "ClusterRole.rbac.authorization.k8s.io", "")
ANY = ({"group": "*", "kind": "*"},)
ALL = {"namespaces": ("*",), "clusterKinds": ANY, "namespacedKinds": ANY}


def planned(rules, *keys):
    return World().wanting(*keys).plan(spec(rules=rules))


def test_a_project_that_is_not_defined_allows_all():
    assert not planned(None, CONFIG, ROLE).is_noop


@pytest.mark.parametrize(
    "rules",
    [
        ALL,
        {"namespaces": ("shop",), "clusterKinds": ANY, "namespacedKinds": ({"group": "", "kind": "ConfigMap"},)},
        {**ALL, "clusterKinds": ({"group": "rbac.authorization.k8s.io", "kind": "*"},)},
    ],
    ids=["everything", "by-name", "by-group"],
)
def test_what_a_project_lists_is_allowed(rules):
    assert not planned(rules, CONFIG, ROLE).is_noop


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ({}, "ConfigMap shop/a .*: project default lists no namespace shop"),
        ({**ALL, "namespaces": ("other",)}, "lists no namespace shop"),
        ({**ALL, "namespacedKinds": ({"group": "apps", "kind": "ConfigMap"},)}, "lists no kind ConfigMap"),
        ({**ALL, "namespacedKinds": ({"group": "", "kind": "Secret"},)}, "lists no kind ConfigMap"),
        ({**ALL, "clusterKinds": ()}, "lists no cluster-scoped kind ClusterRole.rbac.authorization.k8s.io"),
    ],
    ids=["nothing", "namespace", "group", "kind", "cluster-kind"],
)
def test_what_a_project_does_not_list_is_refused(rules, why):
    with pytest.raises(NotAllowed, match=why):
        planned(rules, CONFIG, ROLE)


@pytest.mark.parametrize(
    ("rules", "one"),
    [
        (None, key("undrift.other.app", "Secret", "undrift-system")),
        (ALL, key("undrift.other.app", "Secret", "undrift-system")),
        (ALL, key("harmless", "ConfigMap", "undrift-system")),
        (None, key("undrift-system", "Namespace", "")),
    ],
    ids=["no-project", "all-allowed", "another-kind", "the-namespace"],
)
def test_no_project_allows_what_is_among_the_inventories(rules, one):
    """Who writes there decides what is pruned, restored and fenced for everybody."""
    with pytest.raises(NotAllowed, match=r"undrift-system holds the inventories of all applications"):
        planned(rules, one)


def test_a_project_that_refuses_the_application_lets_nothing_be_written():
    """The fleet's loader says so when the project no longer lists the repository or the cluster."""
    with pytest.raises(
        NotAllowed, match=r"project shop does not list https://git\.example\.com/a\.git; what runs stays"
    ):
        planned({**ALL, "refusal": "project shop does not list https://git.example.com/a.git"}, CONFIG)
