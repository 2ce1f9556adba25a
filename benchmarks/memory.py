"""Memory of a worker child and its render helper, before and after a thousand syncs."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from benchmarks.site import Site, until
from benchmarks.workload import Workload
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.credentials import Credentials
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from workers.messages import Lane, Mark, Work

SYNCS = 1000
CHART = "apiVersion: v2\nname: bench\nversion: 1.0.0\n"
TEMPLATE = (
    "{{ range until 20 }}---\napiVersion: v1\nkind: ConfigMap\n"
    "metadata: {name: {{ $.Release.Name }}-{{ . }}}\ndata: {value: '{{ . }}'}\n{{ end }}"
)


def run(site: Site, *, quick: bool, full: bool = False) -> dict[str, Any]:
    """Megabytes resident after 50 syncs and at the end. One worker with one child, so all syncs are its own."""
    syncs = 100 if quick else SYNCS
    site.write_fleet(Workload("memory", 1))
    site.repo.commit({"memory-0/a.yaml": None, "memory-0/b.yaml": None, "memory-0/c.yaml": None})
    site.repo.commit({"memory-0/Chart.yaml": CHART, "memory-0/templates/all.yaml": TEMPLATE})
    site.start(workers=1, concurrency=1)
    until(lambda: site.synced() == 1)
    early = _after(site, 50)
    late = _after(site, syncs - 50)
    return {
        "syncs": syncs,
        "childMB": [early[0], late[0]],
        "helperMB": [early[1], late[1]],
        "connectionsMB": {"of50": _connections(site, 50)},
    }


def _connections(site: Site, count: int) -> float:
    """What connections to so many clusters, each with what it serves, add to a process of its own that has one already."""
    command = [sys.executable, "-m", "benchmarks.memory", str(site.folder / "credentials"), str(count)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


def main() -> None:
    """Connect, and print the megabytes."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    clusters = Clusters(Credentials({}, folder), None, SystemClock())
    access = ClusterAccess(kubeconfig=KubeconfigRef(file="bench.yaml"))

    def connect(number: int) -> float:
        api = clusters.api(ClusterTarget(name=f"bench-{number}", access=access), OpenGuard(), agent="memory")
        api.discovery()
        api.identity()
        gc.collect()
        return float(psutil.Process().memory_info().rss)

    before = connect(0)
    after = [connect(number) for number in range(1, count)][-1]
    clusters.close()
    print(round((after - before) / 1e6, 1))


def _after(site: Site, syncs: int) -> tuple[float, float]:
    key = InstanceKey("default", "memory-0", "bench")
    for _ in range(syncs):
        identity = site.store.requests.open([str(key)])
        site.store.due.mark([Mark(Work("sync", str(key)), Lane.OPERATOR, "bench", full=True, request=identity)])
        list(site.store.requests.follow(identity, 1, 60.0))
    return _megabytes(site)


def _megabytes(site: Site) -> tuple[float, float]:
    child = psutil.Process(site.children["worker-0"].pid).children()[0]
    (helper,) = [one for one in child.children(recursive=True) if "render/helper" in " ".join(one.cmdline())]
    return round(child.memory_info().rss / 1e6, 1), round(helper.memory_info().rss / 1e6, 1)


if __name__ == "__main__":
    main()
