"""Places at Git hosts, on a real Valkey: bounded, handed on, and not lost with who held them."""

from __future__ import annotations

import threading

import pytest

from reconciler.clock import ManualClock
from reconciler.errors import GitCrowded
from workers.store import Store
from workers.store import visits as places
from workers.store.visits import Visits

URL = "https://git.example.com/apps.git"


@pytest.fixture
def visits(store: Store, clock: ManualClock) -> Visits:
    return Visits(store.redis, store.prefix, clock, most=2)


def test_only_so_many_are_at_one_host_and_others_do_not_count(
    visits: Visits, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(places, "LONGEST_WAIT_S", 0.0)

    with visits.to(URL), visits.to(URL.replace("apps", "web")):
        with pytest.raises(GitCrowded, match=r"git\.example\.com: 2 fetches"), visits.to(URL):
            pass
        with visits.to("https://other.example.com/apps.git"), visits.to("file:///srv/apps.git"):
            pass
    with visits.to(URL), visits.to(URL):
        pass


def test_who_waits_goes_on_as_soon_as_a_place_is_free(visits: Visits):
    came, holding = threading.Event(), [visits.to(URL), visits.to(URL)]
    for one in holding:
        one.__enter__()

    def fetch() -> None:
        with visits.to(URL):
            came.set()

    waiting = threading.Thread(target=fetch)
    waiting.start()
    assert not came.wait(0.2)
    holding[0].__exit__(None, None, None)

    assert came.wait(places.LOOK_AGAIN_S / 2), "told, and not found by looking again"
    waiting.join()
    holding[1].__exit__(None, None, None)


def test_a_place_that_its_holder_died_with_runs_out(
    visits: Visits, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(places, "LONGEST_WAIT_S", 0.0)
    dead = [visits.to(URL) for _ in range(2)]  # held, or the collector would end them
    for one in dead:
        one.__enter__()
    with pytest.raises(GitCrowded), visits.to(URL):
        pass

    clock.advance(places.HELD_S + 1)

    with visits.to(URL), visits.to(URL):
        pass


def test_a_fetch_that_fails_leaves_its_place(visits: Visits, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(places, "LONGEST_WAIT_S", 0.0)
    for _ in range(3):
        with pytest.raises(ValueError, match="no"), visits.to(URL):
            raise ValueError("no")
