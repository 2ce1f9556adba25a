from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.model.manifest import GroupKind
from reconciler.model.record import Order
from reconciler.model.rules import Guards, KindRule, ProjectRules
from reconciler.objects.kinds import PRECIOUS
from tests.worlds import key, settled, spec

MANY = [key(f"m{number:03}") for number in range(200)]


def after_removing(removed: int, of: int):
    """The world of `of` objects in which the last `removed` are no longer desired."""
    return settled(MANY[:of]).wanting(*MANY[: of - removed])


def reasons(plan):
    return [hold.reason for hold in plan.holds]


@pytest.mark.parametrize(
    ("removed", "of", "expected"),
    [
        (1, 2, []),
        (2, 3, []),
        (3, 10, []),
        (3, 9, ["TooManyDeletions"]),
        (4, 10, ["TooManyDeletions"]),
        (50, 200, []),
        (51, 200, ["TooManyDeletions"]),
    ],
)
def test_a_plan_is_held_by_the_share_and_the_number_of_its_deletions(removed, of, expected):
    assert reasons(after_removing(removed, of).plan()) == expected


def guarded(**guards):
    return spec(rules=ProjectRules(namespaces=("*",), namespaced_kinds=(KindRule(),), guards=Guards(**guards)))


@pytest.mark.parametrize(
    ("guards", "removed", "expected"),
    [
        ({"max_deletions": 5}, 5, []),
        ({"max_deletions": 5}, 6, ["TooManyDeletions"]),
        ({"max_deletions": 0}, 1, ["TooManyDeletions"]),
        ({"max_deletion_percent": 5}, 5, []),
        ({"max_deletion_percent": 5}, 6, ["TooManyDeletions"]),
        ({"protected_kinds": (KindRule(group="", kind="ConfigMap"),)}, 1, ["ProtectedKind"]),
        ({"protected_kinds": (KindRule(group="apps"),)}, 1, []),
    ],
)
def test_a_project_may_tighten_the_brakes(guards, removed, expected):
    assert reasons(after_removing(removed, 100).plan(of=guarded(**guards))) == expected


@pytest.mark.parametrize("looser", [{"max_deletions": 51}, {"max_deletion_percent": 31}, {"max_leaving_per_hour": 11}])
def test_a_project_can_not_loosen_them(looser):
    with pytest.raises(ValueError, match="less than or equal"):
        Guards(**looser)


def test_deleting_every_object_is_held_though_new_ones_come():
    plan = settled(MANY[:1]).wanting(MANY[1]).plan()

    assert reasons(plan) == ["DeletesEverything"]


def test_what_is_gone_already_does_not_count_as_a_deletion():
    world = after_removing(5, 10)

    assert reasons(world.without_live(*MANY[5:8]).plan()) == []


def test_the_share_is_one_of_what_still_exists():
    """Ten objects of a hundred are left after an accident; deleting four of these is not 4 %."""
    world = settled(MANY[:100]).wanting(*MANY[:96]).without_live(*MANY[:90])

    assert reasons(world.plan()) == ["TooManyDeletions"]


def test_what_could_not_be_looked_at_counts_as_existing():
    widgets = [key(f"w{number}", "Widget.example.com") for number in range(10)]
    world = settled([*MANY[:10], *widgets]).wanting(*MANY[:6], *widgets).without_live(*widgets)

    assert reasons(replace(world, unseen=frozenset({GroupKind("example.com", "Widget")})).plan()) == []


def test_the_last_existing_object_is_everything():
    world = settled(MANY[:2]).wanting(MANY[0]).without_live(MANY[0])

    assert reasons(world.plan()) == ["DeletesEverything"]


@pytest.mark.parametrize("kind", sorted(PRECIOUS), ids=str)
def test_a_single_object_of_a_protected_kind_is_held(kind: GroupKind):
    precious = key("precious", str(kind), "")

    plan = settled([*MANY[:20], precious]).wanting(*MANY[:20]).plan()

    assert reasons(plan) == ["ProtectedKind"]
    assert plan.holds[0].subjects == (precious,)


def test_a_plan_may_be_held_for_several_reasons():
    plan = settled([key("a", "StatefulSet.apps"), MANY[0]]).wanting(MANY[1]).plan()

    assert reasons(plan) == ["ProtectedKind", "DeletesEverything"]


def test_a_hold_says_what_and_which_and_why_and_what_next():
    plan = after_removing(4, 10).plan()

    assert plan.holds[0].message == (
        f"plan {plan.id} deletes 4 of 10 objects, more than 30 % (ConfigMap shop/m009, ConfigMap shop/m008, "
        "ConfigMap shop/m007 and 1 more): held, nothing was deleted. `undrift app plan shop@eu-1` shows the list, "
        f"`undrift app approve shop@eu-1 --plan {plan.id}` lets exactly it through"
    )


def test_approving_a_plan_lets_it_through():
    world = after_removing(4, 10)
    held = world.plan()

    approved = world.plan(order=Order(reasons=("operator",), approved_plan=held.id))

    assert approved.holds == ()
    assert approved.prune == held.prune


def test_approving_a_plan_lets_no_other_one_through():
    held = after_removing(4, 10).plan()

    other = after_removing(5, 10).plan(order=Order(reasons=("operator",), approved_plan=held.id))

    assert reasons(other) == ["TooManyDeletions"]


def test_an_object_made_anew_is_another_plan():
    """An approval names the very objects: one recreated since under the same name was not meant."""
    world = after_removing(4, 10)
    body = {**world.live[MANY[9]], "metadata": {**world.live[MANY[9]]["metadata"], "uid": "another"}}

    assert world.with_live((MANY[9], body)).plan().id != world.plan().id


def test_first_contact_adds_a_hold_that_asks_for_the_new_id():
    world = settled(MANY[:10]).wanting(*MANY[:6], MANY[20])
    plan = world.plan()

    found = world.met(plan, [MANY[20]], approved=None)

    assert reasons(found) == ["TooManyDeletions", "FirstContact"]
    assert found.id != plan.id
    assert all(f"--plan {found.id}" in hold.message and plan.id not in hold.message for hold in found.holds)
    assert found.waves == ()
    assert found.holds[1].subjects == (MANY[20],)


def test_approved_first_contact_is_adopted_and_nothing_else_is_written_again():
    world = settled(MANY[:10]).wanting(*MANY[:6], MANY[20], MANY[21])
    plan = world.plan()
    asked = world.met(plan, [MANY[20]], approved=None)

    approved = world.met(plan, [MANY[20]], approved=asked.id)

    changes = [change for wave in approved.waves for change in wave.changes]
    assert [(change.key, str(change.action)) for change in changes] == [(MANY[20], "Adopt")]
    assert approved.holds == ()
    assert approved.prune == plan.prune


def test_an_approval_of_the_deletions_does_not_adopt():
    world = settled(MANY[:10]).wanting(*MANY[:6], MANY[20])
    plan = world.plan()

    found = world.met(plan, [MANY[20]], approved=plan.id)

    assert found.waves == ()
    assert "FirstContact" in reasons(found)
