"""First sync of many small applications, against the same objects applied raw to the same API server, in two ways:

client   eight threads of the `kubernetes` client, answers left unparsed: what a script of a user's reaches, and the
         275 to 340 objects/s that DESIGN.md §10 was measured with
lean     eight threads of Undrift's own HTTP path: the server's limit, as near as Python comes to it
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import kubernetes

from benchmarks.site import PARTS, Site, files, until
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.cluster.client import APPLY_PATCH, Client
from reconciler.credentials import Credentials
from reconciler.model.live import Resource
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.objects import yaml

Send = Callable[[Resource, Any], object]
APPLICATIONS, ROUNDS, THREADS = 200, 5, 8
WARM_UP = 40
"""Applications before the measured ones: each of the eight children connects and learns the cluster's kinds once."""
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """Objects per second of the three ways, round by round, and our ratio to both raw ones."""
    count, rounds = (20, 1) if quick else (APPLICATIONS, ROUNDS if full else 3)
    client, lean, ours = [], [], []
    for number in range(rounds):
        client.append(_raw(site, f"client-{number}", count, _through_client))
        lean.append(_raw(site, f"lean-{number}", count, _lean))
        ours.append(_undrift(site, f"sync-{number}", count))
    return {
        "applications": count,
        "objects": count * len(PARTS),
        "rawByClientPerSecond": [round(one, 1) for one in client],
        "rawLeanPerSecond": [round(one, 1) for one in lean],
        "undriftPerSecond": [round(one, 1) for one in ours],
        "ratioToClient": _spread(ours, client),
        "ratioToLean": _spread(ours, lean),
    }


def _spread(ours: list[float], raw: list[float]) -> dict[str, float]:
    ratios = [one / other for one, other in zip(ours, raw, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "min": round(min(ratios), 3),
        "max": round(max(ratios), 3),
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


def _raw(site: Site, namespace: str, count: int, through: Callable[[Site], AbstractContextManager[Send]]) -> float:
    """Server-side apply by eight threads over kept connections, and nothing else."""
    bodies = [
        body for n in range(count) for text in files(namespace, n).values() for _, body in yaml.load_all(text, "")
    ]
    for body in bodies:
        body["metadata"]["namespace"] = namespace
    with through(site) as send, ThreadPoolExecutor(THREADS) as threads:
        send(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        list(threads.map(lambda body: send(CONFIG_MAP, body), bodies[:WARM_UP]))  # each thread has its connection
        begun = time.monotonic()
        list(threads.map(lambda body: send(CONFIG_MAP, body), bodies[WARM_UP:]))
        return (len(bodies) - WARM_UP) / (time.monotonic() - begun)


@contextmanager
def _lean(site: Site) -> Iterator[Send]:
    with through_lean(site) as api:
        yield lambda resource, body: api.apply(resource, body, manager="raw", force=False)


@contextmanager
def through_lean(site: Site) -> Iterator[Client]:
    """Undrift's own way to the cluster."""
    (site.folder / "credentials").mkdir(exist_ok=True)
    (site.folder / "credentials" / "bench.yaml").write_text(site.cluster.kubeconfig.read_text())
    clusters = Clusters(Credentials({}, site.folder / "credentials"), None, SystemClock())
    target = ClusterTarget(name="bench", access=ClusterAccess(kubeconfig=KubeconfigRef(file="bench.yaml")))
    yield clusters.api(target, OpenGuard(), agent="raw")
    clusters.close()


@contextmanager
def _through_client(site: Site) -> Iterator[Send]:
    with kubernetes.config.new_client_from_config(str(site.cluster.kubeconfig)) as client:
        core = kubernetes.client.CoreV1Api(client)
        how = {"field_manager": "raw", "_content_type": APPLY_PATCH, "_preload_content": False}

        def send(resource: Resource, body: Any) -> object:
            name, namespace = body["metadata"]["name"], body["metadata"].get("namespace")
            if resource is NAMESPACE:
                return core.patch_namespace(name, body, **how)
            return core.patch_namespaced_config_map(name, namespace, body, **how)

        yield send
