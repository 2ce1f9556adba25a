"""The task `deliver` comes around while a webhook is set up, whatever was lost, and nothing is kept without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reconciler.clock import ManualClock
from reconciler.notify import Told
from tests.integration.scheduler.test_loop import CLUSTER, LEASE_S, Site, application, make_site
from tests.notices import NOW, failed_topic
from workers.messages import DELIVER, Lane, Mark

ENTRY = Told(failed_topic(), "it broke", ("default/web@eu-1",), NOW, NOW)


def made(valkey: str, folder: Path, *, tells: bool) -> Site:
    folder.mkdir(exist_ok=True)
    (folder / "cluster.yaml").write_text(CLUSTER)
    (folder / "a.yaml").write_text(application("a"))
    return make_site(valkey, folder, ManualClock(), tells=tells)


def begun(site: Site) -> list[str]:
    site.turn()
    site.clock.advance(LEASE_S)
    return site.turn()


def test_notices_come_around_with_a_webhook_and_again_after_redis_was_emptied(valkey: str, tmp_path: Path):
    site = made(valkey, tmp_path / "fleet", tells=True)
    assert "deliver webhook" in begun(site)

    site.store.redis.flushall()
    assert "deliver webhook" in begun(site)


def test_they_come_around_though_the_fleet_can_not_be_read(valkey: str, tmp_path: Path):
    site = made(valkey, tmp_path / "fleet", tells=True)
    for path in site.folder.iterdir():
        path.unlink()
    site.folder.rmdir()

    assert begun(site) == ["deliver webhook"]


def test_a_delivery_that_killed_three_workers_is_not_parked(valkey: str, tmp_path: Path):
    """Somebody has to be told, whatever killed its worker three times."""
    site = made(valkey, tmp_path / "fleet", tells=True)
    begun(site)
    for _ in range(3):
        while not (fences := [one.fence for one in site.sent if one.work == DELIVER]):
            site.clock.advance(LEASE_S / 2)
            site.turn()
        site.store.due.claim(DELIVER, fences[0], LEASE_S)
        site.sent.clear()
        site.clock.advance(LEASE_S + 1)
        site.turn()
    assert site.store.queued.parked() == frozenset()
    assert DELIVER in site.store.queued.states()


def test_without_a_webhook_nothing_comes_around_and_what_was_kept_is_dropped(valkey: str, tmp_path: Path):
    site = made(valkey, tmp_path / "fleet", tells=False)
    site.store.notices.keep({}, {ENTRY.topic.key: ENTRY})
    site.store.due.mark([Mark(DELIVER, Lane.COMMIT, "look")])

    assert "deliver webhook" not in begun(site)
    assert site.store.notices.book() == {}
    assert DELIVER not in site.store.queued.states()


def test_the_book_is_read_as_it_was_written(valkey: str, tmp_path: Path):
    store = made(valkey, tmp_path / "fleet", tells=True).store
    told = replace(ENTRY, due=None, tries=0, told=ENTRY.instances, told_at=NOW)
    other = replace(ENTRY, topic=failed_topic("api"))

    store.notices.keep({}, {"a": ENTRY, "b": other})
    store.notices.keep({"a": ENTRY, "b": other}, {"a": told})

    assert store.notices.book() == {"a": told}
    assert store.notices.waiting() == 0
