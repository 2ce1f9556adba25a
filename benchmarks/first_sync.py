"""First sync of many small applications, against the same objects applied raw to the same API server."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.site import PARTS, Site, files, until
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.credentials import Credentials
from reconciler.model.live import Resource
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.objects import yaml

APPLICATIONS, ROUNDS, THREADS = 200, 5, 8
WARM_UP = 40
"""Applications before the measured ones: each of the eight children connects and learns the cluster's kinds once."""
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)


def run(site: Site, *, quick: bool) -> dict[str, Any]:
    """Objects per second of both ways, round by round, and their ratio."""
    count, rounds = (20, 1) if quick else (APPLICATIONS, ROUNDS)
    ours: list[float] = []
    raw: list[float] = []
    for number in range(rounds):
        raw.append(_raw(site, f"raw-{number}", count))
        ours.append(_undrift(site, f"sync-{number}", count))
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    return {
        "applications": count,
        "objects": count * len(PARTS),
        "rawPerSecond": [round(one, 1) for one in raw],
        "undriftPerSecond": [round(one, 1) for one in ours],
        "ratio": {
            "median": round(statistics.median(ratios), 3),
            "min": round(min(ratios), 3),
            "max": round(max(ratios), 3),
        },
    }


def _undrift(site: Site, prefix: str, count: int) -> float:
    """From the first sync granted to the last one done, on workers whose children have all worked before."""
    site.store.redis.flushall()
    site.write_fleet(prefix, WARM_UP)
    site.start(workers=2, concurrency=4, UNDRIFT_FLEET_POLL="1")
    until(lambda: site.synced() == WARM_UP)
    begun_at = time.time()
    site.write_fleet(prefix, count + WARM_UP)
    until(lambda: site.synced() == count + WARM_UP)
    syncs = [one for one in site.store.status.all().values() if one.last_sync and one.last_sync.timestamp() > begun_at]
    published = min(float(line) for line in _grants(site) if float(line) > begun_at)
    last = max(one.last_sync.timestamp() for one in syncs if one.last_sync)
    site.stop()
    return (len(syncs) * len(PARTS)) / (last - published)


def _grants(site: Site) -> list[str]:
    """The times of all grants: a fence is the millisecond of its grant."""
    found: dict[bytes, bytes] = site.store.redis.hgetall("undrift:fences")  # type: ignore[assignment]  # synchronous
    return [str(int(fence) / 1000) for work, fence in found.items() if work.startswith(b"sync ")]


def _raw(site: Site, namespace: str, count: int) -> float:
    """The physical limit: server-side apply by eight threads, and nothing else."""
    (site.folder / "credentials").mkdir(exist_ok=True)
    (site.folder / "credentials" / "bench.yaml").write_text(site.cluster.kubeconfig.read_text())
    clusters = Clusters(Credentials({}, site.folder / "credentials"), None, SystemClock())
    target = ClusterTarget(name="bench", access=ClusterAccess(kubeconfig=KubeconfigRef(file="bench.yaml")))
    api = clusters.api(target, OpenGuard(), agent="raw")
    api.apply(
        NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, manager="raw", force=True
    )
    bodies = [
        body for n in range(count) for text in files(namespace, n).values() for _, body in yaml.load_all(text, "")
    ]
    for body in bodies:
        body["metadata"]["namespace"] = namespace
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda body: api.discovery(), range(THREADS)))
        begun = time.monotonic()
        list(threads.map(lambda body: api.apply(CONFIG_MAP, body, manager="raw", force=False), bodies))
        took_s = time.monotonic() - begun
    clusters.close()
    return len(bodies) / took_s
