"""`undrift.resync`: what it makes due, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from workers import tasks
from workers.asking import MANY, BadRequest, request
from workers.messages import Lane
from workers.store import Store


def due(store: Store) -> dict[str, Lane]:
    """What is due, and in which lane."""
    return {grant.work.subject: grant.lane for grant in store.due.grant(100, 5.0)}


@pytest.mark.parametrize(
    ("arguments", "subjects"),
    [
        ({"instance": "web@eu-1"}, {"default/web@eu-1"}),
        ({"instance": "default/web@us-1"}, {"default/web@us-1"}),
        ({"application": "web"}, {"default/web@eu-1", "default/web@us-1"}),
        ({"application": "default/api"}, {"default/api@eu-1"}),
        ({"selector": "env=prod"}, {"default/web@eu-1", "default/api@eu-1"}),
    ],
    ids=lambda value: " ".join(f"{key}={word}" for key, word in value.items()) if isinstance(value, dict) else "",
)
def test_a_resync_makes_due_what_it_names_in_the_operators_lane(
    store: Store, arguments: dict[str, str], subjects: set[str]
):
    tasks.resync.run(**arguments, reason="checking")

    assert due(store) == dict.fromkeys(subjects, Lane.OPERATOR)


def test_a_resync_tells_its_reason_and_is_an_operators(store: Store):
    tasks.resync.run(instance="web@eu-1", reason="after the outage", full=True)

    (grant,) = store.due.grant(10, 5.0)
    assert grant.reasons == ("after the outage",)
    assert grant.by_operator
    assert grant.full


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "exactly one of application, instance and selector"),
        ({"application": "web", "instance": "web@eu-1"}, "exactly one of"),
        ({"application": ""}, "exactly one of"),
        ({"application": ["web"]}, "exactly one of .* as a text"),
        ({"application": "wbe"}, "nothing in the fleet is meant by 'wbe'"),
        ({"application": "other/web"}, "nothing in the fleet"),
        ({"instance": "web@mars"}, "nothing in the fleet"),
        ({"instance": "web"}, "web"),
        ({"selector": ""}, "exactly one of"),
        ({"selector": "env"}, "expected key=value"),
        ({"selector": "env=none"}, "nothing in the fleet"),
        ({"application": "web", "reason": "x" * 201}, "at most 200"),
        ({"application": "web", "reason": "\x1b[2J"}, "one line"),
        ({"application": "web", "reason": 5}, "reason as one line"),
        ({"application": "web", "full": "yes"}, "full as true or false, found 'yes'"),
        ({"application": "web", "force": True}, "unknown arguments force; expected application"),
    ],
    ids=str,
)
def test_a_resync_that_is_not_clear_is_refused_and_makes_nothing_due(
    store: Store, arguments: dict[str, Any], says: str
):
    with pytest.raises((BadRequest, ValueError), match=says):
        tasks.resync.run(**arguments)

    assert due(store) == {}


def test_many_at_once_do_not_overtake_everybodys_commits(store: Store):
    keys = list(store.specs.instance_keys())

    request(store, keys * (MANY // len(keys) + 1), "all of it")

    assert set(due(store).values()) == {Lane.PERIODIC}
