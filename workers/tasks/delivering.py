"""The task `deliver`: compares the fleet with what was told, and tells what is due to the webhook.

One pass at a time, by its lease, on a worker and never in the scheduler's loop. An attempt is noted before it begins, and
its end as it ends, so a worker killed anywhere leads to a repeat under the same key and never to silence. After a failed
attempt nothing is sent for 1, 2, 4 … 300 s, and the notice that failed stands behind the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from reconciler import notify, process
from reconciler.errors import UndriftError
from reconciler.notify import Told, Trouble
from reconciler.notify.book import back_off
from reconciler.notify.notice import key as notice_key
from workers import webhook, wiring
from workers.messages import DELIVER, Grant, Lane, Mark
from workers.settings import Webhook
from workers.store import Store, composed
from workers.store.brief import Results
from workers.store.guard import RedisGuard
from workers.store.notices import Delivery
from workers.tasks.leased import run_leased

log = structlog.get_logger()
LOOK_EVERY_S = 10.0
MOST_SHARE = 0.05
"""The comparison reads every status, so it takes at most this share of one core (2026-11-24, two shared cores: 1.6 s of CPU
for 20,000 instances of which 2,000 had failed, so every 32 s)."""
MOST_A_PASS = 20
NOT_SET = "the worker that ran `deliver` has no UNDRIFT_WEBHOOK_URL; set it for all schedulers and workers"


def run(subject: str, fence: int) -> None:
    run_leased(DELIVER, fence, _deliver)


def _deliver(grant: Grant, guard: RedisGuard, results: Results) -> Mark | None:
    store, target = wiring.store(), wiring.settings().webhook
    before = store.notices.delivery()
    if before.error == NOT_SET:
        before = replace(before, error="", error_at=None)
    if target is None:
        now = store.clock.now()
        store.notices.note(replace(before, error=NOT_SET, error_at=now))
        return _again(now + timedelta(seconds=LOOK_EVERY_S))
    delivery, book = _look(store, before)
    delivery = _tell(store, target, book, delivery, guard)
    if bool(delivery.error) != bool(before.error):
        reason, message = ("NotDelivered", delivery.error) if delivery.error else ("Delivered", "notices arrive again")
        results.events.append(store.clock.now(), "webhook", DELIVER.subject, reason, message)
    results.outcome = "Failed" if delivery.failures > before.failures else "Done"
    return _again(_next(store.notices.book().values(), delivery))


def _look(store: Store, delivery: Delivery) -> tuple[Delivery, dict[str, Told]]:
    """The book as it is to be now, and when to compare it again."""
    book, now = store.notices.book(), store.clock.now()
    if delivery.look_at is not None and now < delivery.look_at:
        return delivery, book
    begun_s = store.clock.boot_s()
    fresh = notify.compare(book, _current(store, now), now)
    store.notices.keep(book, fresh)
    process.give_back_memory()  # all works were held at once
    took_s = store.clock.boot_s() - begun_s
    delivery = replace(delivery, look_at=now + timedelta(seconds=max(LOOK_EVERY_S, took_s / MOST_SHARE)))
    store.notices.note(delivery)
    return delivery, fresh


def _current(store: Store, now: datetime) -> notify.Current:
    """What `app list`, the scans, the look-ups and the freezes say, sorted into topics."""
    clusters, repositories = store.specs.clusters(), store.specs.repositories()
    scans, lookups = store.looks.scans(), store.looks.lookups()
    return notify.current(
        composed.each(store, store.queued.states()),
        store.specs.sources(),
        {name: _trouble(row) for name, row in scans.items() if row.get("error") and name in clusters},
        {url: _trouble(row) for url, row in lookups.items() if row.get("error") and url in repositories},
        store.brakes.all().values(),
        now,
    )


def _trouble(row: Mapping[str, Any]) -> Trouble:
    return Trouble(str(row.get("reason") or "Unreachable"), str(row["error"]))


def _tell(store: Store, target: Webhook, book: dict[str, Told], delivery: Delivery, guard: RedisGuard) -> Delivery:
    """Send what is due, until one fails: then nothing more is sent for a while."""
    now = store.clock.now()
    if delivery.resume_at is not None and now < delivery.resume_at:
        return delivery
    for entry in notify.pending(book, now)[:MOST_A_PASS]:
        guard.remaining_s()  # a lease that ended is another's pass
        begun = replace(entry, tries=entry.tries + 1)
        _keep(store, entry, begun)
        try:
            _post(store, target, begun)
        except UndriftError as error:
            _keep(store, begun, notify.failed(begun, store.clock.now()))
            return _failed(store, delivery, error.message)
        _keep(store, begun, notify.delivered(begun, store.clock.now()))
        delivery = Delivery(at=store.clock.now(), look_at=delivery.look_at)
        store.notices.note(delivery)
        log.info("notice_delivered", key=notice_key(entry), condition=str(entry.condition), reason=entry.topic.reason)
    return delivery


def _keep(store: Store, before: Told, after: Told | None) -> None:
    key = before.topic.key
    store.notices.keep({key: before}, {key: after} if after is not None else {})


def _post(store: Store, target: Webhook, entry: Told) -> None:
    """One attempt. Raises NotDelivered and CredentialMissing."""
    letter = webhook.Letter(notify.body(entry), notice_key(entry), int(store.clock.now().timestamp()))
    secret = webhook.read_secret(target, wiring.settings())
    webhook.post(target.url, secret, letter, timeout_s=webhook.TIMEOUT_S)


def _failed(store: Store, delivery: Delivery, error: str) -> Delivery:
    now, failures = store.clock.now(), delivery.failures + 1
    found = replace(delivery, error=error, error_at=now, failures=failures, resume_at=now + back_off(failures))
    store.notices.note(found)
    log.warning("notice_not_delivered", error=error, failures=failures)
    return found


def _next(entries: Iterable[Told], delivery: Delivery) -> datetime:
    """The next look, or the next attempt when that is sooner."""
    look_at = delivery.look_at
    assert look_at is not None  # a pass has looked, or knew when the next look is
    dues = [one.due for one in entries if one.due is not None]
    attempt = [max(min(dues), delivery.resume_at or min(dues))] if dues else []
    return min([look_at, *attempt])


def _again(at: datetime) -> Mark:
    return Mark(DELIVER, Lane.COMMIT, "look", at_ms=int(at.timestamp() * 1000))
