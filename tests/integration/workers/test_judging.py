"""What a scan concludes of each instance, by what it found and by what has happened since it began."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.fleet import expand
from reconciler.model.changeset import Drift
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, Proof
from reconciler.model.manifest import ObjectKey
from reconciler.pipeline.scan import Finding, ScanReport
from tests.fleets import application, cluster, documents, fleet
from tests.integration.workers.test_scanning import Site
from tests.integration.workers.test_scanning import site as site
from workers.messages import Lane, Mark, Work
from workers.store import Store
from workers.store.tombstones import Tombstone
from workers.tasks import judging, scanning, syncing

WEB = InstanceKey.parse("default/web@eu-1")
GONE = InstanceKey.parse("default/gone@eu-1")
NOW = datetime.now(UTC)
THEN = NOW - timedelta(minutes=5)
ONE = ObjectKey("", "ConfigMap", "web", "one")
APPLIED = Applied(7, "c" * 40, "sha256:d", THEN, {ONE: Proof("sha256:e", "f")})


def judge(store: Store, finding: Finding, key: InstanceKey = WEB) -> None:
    keys = store.specs.keys_on("eu-1")
    known = judging.Known.read(judging.Before.read("eu-1", keys), keys)
    if finding.applied is APPLIED and key in known.specs:
        finding = replace(finding, applied=replace(APPLIED, spec_digest=known.specs[key].digest))
    judging.judge_all(ScanReport("eu-1", NOW, {key: finding}), known)


@pytest.fixture
def synced(store: Store) -> Store:
    """A sync of the instance ended five minutes ago."""
    status = store.status.get(WEB)
    seen = {"sync": "Synced", "last_sync": THEN, "observed_at": THEN, "in_sync_at": THEN, "fence": 7}
    store.status.put(status.model_copy(update=seen))
    return store


def test_what_is_proven_was_observed_now(synced: Store):
    judge(synced, Finding(applied=APPLIED))

    status = synced.status.get(WEB)
    assert (status.sync, status.observed_at, status.in_sync_at) == ("Synced", NOW, NOW)


def test_what_is_proven_by_another_spec_is_as_it_was(synced: Store):
    """The fleet wants it otherwise by now: it stands as it was applied, and that is not what is wanted."""
    judge(synced, Finding(applied=replace(APPLIED, spec_digest="sha256:another")))

    status = synced.status.get(WEB)
    assert (status.observed_at, status.in_sync_at) == (NOW, THEN)


def test_a_scan_that_is_killed_has_made_due_what_it_told(store: Store, monkeypatch: pytest.MonkeyPatch):
    """The next one would take what was told for what was done."""
    monkeypatch.setattr(store.status.__class__, "amend", lambda *_: raises(SystemExit()))

    with pytest.raises(SystemExit):
        judge(store, Finding(applied=replace(APPLIED, spec_digest="sha256:another")))

    assert str(WEB) in [one.work.subject for one in store.due.grant(9, 30.0)]


def test_a_fleet_that_can_not_be_read_is_no_reason_to_delete(store: Store):
    store.fleet.note("f" * 40, ["apps.yaml:3: no YAML"])

    judge(store, Finding(applied=APPLIED), GONE)

    status = store.status.get(GONE)
    assert status.reason == "LeftTheFleet"
    assert "app delete" not in status.message
    assert "mend those first" in status.message


def raises(error: BaseException) -> None:
    raise error


def test_drift_was_observed_now(synced: Store):
    judge(synced, Finding(drift=(Drift(ONE, ".data.a", "kubectl"),), applied=APPLIED))

    status = synced.status.get(WEB)
    assert (status.sync, status.observed_at, status.in_sync_at) == ("OutOfSync", NOW, THEN)


@pytest.mark.parametrize(
    "finding",
    [pytest.param(Finding(unseen=True, applied=APPLIED), id="kinds that could not be looked at"), Finding(known=False)],
)
def test_what_could_not_be_looked_at_grows_old(synced: Store, finding: Finding):
    """An aggregated API that is away for days must not keep what it serves Synced for as long."""
    judge(synced, finding)

    assert synced.status.get(WEB).observed_at == THEN


def test_what_stands_as_it_was_applied_is_not_in_sync_when_something_else_is_wanted(synced: Store):
    """A render that failed, or a plan that waits for a person: Git says otherwise than the cluster."""
    synced.status.put(synced.status.get(WEB).model_copy(update={"sync": "Unknown", "lags": True}))

    judge(synced, Finding(applied=APPLIED))

    status = synced.status.get(WEB)
    assert (status.sync, status.observed_at, status.in_sync_at) == ("Unknown", NOW, THEN)


def test_what_is_announced_to_be_deleted_is_not_told_to_be_kept(store: Store):
    store.tombstones.put(GONE, Tombstone(THEN, NOW + timedelta(hours=1), "Delete"))

    judge(store, Finding(applied=APPLIED), GONE)

    assert store.events.last(5) == []
    assert store.status.get(GONE).reason == "NeverSynced"


def test_what_no_fleet_file_defines_is_told_once_and_forgotten_when_it_is_gone(store: Store):
    judge(store, Finding(applied=APPLIED), GONE)
    judge(store, Finding(applied=APPLIED), GONE)

    (event,) = store.events.last(5)
    assert (event.reason, store.status.get(GONE).reason) == ("LeftTheFleet", "LeftTheFleet")
    judge(store, Finding(applied=APPLIED))
    assert GONE not in store.status.known()
    assert store.looks.strays("eu-1") == frozenset()


@pytest.mark.cluster
def test_a_sync_that_ended_before_the_look_is_not_judged_by_the_proofs_of_before(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the two workers' clocks say: the proofs were read, then a sync applied something else, then came the list."""
    site.synced()
    look = scanning.look

    def looked(*given: Any, **options: Any) -> Any:
        site.write({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '2'}\n"})
        site.run(Work("refresh", site.repo.url))
        (due,) = site.due()
        syncing.run(due.work.subject, due.fence)
        status = site.store.status.get(site.key)
        site.store.status.put(status.model_copy(update={"last_sync": THEN}))  # its worker's clock is behind
        return look(*given, **options)

    monkeypatch.setattr(scanning, "look", looked)

    site.scan()

    assert site.due() == []
    assert (site.store.status.get(site.key).sync, site.store.status.get(site.key).drift) == ("Synced", ())


@pytest.mark.cluster
def test_a_commit_that_does_not_render_is_never_proven_in_sync(site: Site) -> None:
    site.synced()
    site.write({"a.yaml": "kind: ["})
    site.run(Work("refresh", site.repo.url))
    for one in site.due():
        syncing.run(one.work.subject, one.fence)
    failed = site.store.status.get(site.key)

    site.scan()

    status = site.store.status.get(site.key)
    assert (failed.sync, status.sync, status.phase) == ("Unknown", "Unknown", "Failed")
    assert status.in_sync_at == failed.in_sync_at


QUEUE = re.compile(r"undrift:(lease|heads|due|want|queues|running|aside|shut|wake|fences|granted|attempts|grants-from)")


def commands(site: Site) -> list[tuple[str, ...]]:
    """The commands of one scan, without their values. Those on the queue are left out, since a thread extends leases now and
    then; those of scripts are among them."""
    redis: Any = site.store.redis
    site.store.due.mark([Mark(Work("scan", "bare"), Lane.OPERATOR, "test")])
    (grant,) = [one for one in site.store.due.grant(1, 30.0) if one.work.kind == "scan"]
    redis.config_set("slowlog-max-len", 10_000)
    redis.config_set("slowlog-log-slower-than", 0)
    redis.slowlog_reset()
    scanning.run("bare", grant.fence)
    redis.config_set("slowlog-log-slower-than", -1)
    found = [bytes(one["command"]).decode(errors="replace").split() for one in redis.slowlog_get(10_000)]
    asked = [(words[0], words[1] if len(words) > 1 else "") for words in found]
    return sorted(one for one in asked if one[0] not in ("SLOWLOG", "EVALSHA") and not QUEUE.match(one[1]))


@pytest.mark.cluster
@pytest.mark.parametrize("is_judged", [True, False], ids=["judged", "compared"])
def test_what_a_scan_asks_of_redis_does_not_grow_with_the_fleet(site: Site, is_judged: bool) -> None:
    """Neither in commands, nor by commands whose answer grows: it reads no list of all instances."""
    site.synced()
    for _ in range(3):
        site.scan()
    if is_judged:
        site.store.redis.delete("undrift:proven:bare")
    before = commands(site)
    source = {"repo": site.repo.url, "path": site.name}
    mine = application(site.name, source=source, namespace=site.name, sync={"createNamespace": True})
    others = [application(f"other-{n}", source=source, clusters={"names": ["other"]}) for n in range(50)]
    clusters = (cluster("bare"), cluster("other"))
    mine |= {"spec": {**mine["spec"], "clusters": {"names": ["bare"]}}}
    expansion = expand(fleet(documents(mine, *others, *clusters)), previous={})
    site.store.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    if is_judged:
        site.store.redis.delete("undrift:proven:bare")

    after = commands(site)

    whole = {f"undrift:{name}" for name in ("status", "instances", "specs", "sources", "memory", "left", "leases")}
    assert after == before
    assert [one for one in after if one[0] in ("HGETALL", "HKEYS", "ZRANGE") and one[1] in whole] == []
