"""Planning, for any instance on a cluster in any state: what may be deleted, and what a person is asked first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from reconciler.errors import EmptyRender
from reconciler.model.plan import Action, Plan
from reconciler.model.record import Order
from reconciler.objects.keys import PRUNE
from reconciler.objects.kinds import PRECIOUS
from tests.properties.strategies import orders, worlds
from tests.worlds import World, spec


def deleted(plan: Plan) -> set[object]:
    return {change.key for change in plan.prune}


def written(plan: Plan) -> dict[object, Action]:
    return {change.key: change.action for wave in plan.waves for change in wave.changes}


@given(worlds(), orders)
def test_only_members_that_are_not_desired_are_ever_deleted(world: World, order: Order):
    plan = world.plan(order=order)

    wanted = {manifest.key for manifest in world.manifests}
    assert deleted(plan) <= set(world.members) - wanted


@given(worlds(), orders)
def test_nothing_is_deleted_on_doubt(world: World, order: Order):
    plan = world.plan(order=order)

    for key in deleted(plan):
        assert key.group_kind not in world.unseen
        assert not world.members[key].adopted
        assert not world.rebuilt
        annotations = (world.live.get(key) or {}).get("metadata", {}).get("annotations", {})
        assert annotations.get(PRUNE) != "disabled"


@given(worlds(), orders)
def test_nothing_that_stays_loses_the_namespace_it_lives_in(world: World, order: Order):
    plan = world.plan(order=order)

    gone = {key.name for key in deleted(plan) if str(key.group_kind) == "Namespace"}
    staying = {manifest.key for manifest in world.manifests} | {key for key, _ in plan.left_alone}
    assert not {key.namespace for key in staying} & gone


@given(worlds(), orders)
def test_prune_off_deletes_nothing(world: World, order: Order):
    assert world.plan(spec(prune=False), order).prune == ()


@given(worlds(), orders)
def test_an_empty_render_deletes_nothing(world: World, order: Order):
    assume(world.members)

    try:
        replace(world, manifests=()).plan(order=order)
    except EmptyRender:
        return
    raise AssertionError("an empty render was planned while objects are owned")


@given(worlds(), orders)
def test_every_stale_member_is_either_deleted_or_named_with_a_reason(world: World, order: Order):
    plan = world.plan(order=order)

    stale = set(world.members) - {manifest.key for manifest in world.manifests}
    left = {key for key, _ in plan.left_alone}
    assert deleted(plan) | left == stale
    assert not deleted(plan) & left
    assert all(why for _, why in plan.left_alone)


@given(worlds(), orders)
def test_every_desired_object_has_exactly_one_fate(world: World, order: Order):
    plan = world.plan(order=order)

    fates = [*plan.kept, *written(plan), *plan.contested, *(change.key for change in plan.reported)]
    assert sorted(fates) == sorted(manifest.key for manifest in world.manifests)


@given(worlds(), orders)
def test_an_object_that_is_no_member_is_never_forced(world: World, order: Order):
    """Create may only create; what exists then is first contact, which nothing forces."""
    actions = written(world.plan(order=order))

    for manifest in world.manifests:
        if manifest.key not in world.members:
            assert actions[manifest.key] is Action.CREATE


@given(worlds(), orders)
def test_a_plan_that_is_not_held_is_within_every_limit(world: World, order: Order):
    plan = world.plan(order=order)
    assume(not plan.holds)

    doomed = [change.key for change in plan.prune if change.uid]
    existing = [key for key in world.members if key in world.live or key.group_kind in world.unseen]
    assert not {key.group_kind for key in doomed} & PRECIOUS
    assert not doomed or len(doomed) < len(existing)
    assert len(doomed) < 3 or len(doomed) <= 0.3 * len(existing)
    assert len(doomed) <= 50


@given(worlds(), orders)
def test_approving_an_id_lets_exactly_that_plan_through(world: World, order: Order):
    held = world.plan(order=order)

    approved = world.plan(order=replace(order, approved_plan=held.id))

    assert approved == replace(held, holds=())


@given(worlds(), worlds(), orders)
def test_an_approval_never_lets_another_plan_through(world: World, other: World, order: Order):
    held, asked = world.plan(order=order), other.plan(order=order)

    later = other.plan(order=replace(order, approved_plan=held.id))

    if held.id == asked.id:
        assert {(change.key, change.uid) for change in held.prune} == {(c.key, c.uid) for c in asked.prune}
    else:
        assert later == asked


@given(worlds(), orders, st.data())
def test_only_what_was_approved_is_adopted(world: World, order: Order, data: st.DataObject):
    plan = world.plan(order=order)
    creates = [key for key, action in written(plan).items() if action is Action.CREATE]
    assume(creates)
    found = data.draw(st.lists(st.sampled_from(creates), unique=True, min_size=1))

    asked = world.met(plan, found, approved=None)
    approved = world.met(plan, found, approved=asked.id)

    assert written(asked) == {}
    assert asked.holds
    assert written(approved) == dict.fromkeys(found, Action.ADOPT)
    assert asked.id != plan.id


@given(worlds(), orders, st.randoms())
def test_the_order_in_which_a_render_gives_its_objects_is_of_no_account(world: World, order: Order, random):
    shuffled = list(world.manifests)
    random.shuffle(shuffled)

    one, other = world.plan(order=order), replace(world, manifests=tuple(shuffled)).plan(order=order)

    assert (one.id, one.waves, one.prune, one.holds) == (other.id, other.waves, other.prune, other.holds)


@given(worlds())
def test_a_full_pass_without_a_person_heals_no_drift_that_is_only_reported(world: World):
    plain = world.plan(spec(drift="Report"))
    full = world.plan(spec(drift="Report"), Order(reasons=("periodic",), full=True))

    assert full.reported == plain.reported
