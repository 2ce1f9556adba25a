"""A place to measure at: one bare cluster, a Valkey, a repository, and Undrift's processes as shipped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from reconciler import devcluster, process
from reconciler.clock import SystemClock
from reconciler.devcluster.folders import cache_folder
from reconciler.testing.git import GitServer, Repo
from workers import embedded
from workers.store import Store, composed, open_store

COMMAND = [sys.executable, "-m", "workers.cli.main"]
PARTS = ("a", "b", "c")
LOOK_EVERY_S = 2.5
"""Looking at a whole fleet costs CPU that is measured beside it; what is timed is timed by the records' own times."""


class Site:
    """Started with the block, gone with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.repo = Repo(folder / "git" / "apps.git")
        self.server = GitServer(folder / "git")
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

    def write_fleet(self, prefix: str, count: int, parts: Sequence[str] = PARTS) -> None:
        """`count` applications of three ConfigMaps each, in one namespace, one commit."""
        self.repo.commit({path: text for n in range(count) for path, text in files(prefix, n, parts).items()})
        url = self.server.url("apps.git")
        fleet, credentials = self.folder / "fleet", self.folder / "credentials"
        fleet.mkdir(exist_ok=True)
        credentials.mkdir(exist_ok=True)
        (credentials / "bench.yaml").write_text(Path(self.cluster.kubeconfig).read_text())
        documents = [
            "apiVersion: undrift.dev/v1alpha1\nkind: Cluster\nmetadata: {name: bench}\n"
            "spec: {access: {kubeconfig: {file: bench.yaml}}}\n"
        ]
        documents += [
            f"apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {{name: {prefix}-{n}}}\n"
            f"spec: {{source: {{repo: '{url}', path: {prefix}-{n}}}, clusters: {{names: [bench]}}, "
            f"namespace: {prefix}, sync: {{createNamespace: true}}}}\n"
            for n in range(count)
        ]
        (fleet / "fleet.yaml").write_text("---\n".join(documents))

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
    return float(sum(sum(one.cpu_times()[:2]) for one in processes))


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """The median, the 99th percentile and the largest, in the values' unit."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return {"p50": round(at[0], 3), "p99": round(at[1], 3), "max": round(ordered[-1], 3)}


def files(prefix: str, number: int, parts: Sequence[str] = PARTS, value: str = "") -> Mapping[str, str]:
    name = f"{prefix}-{number}"
    return {
        f"{name}/{part}.yaml": (
            f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}-{part}}}\ndata: {{value: '{value or part * 200}'}}\n"
        )
        for part in parts
    }


def until(is_true: Callable[[], bool], within_s: float = 600.0) -> float:
    """Seconds until something is true."""
    begun = time.monotonic()
    while not is_true():
        if time.monotonic() - begun > within_s:
            raise TimeoutError(f"not within {within_s:.0f} s")
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - begun
