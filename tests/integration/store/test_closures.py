"""Which instances read where, when a whole fleet is noted at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from reconciler.model.instance import InstanceKey
from workers.store import Store

URL = "https://git.example.com/apps.git"
FLEET = {
    InstanceKey("default", name, f"eu-{n}"): {name, "shared"} for name in ("web", "api") for n in range(1100)
}  # more than one command takes


@pytest.fixture
def store(store: Store) -> Store:
    """All of the fleet is open."""
    store.closures.reopen_all(URL, dict.fromkeys(FLEET, ""))
    return store


def noted(store: Store) -> Iterator[list[object]]:
    """The commands that note all of the fleet, each with its words."""
    results = store.results()
    results.closures.know_all(URL, FLEET)
    words = iter(results.commands())
    for count in words:
        yield list(islice(words, count))


def test_a_fleet_is_noted_in_few_commands_of_a_thousand_instances(store: Store) -> None:
    commands = list(noted(store))

    assert len(commands) == 2 + 2 + 3 + 3, "two folders of 1,100, one of 2,200, and 2,200 that are open no more"
    assert max(map(len, commands)) <= 1002


def test_a_look_that_is_cut_short_leaves_open_what_it_did_not_note(store: Store) -> None:
    """What is neither open nor a reader everywhere would miss a commit, until the next look at the whole."""
    for words in noted(store):
        store.redis.execute_command(*words)

        closed = FLEET.keys() - store.closures.open(URL).keys()
        for folder in ("web", "api", "shared"):
            assert {key for key in closed if folder in FLEET[key]} <= store.closures.reading(URL, [folder])

    assert closed == FLEET.keys()
