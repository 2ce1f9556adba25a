"""What Prometheus would scrape, over a real Valkey and HTTP, read by its own parser."""

from __future__ import annotations

import socket
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.clock import ManualClock
from reconciler.model.brake import Brake
from reconciler.model.instance import InstanceKey
from workers import metrics
from workers.messages import Lane, Mark, Work
from workers.store import Store, composed
from workers.tasks.leased import run_leased

WEB = InstanceKey.parse("default/web@eu-1")


@pytest.fixture
def address(store: Store) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = f"127.0.0.1:{free.getsockname()[1]}"
    assert store.leader.leads()
    metrics.serve(found, store)
    return found


def scraped(address: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("costs_s", "kept_s"), [(0.4, 0), (2, 20), (60, 120)], ids=["little", "a tenth of a core", "never for long"]
)
def test_what_every_status_is_read_for_is_told_again_for_a_while_and_all_else_is_new(
    store: Store, monkeypatch: pytest.MonkeyPatch, costs_s: float, kept_s: int
):
    clock, processor, each = ManualClock(), ManualClock(), composed.each
    monkeypatch.setattr(composed, "each", lambda *given: (processor.advance(costs_s), each(*given))[1])
    assert store.leader.leads()
    told = metrics.Fleet(replace(store, clock=clock), processor.boot_s)

    def found(name: str) -> float:
        (value,) = (one.value for metric in told.collect() for one in metric.samples if one.name == name)
        return value

    assert (found("undrift_held_plans"), found("undrift_brakes")) == (0, 0)
    store.status.put(store.status.get(WEB).model_copy(update={"phase": "Held"}))
    store.brakes.put(Brake("project:other", "incident", "ada", clock.now()))
    if kept_s:
        clock.advance(kept_s - 1)
        assert (found("undrift_held_plans"), found("undrift_brakes")) == (0, 1)
        clock.advance(1)
    assert (found("undrift_held_plans"), found("undrift_brakes")) == (1, 1)


def test_instances_are_counted_by_what_they_are(store: Store, address: str):
    now = store.clock.now()
    status = store.status.get(WEB)
    store.status.put(
        status.model_copy(update={"sync": "Synced", "phase": "Idle", "health": "Healthy", "last_sync": now})
    )
    other = InstanceKey.parse("default/web@us-1")
    old = {"phase": "Held", "sync": "OutOfSync", "last_sync": now - timedelta(hours=2)}
    store.status.put(store.status.get(other).model_copy(update=old))

    found = scraped(address)

    synced = {"project": "default", "cluster": "eu-1", "phase": "Idle", "sync": "Synced", "health": "Healthy"}
    assert found["undrift_instances", tuple(sorted(synced.items()))] == 1
    assert sum(value for (name, _), value in found.items() if name == "undrift_instances") == 3
    assert found["undrift_held_plans", ()] == 1


def test_the_dead_man_s_switch_is_the_age_of_the_oldest(store: Store, address: str):
    now = store.clock.now()
    for key in store.specs.instance_keys():
        store.status.put(store.status.get(key).model_copy(update={"sync": "Synced", "last_sync": now}))
    store.due.forget(store.queued.states())
    assert scraped(address)["undrift_oldest_unreconciled_seconds", ()] == 0

    old = {"sync": "OutOfSync", "last_sync": now, "in_sync_at": now - timedelta(hours=2)}  # tried a moment ago
    store.status.put(store.status.get(WEB).model_copy(update=old))
    assert scraped(address)["undrift_oldest_unreconciled_seconds", ()] == pytest.approx(7200, abs=60)


def test_the_switch_counts_what_was_never_in_sync_and_what_nobody_even_tries(store: Store, address: str):
    store.due.forget(store.queued.states())
    failing = {"sync": "OutOfSync", "behind_since": store.clock.now() - timedelta(hours=1)}
    store.status.put(store.status.get(WEB).model_copy(update=failing))
    assert scraped(address)["undrift_oldest_unreconciled_seconds", ()] == pytest.approx(3600, abs=60)

    store.due.mark([Mark(Work("refresh", "x"), Lane.COMMIT, "new", at_ms=store.due.now_ms() - 7_200_000)])
    assert scraped(address)["undrift_oldest_unreconciled_seconds", ()] == pytest.approx(7200, abs=60)


def test_only_the_leader_tells_of_the_fleet(store: Store, address: str):
    store.leader.release()

    found = scraped(address)

    assert found["undrift_leads", ()] == 0
    assert {name for name, _ in found if name.startswith("undrift_")} == {"undrift_leads"}


def test_what_tasks_took_is_a_histogram_whoever_ran_them(store: Store, address: str):
    work = Work("scan", "eu-1")
    for _ in range(3):
        store.due.mark([Mark(work, Lane.DRIFT, "periodic")])
        (grant,) = [one for one in store.due.grant(10, 5.0) if one.work == work]
        run_leased(work, grant.fence, lambda *_: None)

    found = scraped(address)

    labels = (("kind", "scan"), ("outcome", "Done"))
    assert found["undrift_task_seconds_count", labels] == 3
    assert found["undrift_task_seconds_bucket", tuple(sorted((*labels, ("le", "+Inf"))))] == 3
    assert found["undrift_task_seconds_sum", labels] < 5


def test_queue_brakes_and_workers_are_told(store: Store, address: str):
    store.due.mark([Mark(Work("sync", str(WEB)), Lane.COMMIT, "push", at_ms=store.due.now_ms() - 5000)])
    store.brakes.put(Brake("all", "", "ada", store.clock.now()))
    store.slots.beat("one", 4, store.clock.now())

    found = scraped(address)

    assert found["undrift_queue_depth", (("kind", "sync"),)] == 1
    assert found["undrift_queue_wait_seconds", (("kind", "sync"),)] >= 5
    assert found["undrift_brakes", ()] == 1
    assert found["undrift_worker_slots", ()] == 4


def test_what_waits_for_a_cluster_that_does_not_answer_waits_for_no_worker(store: Store, address: str):
    store.due.mark([Mark(Work("sync", str(WEB)), Lane.COMMIT, "push", at_ms=store.due.now_ms() - 5000)])
    store.due.shut(WEB.cluster, 60)

    found = scraped(address)

    assert found["undrift_queue_depth", (("kind", "sync"),)] == 0
    assert found["undrift_queue_wait_seconds", (("kind", "sync"),)] == 0


def test_every_metric_is_documented_and_no_other(store: Store, address: str):
    page = (Path(__file__).parents[3] / "docs" / "reference" / "metrics.md").read_text()
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `undrift_")}

    assert {name.removesuffix("_total") for name in documented} == set(metrics.METRICS)
    for name, meaning in metrics.METRICS.items():
        assert f"| {meaning} |" in page, name
