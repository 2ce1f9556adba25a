"""Which instances read where, when a whole fleet is noted at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import Ref
from tests import worlds
from workers.store import Store, closures
from workers.store.keys import PREFIX

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

    what = "two folders of 1,100, one of 2,200, when each of the three ends, and 2,200 that are open no more"
    assert len(commands) == 2 + 2 + 3 + 3 + 3, what
    assert max(map(len, commands)) <= 1002


def test_a_look_that_is_cut_short_leaves_open_what_it_did_not_note(store: Store) -> None:
    """What is neither open nor a reader everywhere would miss a commit, until the next look at the whole."""
    for words in noted(store):
        store.redis.execute_command(*words)

        closed = FLEET.keys() - store.closures.open(URL).keys()
        for folder in ("web", "api", "shared"):
            assert {key for key in closed if folder in FLEET[key]} <= store.closures.reading(URL, [folder])

    assert closed == FLEET.keys()


def test_what_nobody_notes_any_more_ends_by_itself(store: Store) -> None:
    """Long after the next look at the whole, which notes all that is still read."""
    store.closures.know_all(URL, FLEET)

    left_s = [store.redis.ttl(name) for name in store.redis.keys(f"{PREFIX}readers:*")]
    assert len(left_s) == 3
    assert all(2 * closures.WHOLE_FOR_S < one <= closures.READERS_FOR_S for one in left_s)


def test_the_heads_of_a_repository_that_left_the_fleet_are_dropped(store: Store) -> None:
    spec, main = worlds.spec(), Ref(branch="main")
    url, repo = spec.source.repo.subject, spec.source.repo
    store.fleet.publish({spec.key: spec}, {}, {url: repo})
    store.closures.advance(url, {main: "a" * 40})
    store.closures.advance("https://git.example.com/gone.git", {main: "b" * 40})

    store.fleet.publish({spec.key: spec}, {}, {url: repo})
    assert store.closures.heads_of(url) == {main: "a" * 40}
    assert len(store.closures.heads()) == 1

    store.fleet.publish({}, {}, {})
    assert store.closures.heads() == {}
