"""The task `deliver` on a real Valkey and a real receiver: at least once, grouped, and no secret anywhere."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.clock import ManualClock
from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from reconciler.notify import Told
from tests.integration.workers.conftest import forget
from tests.notices import Receiver, receiving
from workers import tasks, webhook, wiring
from workers.cli import doctor
from workers.messages import DELIVER, Lane, Mark
from workers.store import Store

SECRET = "s3cret-key"
WEB = [InstanceKey.parse("default/web@eu-1"), InstanceKey.parse("default/web@us-1")]
API = InstanceKey.parse("default/api@eu-1")
ALL = [*WEB, API]


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> ManualClock:
    made = ManualClock()
    monkeypatch.setattr(wiring, "SystemClock", lambda: made)
    return made


@pytest.fixture
def receiver(clock: ManualClock, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver that this process is set up for. All instances are well."""
    (tmp_path / "webhook").write_text(f"{SECRET}\n")
    with receiving() as found:
        monkeypatch.setenv("UNDRIFT_WEBHOOK_URL", found.url)
        monkeypatch.setenv("UNDRIFT_WEBHOOK_SECRET", "file:webhook")
        monkeypatch.setenv("UNDRIFT_CREDENTIALS", str(tmp_path))
        wiring.settings.cache_clear()
        become(store, ALL, "Idle", "Synced")
        yield found
    forget()


def become(store: Store, keys: list[InstanceKey], phase: str, reason: str) -> None:
    for key in keys:
        update = {"phase": phase, "reason": reason, "message": f"{reason} here", "health": "Healthy"}
        store.status.put(store.status.get(key).model_copy(update=update))


def deliver(store: Store, clock: ManualClock, after_s: float = 11.0) -> float:
    """One pass after so many seconds; the seconds until the next."""
    clock.advance(after_s)
    store.due.mark([Mark(DELIVER, Lane.COMMIT, "look")])
    (grant,) = [one for one in store.due.grant(100, 5.0) if one.work == DELIVER]
    tasks.deliver("webhook", "look", grant.fence)
    state, at_ms = store.queued.states()[DELIVER]
    assert state == "due"
    return (at_ms - store.due.now_ms()) / 1000


def told(store: Store, clock: ManualClock) -> None:
    """Look once, and tell what was found after its window."""
    deliver(store, clock)
    deliver(store, clock)


def brief(receiver: Receiver) -> list[tuple[str, str, int]]:
    return [(one["condition"], one["reason"], one["count"]) for one in receiver.notices]


def test_a_fleet_that_is_well_tells_nothing_and_is_looked_at_every_ten_seconds(store: Store, clock, receiver):
    assert deliver(store, clock) == pytest.approx(10, abs=0.1)
    assert deliver(store, clock) == pytest.approx(10, abs=0.1)

    assert receiver.got == []
    assert store.notices.book() == {}


def test_one_commit_that_fails_everywhere_is_one_notice_and_its_end_is_told(store: Store, clock, receiver):
    become(store, WEB, "Failed", "TemplateFailed")
    told(store, clock)
    deliver(store, clock, 3600)
    become(store, WEB, "Idle", "Synced")
    told(store, clock)
    deliver(store, clock)

    assert brief(receiver) == [("Failed", "TemplateFailed", 2), ("Recovered", "TemplateFailed", 2)]
    first, last = receiver.notices
    assert last["ends"] == first["key"]
    assert first["instances"] == ["default/web@eu-1", "default/web@us-1"]
    assert store.notices.book() == {}


def test_a_notice_is_signed_with_the_secret_as_it_is_now(store: Store, clock, receiver, tmp_path: Path):
    (tmp_path / "webhook").write_text("rotated")
    become(store, [API], "Held", "TooManyDeletions")
    told(store, clock)

    ((headers, body),) = receiver.got
    at, _, digest = headers["Undrift-Signature"].partition(",")
    signed = hmac.new(b"rotated", at.removeprefix("t=").encode() + b"." + body, hashlib.sha256)
    assert digest == f"v1={signed.hexdigest()}"
    assert headers["Idempotency-Key"] == receiver.notices[0]["key"]


def test_clusters_repositories_and_freezes_are_told(store: Store, clock, receiver):
    (url,) = store.specs.repositories()
    store.looks.note_scan("eu-1", clock.now(), error="no answer")
    store.looks.note_lookup(url, clock.now(), "refused", "GitDenied")
    store.brakes.put(Brake("all", "incident", "ada", clock.now()))
    told(store, clock)

    assert sorted(brief(receiver)) == [
        ("Frozen", "Frozen", 3), ("Unreachable", "GitDenied", 3), ("Unreachable", "Unreachable", 2)
    ]  # fmt: skip
    store.looks.note_scan("eu-1", clock.now())
    store.looks.note_lookup(url, clock.now())
    store.brakes.lift("all")
    told(store, clock)
    assert sorted(brief(receiver)[3:]) == [
        ("Recovered", "Frozen", 3), ("Recovered", "GitDenied", 3), ("Recovered", "Unreachable", 2)
    ]  # fmt: skip


def test_a_receiver_that_fails_is_tried_again_after_1_2_4_seconds_with_the_same_notice(store: Store, clock, receiver):
    receiver.answer = 503
    become(store, [API], "Failed", "TemplateFailed")
    deliver(store, clock)
    waits = [deliver(store, clock, 10.5)]
    for _ in range(4):
        waits.append(deliver(store, clock, waits[-1]))

    assert waits[:3] == pytest.approx([1, 2, 4], abs=0.1)
    assert len(receiver.got) >= 4
    assert len({headers["Idempotency-Key"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    receiver.answer = 200
    deliver(store, clock, 400)
    count = len(receiver.got)
    deliver(store, clock, 400)
    assert len(receiver.got) == count
    events = [(one.subject, one.reason) for one in store.events.last(50) if one.kind == "webhook"]
    assert events == [("webhook", "NotDelivered"), ("webhook", "Delivered")]


def test_nothing_is_sent_while_the_receiver_is_given_time(store: Store, clock, receiver):
    """A hundred notices must not be a hundred attempts at a receiver that is down."""
    receiver.answer = 500
    become(store, [API], "Failed", "TemplateFailed")
    become(store, WEB, "Held", "TooManyDeletions")
    told(store, clock)
    assert len(receiver.got) == 1

    deliver(store, clock, 0.5)
    assert len(receiver.got) == 1
    deliver(store, clock, 1)
    assert len({one["key"] for one in receiver.notices}) == 2, "the other one had its turn"


def test_a_receiver_that_hangs_costs_its_time_and_no_more(store: Store, clock, receiver, monkeypatch):
    hang = threading.Event()
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.3)
    receiver.answer = lambda _: hang.wait(20)
    become(store, [API], "Failed", "TemplateFailed")
    told(store, clock)
    assert store.notices.waiting() == 1
    assert "did not answer" in store.notices.delivery().error

    hang.set()
    receiver.answer = 200
    deliver(store, clock)
    assert store.notices.waiting() == 0
    assert len({one["key"] for one in receiver.notices}) == 1


def test_an_attempt_is_noted_before_it_begins(store: Store, clock, receiver):
    """A worker that is killed in the middle may have told: the end must be told, too."""
    met: list[Told] = []
    receiver.answer = lambda handler: (met.extend(store.notices.book().values()), handler.send_error(500))
    become(store, [API], "Failed", "TemplateFailed")
    told(store, clock)

    assert [one.tries for one in met] == [1]


def test_an_emptied_redis_tells_again_what_still_holds_under_the_same_key(store: Store, clock, receiver):
    specs = dict(store.specs.known()), store.specs.clusters(), store.specs.repositories()
    become(store, [API], "Held", "TooManyDeletions")
    told(store, clock)

    store.wipe()
    store.due.seen_before(quarantine_s=0.0)
    store.fleet.publish(*specs)
    told(store, clock)
    assert len(receiver.got) == 1, "nothing is known yet"
    become(store, [API], "Held", "TooManyDeletions")
    store.status.put(store.status.get(API).model_copy(update={"revisions": ()}))
    told(store, clock)

    first, again = receiver.notices
    assert again["key"] == first["key"]


def test_a_worker_without_a_webhook_says_so_and_keeps_nothing(store: Store, clock, receiver, monkeypatch):
    monkeypatch.delenv("UNDRIFT_WEBHOOK_URL")
    wiring.settings.cache_clear()
    become(store, [API], "Failed", "TemplateFailed")
    told(store, clock)

    assert store.notices.book() == {}
    assert "has no UNDRIFT_WEBHOOK_URL" in store.notices.delivery().error
    assert doctor._webhook(store).level == "ok"


def test_neither_the_url_nor_the_secret_is_in_redis_or_in_what_doctor_says(store: Store, clock, receiver):
    receiver.answer = 500
    become(store, [API], "Failed", "TemplateFailed")
    told(store, clock)

    dumped = b"".join(store.redis.dump(key) or b"" for key in store.redis.keys("*"))
    found = doctor._webhook(store)
    assert b"s3cret" not in dumped
    assert "s3cret" not in found.message
    assert found.level == "warn"
    assert found.message.startswith("http://127.0.0.1:")
    assert "1 wait; last error" in found.message


def test_doctor_says_when_it_last_told_and_when_the_secret_is_missing(store: Store, clock, receiver, tmp_path: Path):
    assert "nothing was told yet; 0 wait" in doctor._webhook(store).message
    become(store, [API], "Failed", "TemplateFailed")
    told(store, clock)
    assert doctor._webhook(store).level == "ok"
    assert "last success" in doctor._webhook(store).message

    (tmp_path / "webhook").write_text("\n")
    assert doctor._webhook(store).level == "fail"
    become(store, WEB, "Failed", "TemplateFailed")
    told(store, clock)
    assert store.notices.delivery().error == "the webhook's secret is empty"
    (tmp_path / "webhook").unlink()
    assert "not in the credentials folder" in doctor._webhook(store).message


def test_a_large_fleet_is_compared_less_often(store: Store, clock, receiver, monkeypatch):
    """A comparison that takes a second comes around every twenty seconds."""
    from workers.tasks import delivering

    compare = delivering.notify.compare
    monkeypatch.setattr(delivering.notify, "compare", lambda *parts: (clock.advance(1.0), compare(*parts))[1])

    assert deliver(store, clock) == pytest.approx(19, abs=0.1)
    assert store.notices.delivery().look_at == clock.now() + timedelta(seconds=19)
