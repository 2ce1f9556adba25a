"""Server-side apply by threads over kept connections, and nothing else: what there is to reach.

client   threads of the `kubernetes` client, answers left unparsed: what a script of a user's reaches, and the 275 to 340
         objects/s that DESIGN.md §10 was measured with
lean     threads of Undrift's own HTTP path: the server's limit, as near as Python comes to it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import kubernetes

from benchmarks.site import CONFIG_MAP, NAMESPACE, Site
from benchmarks.tools import Run
from benchmarks.workload import WARM_UP, Workload
from reconciler.cluster.transport import APPLY_PATCH
from reconciler.model.live import Resource

Send = Callable[[Resource, Any], object]


class Raw:
    """`through` opens a way to send one object."""

    def __init__(self, name: str, through: Callable[[Site], AbstractContextManager[Send]], threads: int) -> None:
        self.name, self._through, self._threads = f"{name}, {threads} threads", through, threads

    @contextmanager
    def ready(self, site: Site, work: Workload) -> Iterator[Callable[[], Run]]:
        bodies, warm = work.bodies(), work.named(f"{work.name}-warm", WARM_UP).bodies()
        with self._through(site) as send, ThreadPoolExecutor(self._threads) as threads:

            def apply(some: list[Any]) -> None:
                list(threads.map(lambda body: send(CONFIG_MAP, body), some))

            for one in (bodies, warm):
                name = one[0]["metadata"]["namespace"]
                send(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
            apply(warm)  # each thread has its connection

            def run() -> Run:
                begun, before = time.monotonic(), time.process_time()
                apply(bodies)
                return Run(len(bodies), time.monotonic() - begun, time.process_time() - before)

            yield run


@contextmanager
def lean(site: Site) -> Iterator[Send]:
    with site.api() as api:
        yield lambda resource, body: api.apply(resource, body, manager="raw", force=False)


@contextmanager
def client(site: Site) -> Iterator[Send]:
    with kubernetes.config.new_client_from_config(str(site.cluster.kubeconfig)) as found:
        core = kubernetes.client.CoreV1Api(found)
        how = {"field_manager": "raw", "_content_type": APPLY_PATCH, "_preload_content": False}

        def send(resource: Resource, body: Any) -> object:
            name, namespace = body["metadata"]["name"], body["metadata"].get("namespace")
            if resource is NAMESPACE:
                return core.patch_namespace(name, body, **how)
            return core.patch_namespaced_config_map(name, namespace, body, **how)

        yield send
