from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.errors import EmptyRender
from reconciler.model.inventory import Inventory, Member
from reconciler.model.live import Observation
from reconciler.model.manifest import GroupKind
from reconciler.model.plan import Action, Cause
from reconciler.model.record import Heals, Order
from reconciler.plan import make_plan
from tests.worlds import KEY, NOW, ORDER, SINCE, World, desired, drifted, key, live, manifest, settled, spec

A, B = key("a"), key("b")
FULL = Order(reasons=("periodic",), full=True)
FULL_BY_OPERATOR = Order(reasons=("operator",), full=True, by_operator=True)
WAITS = Heals(at=(NOW,) * 3, waits=1, until=NOW + timedelta(seconds=2))


def written(plan):
    return {change.key: (change.action, change.cause) for wave in plan.waves for change in wave.changes}


def test_an_intact_object_is_kept_without_a_request():
    plan = settled([A, B]).plan()

    assert plan.is_noop
    assert plan.kept == (A, B)


def test_an_object_that_is_no_member_may_only_be_created():
    plan = World().wanting(A).plan()

    assert written(plan) == {A: (Action.CREATE, Cause.NEW)}


def test_an_object_that_is_no_member_is_only_created_even_when_it_is_live_and_everything_is_asked_for():
    world = World().wanting(A).with_live((A, live(A)))

    assert written(world.plan(order=FULL_BY_OPERATOR)) == {A: (Action.CREATE, Cause.NEW)}


def test_a_member_that_was_never_proven_nor_seen_may_only_be_created():
    """The inventory names an object before its first write; one that was held at first contact is not ours by that."""
    world = replace(World().wanting(A), members={A: Member(SINCE)})

    assert written(world.plan()) == {A: (Action.CREATE, Cause.NEW)}


def test_a_member_without_proof_that_our_own_apply_labelled_is_applied():
    world = settled([A]).without_proofs()

    assert written(world.plan()) == {A: (Action.APPLY, Cause.UNPROVEN)}


def test_a_member_of_an_inventory_that_was_never_applied_is_applied_when_it_is_ours():
    world = settled([A])
    inventory = Inventory("installation", members=world.members)

    plan = make_plan(
        desired(*world.manifests), inventory, Observation(NOW, world.live), spec=spec(), order=ORDER, heals={}, now=NOW
    )

    assert written(plan) == {A: (Action.APPLY, Cause.UNPROVEN)}


def test_a_member_without_proof_whose_label_was_copied_by_a_controller_may_only_be_created():
    world = settled([A]).without_proofs().with_live((A, live(A, manager="kube-controller-manager")))

    assert written(world.plan()) == {A: (Action.CREATE, Cause.NEW)}


def test_a_changed_manifest_is_applied():
    plan = settled([A, B]).wanting(A, B, value="b").plan()

    assert written(plan) == {A: (Action.APPLY, Cause.CHANGED), B: (Action.APPLY, Cause.CHANGED)}


def test_a_change_knows_the_uid_of_the_live_object():
    plan = settled([A]).wanting(A, value="b").plan()

    assert next(plan.changes).uid == "uid-|ConfigMap|shop|a"


def test_a_proven_object_that_is_gone_is_applied_again():
    plan = settled([A, B]).without_live(A).plan()

    assert written(plan) == {A: (Action.APPLY, Cause.GONE)}


def test_a_proven_object_with_another_fingerprint_is_healed():
    plan = settled([A, B]).with_live((A, drifted(A))).plan()

    assert written(plan) == {A: (Action.APPLY, Cause.DRIFT)}


def test_a_recreated_object_is_healed():
    plan = settled([A]).with_live((A, live(A, uid="another"))).plan()

    assert written(plan) == {A: (Action.APPLY, Cause.DRIFT)}


def test_absence_of_a_kind_that_could_not_be_looked_at_is_no_drift():
    world = replace(settled([A]).without_live(A), unseen=frozenset({GroupKind("", "ConfigMap")}))

    assert written(world.plan()) == {A: (Action.APPLY, Cause.UNPROVEN)}


def test_a_full_pass_applies_everything_and_still_names_drift():
    world = settled([A, B]).with_live((A, drifted(A)))

    assert written(world.plan(order=FULL)) == {A: (Action.APPLY, Cause.DRIFT), B: (Action.APPLY, Cause.FULL)}


def test_a_full_pass_applies_what_could_not_be_looked_at():
    world = replace(settled([A]).without_live(A), unseen=frozenset({GroupKind("", "ConfigMap")}))

    assert written(world.plan(order=FULL)) == {A: (Action.APPLY, Cause.FULL)}


@pytest.mark.parametrize("action", ["Report", "Ignore"])
@pytest.mark.parametrize("order", [ORDER, FULL], ids=["plain", "full"])
def test_drift_is_not_healed_where_the_policy_says_so(action, order):
    world = settled([A, B]).with_live((A, drifted(A))).without_live(B)

    plan = world.plan(spec(drift=action), order)

    assert written(plan) == {}
    assert {change.key: change.cause for change in plan.reported} == {A: Cause.DRIFT, B: Cause.GONE}


def test_a_full_pass_that_a_person_asked_for_heals_whatever_the_policy_says():
    world = settled([A]).with_live((A, drifted(A)))

    assert written(world.plan(spec(drift="Report"), FULL_BY_OPERATOR)) == {A: (Action.APPLY, Cause.DRIFT)}


def test_a_changed_manifest_is_applied_though_drift_is_only_reported():
    world = settled([A]).wanting(A, value="b").with_live((A, drifted(A)))

    assert written(world.plan(spec(drift="Report"))) == {A: (Action.APPLY, Cause.CHANGED)}


def test_a_contested_object_waits():
    world = replace(settled([A, B]).with_live((A, drifted(A)), (B, drifted(B))), heals={A: WAITS})

    plan = world.plan()

    assert plan.contested == (A,)
    assert written(plan) == {B: (Action.APPLY, Cause.DRIFT)}


def test_a_contested_object_is_healed_when_a_person_asks_for_everything():
    world = replace(settled([A]).with_live((A, drifted(A))), heals={A: WAITS})

    assert written(world.plan(order=FULL_BY_OPERATOR)) == {A: (Action.APPLY, Cause.DRIFT)}


def test_an_intact_object_is_not_contested():
    plan = replace(settled([A]), heals={A: WAITS}).plan()

    assert plan.contested == ()
    assert plan.is_noop


def test_an_empty_render_is_not_nothing_desired():
    with pytest.raises(EmptyRender, match=r"shop@eu-1: the render is empty, while 2 objects are owned") as caught:
        settled([A, B]).wanting().plan()

    assert caught.value.subject == KEY


def test_an_empty_render_of_an_instance_that_owns_nothing_is_a_plan_of_nothing():
    assert World().plan().is_noop


def test_a_kept_object_keeps_through_another_api_version():
    """v1beta1 and v1 of one name are one object: nothing is stale, the manifest has changed."""
    world = settled([A])
    other = replace(manifest(A), body={**manifest(A).body, "apiVersion": "v1beta1"})

    plan = replace(world, manifests=(other,)).plan()

    assert written(plan) == {A: (Action.APPLY, Cause.CHANGED)}
    assert plan.prune == ()
