from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.model.inventory import Member
from reconciler.model.manifest import GroupKind
from reconciler.objects.keys import HELM_POLICY, PRUNE
from tests.worlds import SINCE, key, live, settled, spec

A, B, C = key("a"), key("b"), key("c")
SPACE = key("shop", "Namespace", "")
WIDGETS = key("widgets.example.com", "CustomResourceDefinition.apiextensions.k8s.io", "")
WIDGET = key("w", "Widget.example.com")
DEFINES = {"spec": {"group": "example.com", "names": {"kind": "Widget"}}}


def pruned(plan):
    return [change.key for change in plan.prune]


def test_a_member_that_is_no_longer_desired_is_stale():
    plan = settled([A, B]).wanting(A).plan()

    assert pruned(plan) == [B]
    assert plan.prune[0].uid == "uid-|ConfigMap|shop|b"


def test_a_stale_member_that_is_gone_is_still_looked_up_by_prune():
    plan = settled([A, B]).wanting(A).without_live(B).plan()

    assert pruned(plan) == [B]
    assert plan.prune[0].uid == ""


@pytest.mark.parametrize(
    "one", [key("undrift.other.app", "Secret", "undrift-system"), key("undrift-system", "Namespace", "")]
)
def test_what_is_among_the_inventories_is_never_pruned(one):
    """An earlier version let a manifest be there; what has the name now may be another application's inventory."""
    plan = settled([A, one]).wanting(A).plan()

    assert pruned(plan) == []
    assert "holds the inventories of all applications" in dict(plan.left_alone)[one]


def test_a_live_object_of_ours_that_is_no_member_is_never_stale():
    plan = settled([A]).with_live((B, live(B))).plan()

    assert plan.is_noop


def test_deletion_goes_from_what_depends_to_what_is_depended_on():
    account, web = key("web", "ServiceAccount"), key("web", "Deployment.apps")

    plan = settled([account, web, A, B]).wanting(A, B).plan()

    assert pruned(plan) == [web, account]


@pytest.mark.parametrize(
    ("world", "instance", "why"),
    [
        (settled([A, B]), spec(prune=False), "sync.prune is false"),
        (replace(settled([A, B]), rebuilt=True), spec(), "its inventory was lost"),
        (
            replace(settled([A, B]), members={A: Member(SINCE), B: Member(SINCE, adopted=True)}),
            spec(),
            "existed before",
        ),
        (settled([A, B]).with_live((B, live(B, created_at=SINCE - timedelta(seconds=1)))), spec(), "existed before"),
        (settled([A, B]).with_live((B, live(B, annotations={PRUNE: "disabled"}))), spec(), f"{PRUNE}: disabled"),
        (settled([A, B]).with_live((B, live(B, annotations={HELM_POLICY: "keep"}))), spec(), f"{HELM_POLICY}: keep"),
        (settled([A, B]).with_live((B, live(B, uid="uid-|ConfigMap|shop|a"))), spec(), "is the same object as"),
    ],
    ids=["prune-off", "rebuilt", "adopted", "older-than-membership", "prune-disabled", "helm-keep", "one-uid"],
)
def test_a_stale_member_is_left_alone_and_the_plan_says_why(world, instance, why):
    plan = world.wanting(A).plan(instance)

    assert plan.prune == ()
    assert [left for left, _ in plan.left_alone] == [B]
    assert why in plan.left_alone[0][1]


def test_a_kind_that_could_not_be_looked_at_is_never_pruned():
    world = settled([A, WIDGET]).wanting(A).without_live(WIDGET)

    plan = replace(world, unseen=frozenset({GroupKind("example.com", "Widget")})).plan()

    assert plan.prune == ()
    assert plan.left_alone == ((WIDGET, "its kind could not be looked at in this pass"),)


def test_a_namespace_stays_while_something_desired_lives_in_it():
    plan = settled([A, SPACE]).wanting(A).plan()

    assert plan.prune == ()
    assert plan.left_alone == ((SPACE, "ConfigMap shop/a stays and lives in it"),)


def test_a_namespace_stays_while_something_that_is_left_alone_lives_in_it():
    world = settled([A, SPACE, key("c", namespace="other")]).with_live((A, live(A, annotations={PRUNE: "disabled"})))

    plan = world.wanting(key("c", namespace="other")).plan()

    assert plan.prune == ()
    assert [left for left, _ in plan.left_alone] == [A, SPACE]


def test_a_namespace_goes_after_everything_in_it():
    other = key("c", namespace="other")

    plan = settled([A, B, SPACE, other]).wanting(other).plan()

    assert pruned(plan) == [B, A, SPACE]


def test_a_definition_stays_while_an_object_of_its_kind_does():
    world = settled([WIDGET, WIDGETS]).with_live((WIDGETS, live(WIDGETS, **DEFINES)))

    plan = world.wanting(WIDGET).plan()

    assert plan.prune == ()
    assert plan.left_alone == ((WIDGETS, "Widget.example.com shop/w stays and is of the kind that it defines"),)


def test_a_definition_goes_after_the_objects_of_its_kind():
    world = settled([A, WIDGET, WIDGETS]).with_live((WIDGETS, live(WIDGETS, **DEFINES)))

    assert pruned(world.wanting(A).plan()) == [WIDGET, WIDGETS]


def test_a_definition_that_is_gone_holds_nothing_back():
    plan = settled([WIDGET, WIDGETS]).wanting(WIDGET).without_live(WIDGETS).plan()

    assert pruned(plan) == [WIDGETS]
