"""When an instance is due next, by what its last sync found."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.errors import BACKOFF, NEVER, Retry
from reconciler.model.health import Health
from reconciler.model.instance import InstanceKey
from reconciler.model.record import Memory, Phase, Sync, SyncRecord
from tests import worlds
from workers.messages import Lane, Work
from workers.scheduler import due_times

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = worlds.spec()


def record(retry: Retry, phase: Phase = Phase.FAILED, waits_s: float | None = None) -> SyncRecord:
    since = None if waits_s is None else NOW - timedelta(seconds=waits_s)
    return SyncRecord(
        InstanceKey("default", "app", "eu"),
        1,
        ("test",),
        NOW,
        NOW,
        Sync.UNKNOWN,
        phase,
        Health.UNKNOWN,
        "Reason",
        "message",
        retry=retry,
        memory=Memory(waiting_since=since),
    )


def wait_s(retry: Retry, failures: int = 0, phase: Phase = Phase.FAILED, waits_s: float | None = None) -> float:
    mark = due_times.next_sync(SPEC, record(retry, phase, waits_s), failures, random.Random(1))
    assert mark.at_ms is not None
    return mark.at_ms / 1000 - NOW.timestamp()


@pytest.mark.parametrize(("failures", "about_s"), [(1, 2), (2, 4), (5, 32), (40, 300)])
def test_a_failure_is_tried_again_after_twice_the_time_up_to_five_minutes(failures: int, about_s: float) -> None:
    assert about_s * 0.79 <= wait_s(BACKOFF, failures) <= min(about_s * 1.21, 300.001)


@pytest.mark.parametrize(("waited_s", "looks_s"), [(0, 2), (4, 4), (16, 16), (500, 30)])
def test_health_is_looked_at_again_after_as_long_as_it_has_waited(waited_s: float, looks_s: float) -> None:
    assert wait_s(BACKOFF, 0, Phase.WAITING, waited_s) == pytest.approx(looks_s, abs=0.01)


def test_an_error_may_say_itself_when_to_try_again() -> None:
    assert wait_s(15.0) == pytest.approx(15, abs=0.01)


def test_what_is_well_comes_round_within_the_interval_spread_over_its_length() -> None:
    interval_s = SPEC.sync.resync_interval.total_seconds()
    found = [
        due_times.next_sync(SPEC, record(NEVER, Phase.IDLE), 0, random.Random(seed)).at_ms or 0 for seed in range(200)
    ]
    waits = [at / 1000 - NOW.timestamp() for at in found]

    assert 0.5 * interval_s <= min(waits)
    assert max(waits) <= 1.5 * interval_s
    assert max(waits) - min(waits) > 0.8 * interval_s


def test_an_instance_that_fails_for_long_stands_behind_other_peoples_commits() -> None:
    lanes = [due_times.next_sync(SPEC, record(BACKOFF), n, random.Random(1)).lane for n in (1, 3, 4)]

    assert lanes == [Lane.COMMIT, Lane.COMMIT, Lane.PERIODIC]


def test_work_reads_as_it_is_written() -> None:
    assert Work.parse(str(Work("sync", "default/podinfo@eu-1"))) == Work("sync", "default/podinfo@eu-1")
    with pytest.raises(ValueError, match="is no work"):
        Work.parse("steal default/podinfo@eu-1")


def test_what_is_only_observed_is_compared_anew_before_long() -> None:
    """No inventory, no scan: else a change by hand would be seen after hours only."""
    observed = SPEC.model_copy(update={"sync": SPEC.sync.model_copy(update={"mode": "Observe"})})
    mark = due_times.next_sync(observed, record(NEVER, Phase.IDLE), 0, random.Random(1))

    assert mark.at_ms is not None
    assert mark.at_ms / 1000 - NOW.timestamp() <= 1.5 * 10 * SPEC.cluster.drift.every.total_seconds()
