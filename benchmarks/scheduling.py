"""A fleet of thousands of clusters as the scheduler sees it: a real Redis, the scheduler as shipped, real messages; only the
work itself is simulated, by a process that claims and completes as a worker's tasks do, and writes what they would write.

Phases: everything that comes around does so for some minutes (scans each three minutes, full passes each six hours, one
cluster in twenty failing); then a fifth of the fleet is due at once; then half of it is due for one project, and
another project's single commits come in between; then the fleet itself is changed, one application on all clusters, while
single commits come in; at the end a second scheduler takes over from the first.
"""

from __future__ import annotations

import base64
import os
import random
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import orjson
import psutil

from benchmarks.site import Site, quantiles, until
from reconciler import process
from reconciler.clock import SystemClock
from reconciler.model.instance import InstanceKey
from reconciler.model.inventory import Applied, HistoryEntry, Proof
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Memory
from reconciler.model.revision import Closure
from reconciler.pipeline.sight import HALF, Proven
from workers.app import QUEUE
from workers.messages import Lane, Mark, Work
from workers.store import open_store
from workers.store.status import blank

CLUSTERS, APPLICATIONS, PROJECTS = 1000, 100, 50
SLOTS, THREADS, TASK_S = 64, 16, 0.02
SCAN_S, RESYNC_S, LEASE_S = 180.0, 6 * 3600.0, 30.0
STEADY_S, COMMITS, COMMIT_EVERY_S = 120.0, 40, 0.25


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """The scheduler's share of a core, its memory, Redis bytes an instance, due-time errors and starts in seconds."""
    clusters, steady_s = (20, 60.0) if quick else (CLUSTERS, STEADY_S) if full else (CLUSTERS // 5, 45.0)
    _write_fleet(site, clusters)
    empty = _redis_bytes(site)
    _start(site)
    instances = clusters * APPLICATIONS
    until(lambda: len(site.store.specs.instance_keys()) == instances, within_s=1800.0)
    workers = _simulated(site)
    try:
        found = {"instances": instances, "clusters": clusters, **_phases(site, steady_s, instances, empty)}
        return found | {"takeover": _take_over(site)}
    finally:
        process.kill_group(workers)


def _start(site: Site) -> None:
    site.start(workers=0, concurrency=1)


def _phases(site: Site, steady_s: float, instances: int, empty: int) -> dict[str, Any]:
    scheduler = psutil.Process(site.children["scheduler"].pid)
    keys = sorted(site.store.specs.instance_keys())
    _fill(site, keys)
    time.sleep(5.0)
    before, begun = sum(scheduler.cpu_times()[:2]), time.monotonic()
    _reset(site)
    _expect_all(site)
    time.sleep(steady_s)
    steady = (sum(scheduler.cpu_times()[:2]) - before) / (time.monotonic() - begun)
    errors = _late(site)
    fifth = random.Random(1).sample(keys, instances // 5)
    burst_begun, burst_cpu = time.monotonic(), sum(scheduler.cpu_times()[:2])
    site.store.due.mark(Mark(Work("sync", str(key)), Lane.COMMIT, "burst", commit="c" * 40) for key in fifth)
    until(lambda: not _waiting(site), within_s=1800.0)
    burst_s = time.monotonic() - burst_begun
    burst = (sum(scheduler.cpu_times()[:2]) - burst_cpu) / burst_s
    starts = _tenant(site, keys, instances // 2)
    memory = round(scheduler.memory_info().rss / 1e6)
    return {
        "steadyShareOfOneCore": round(steady, 3),
        "dueTimeErrorSeconds": quantiles(errors),
        "burst": len(fifth),
        "burstSeconds": round(burst_s, 1),
        "burstShareOfOneCore": round(burst, 3),
        "otherTenantStartSeconds": quantiles(starts),
        "schedulerMB": memory,
        "redisBytesAnInstance": round((_redis_bytes(site) - empty) / instances),
        "fleetCommit": _fleet_commit(site, keys, scheduler),
    }


def _tenant(site: Site, keys: list[InstanceKey], count: int) -> list[float]:
    """One project has half the fleet due; how long another's single commits wait."""
    one = [key for key in keys if key.project != "p-0"][:count]
    # All under one name, as fairness goes by the project of the instance.
    many = [Work("sync", f"crowd/{key.application}@{key.cluster}") for key in one]
    site.store.due.mark(Mark(work, Lane.COMMIT, "crowd", commit="d" * 40) for work in many)
    mine = [key for key in keys if key.project == "p-0"][:COMMITS]
    _reset(site)
    for key in mine:
        site.store.due.mark([Mark(Work("sync", str(key)), Lane.COMMIT, "one commit", commit="e" * 40)])
        _expect(site, Work("sync", str(key)))
        time.sleep(COMMIT_EVERY_S)
    time.sleep(2.0)
    found = _late(site, prefix="sync p-0/")
    site.store.due.forget(many)
    return found


def _fleet_commit(site: Site, keys: list[InstanceKey], scheduler: psutil.Process) -> dict[str, Any]:
    """An application's path changes in the fleet: when that is in force, how long single commits wait meanwhile, and the
    scheduler's memory after it."""
    file, before = site.folder / "fleet" / "fleet.yaml", site.store.fleet.told()["revision"]
    file.write_text(file.read_text().replace("path: app-7}", "path: app-7/base}"))
    mine = [key for key in keys if key.project == "p-0"]
    _reset(site)
    begun = time.monotonic()
    site.store.due.look_at_fleet()
    while site.store.fleet.told()["revision"] == before:
        work = Work("sync", str(mine.pop()))
        site.store.due.mark([Mark(work, Lane.COMMIT, "one commit", commit="f" * 40)])
        _expect(site, work)
        time.sleep(COMMIT_EVERY_S)
    seconds = time.monotonic() - begun
    time.sleep(30.0)
    return {
        "seconds": round(seconds, 1),
        "startSeconds": quantiles(_late(site, prefix="sync p-0/")),
        "schedulerMB": round(scheduler.memory_info().rss / 1e6),
    }


def _take_over(site: Site) -> dict[str, float]:
    """Another scheduler over the same Redis and fleet: when it has put the fleet in force, and its memory then."""
    begun = time.monotonic()
    log = site.folder / "scheduler.log"
    before = log.read_text().count("fleet_published")
    process.stop(site.children.pop("scheduler"))  # lets go of the lead
    _start(site)
    until(lambda: log.read_text().count("fleet_published") > before)
    seconds = time.monotonic() - begun
    time.sleep(5.0)
    memory = psutil.Process(site.children["scheduler"].pid).memory_info().rss
    return {"seconds": round(seconds, 1), "schedulerMB": round(memory / 1e6)}


def _write_fleet(site: Site, clusters: int) -> None:
    fleet = site.folder / "fleet"
    fleet.mkdir()
    head = "apiVersion: undrift.dev/v1alpha1\nkind: {}\nmetadata: {}\nspec: {}\n"
    documents = [
        head.format("Cluster", f"{{name: c-{n}}}", "{access: {kubeconfig: {file: none.yaml}}}") for n in range(clusters)
    ]
    url = "https://git.example.com/apps.git"
    for number in range(APPLICATIONS):
        meta = f"{{name: app-{number}}}"
        spec = f"{{project: p-{number % PROJECTS}, source: {{repo: '{url}', path: app-{number}}}, clusters: {{all: true}}}}"
        documents.append(head.format("Application", meta, spec))
    documents += [
        head.format("Project", f"{{name: p-{n}}}", "{repos: ['*'], clusters: {names: ['*']}, namespaces: ['*']}")
        for n in range(PROJECTS)
    ]
    (fleet / "fleet.yaml").write_text("---\n".join(documents))


def _fill(site: Site, keys: list[InstanceKey]) -> None:
    """What stands in Redis for an instance of three objects that was synced; full passes spread over their interval."""
    dice = random.Random(2)
    now_ms = site.store.due.now_ms()
    for start in range(0, len(keys), 2000):
        some = keys[start : start + 2000]
        site.store.status.put_all(
            blank(key).model_copy(update={"sync": "Synced", "phase": "Idle", "health": "Healthy", "reason": "Synced"})
            for key in some
        )
        for key in some:
            site.store.memories.put(key, _memory(key, dice))
        site.store.due.mark(
            Mark(
                Work("sync", str(key)), Lane.PERIODIC, "periodic", at_ms=now_ms + int(dice.uniform(0, RESYNC_S) * 1000)
            )
            for key in some
        )
    by_cluster = dict[str, dict[InstanceKey, bytes]]()
    for key in keys:
        by_cluster.setdefault(key.cluster, {})[key] = dice.randbytes(2 * HALF)
    for cluster, marks in by_cluster.items():
        site.store.proven.put(cluster, Proven(marks), Proven())


def _memory(key: InstanceKey, dice: random.Random) -> Memory:
    """What the next sync of an instance of three objects is given: proofs, what was read, the last entry of its history. The
    hashes are random, as real ones are, so that they do not compress."""

    def hashed(bits: int) -> str:
        return f"{dice.getrandbits(bits):0{bits // 4}x}"

    at = datetime.now(UTC)
    names = [ObjectKey("", "ConfigMap", key.application, f"{key.application}-{part}") for part in "abc"]
    proofs = {name: Proof(f"sha256:{hashed(256)}", hashed(128)) for name in names}
    closure = Closure({f"{key.application}/": hashed(160)})
    digests = f"sha256:{hashed(256)}", f"sha256:{hashed(256)}"
    applied = Applied(1, hashed(160), digests[0], at, proofs, closure=closure, spec_digest=digests[1])
    entry = HistoryEntry(at, applied.revision, "commit", "Synced", "3 created", 1)
    return Memory(unflushed=applied, unflushed_entry=entry, closure=closure)


def _simulated(site: Site) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.scheduling", site.valkey.url]
    return process.spawn(command, env=dict(os.environ), stdout=subprocess.DEVNULL)


def _waiting(site: Site) -> bool:
    now_ms = site.store.due.now_ms()
    return any(
        state != "due" or at <= now_ms
        for work, (state, at) in site.store.queued.states().items()
        if work.kind == "sync"
    )


def _redis_bytes(site: Site) -> int:
    info: Any = site.store.redis.info("memory")
    return int(info["used_memory"])


def _expect(site: Site, work: Work) -> None:
    site.store.redis.hset("bench:expected", str(work), site.store.due.now_ms())


def _expect_all(site: Site) -> None:
    rows: Any = {str(work): at for work, (state, at) in site.store.queued.states().items() if state == "due"}
    if rows:
        site.store.redis.hset("bench:expected", mapping=rows)


def _reset(site: Site) -> None:
    site.store.redis.delete("bench:late", "bench:expected")


def _late(site: Site, prefix: str = "") -> list[float]:
    """How many seconds after its due time each work was granted."""
    rows: list[bytes] = site.store.redis.lrange("bench:late", 0, -1)  # type: ignore[assignment]  # synchronous
    found = [orjson.loads(row) for row in rows]
    late = [each for work, each in found if work.startswith(prefix)]
    if not late:
        raise RuntimeError("nothing was granted while it was measured")
    return late


def simulate(url: str) -> None:
    """A worker of many slots: claims what the messages say, and completes it after a while."""
    store, dice = open_store(url, SystemClock()), random.Random()
    threading.Thread(target=_beat, args=(url,), daemon=True).start()
    threads = [threading.Thread(target=_work, args=(url, dice.random()), daemon=True) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    store.redis.close()
    for thread in threads:
        thread.join()


def _beat(url: str) -> None:
    store = open_store(url, SystemClock())
    while True:
        store.slots.beat("simulated", SLOTS, store.clock.now())
        time.sleep(2.0)


def _work(url: str, seed: float) -> None:
    store, dice = open_store(url, SystemClock()), random.Random(seed)
    while True:
        popped: Any = store.redis.brpop([QUEUE], timeout=5)
        if popped is None:
            continue
        envelope = orjson.loads(popped[1])
        (subject, _, fence), _, _ = orjson.loads(base64.b64decode(envelope["body"]))
        work = Work(envelope["headers"]["task"], subject)
        if store.due.claim(work, fence, LEASE_S) is None:
            continue
        expected: Any = store.redis.hget("bench:expected", str(work))
        if expected is not None:
            store.redis.rpush("bench:late", orjson.dumps([str(work), (fence - int(expected)) / 1000]))
        time.sleep(TASK_S * dice.uniform(0.5, 1.5))  # the work itself
        is_down = work.kind == "scan" and int(subject.rpartition("-")[2]) % 20 == 0
        wait_s = (SCAN_S if work.kind == "scan" else RESYNC_S * dice.uniform(0.5, 1.0)) / (3 if is_down else 1)
        at_ms = store.due.now_ms() + int(wait_s * 1000)
        lane = Lane.DRIFT if work.kind == "scan" else Lane.PERIODIC
        store.redis.hset("bench:expected", str(work), at_ms)
        store.due.complete(work, fence, Mark(work, lane, "periodic", at_ms=at_ms))


if __name__ == "__main__":
    simulate(sys.argv[1])
