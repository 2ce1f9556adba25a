"""A dev cluster's life: found again, stopped, killed, outliving its starter or not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import urllib3

from reconciler import devcluster
from reconciler.devcluster.folders import cache_folder
from tests.fixtures.installation import eventually

pytestmark = pytest.mark.cluster

STARTER = """
import os, sys, time
from pathlib import Path
from reconciler import devcluster
from reconciler.devcluster.folders import cache_folder
devcluster.start(["bound"], Path(sys.argv[1]), cache=cache_folder(os.environ), env=os.environ, bare=True, bound=True)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_running_cluster_is_found_again_and_nothing_is_left_after_stop(tmp_path: Path) -> None:
    first = _start(tmp_path)
    programs = psutil.Process(first.pid).children()

    again = _start(tmp_path)
    devcluster.stop(tmp_path, first.name)

    assert again == first
    assert devcluster.running(tmp_path) == []
    assert not first.folder.exists()
    eventually(lambda: not any(_lives(program) for program in programs), "its programs end", within_s=30)


def test_kill_9_of_the_supervisor_leaves_nothing_running(tmp_path: Path) -> None:
    cluster = _start(tmp_path)
    programs = psutil.Process(cluster.pid).children()

    os.kill(cluster.pid, signal.SIGKILL)

    eventually(lambda: not any(_lives(program) for program in programs), "its programs end", within_s=30)
    assert devcluster.running(tmp_path) == []
    with pytest.raises(devcluster.ClusterNotRunning):
        devcluster.kubeconfig(tmp_path, cluster.name)


def test_a_bound_cluster_ends_with_a_starter_that_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER, tmp_path], stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter.stdout as said:
        assert said.readline() == b"ready\n"
    supervisor = psutil.Process(devcluster.running(tmp_path)[0].pid)
    family = [supervisor, *supervisor.children()]

    starter.kill()
    starter.wait()

    eventually(lambda: not any(_lives(member) for member in family), "supervisor and programs end", within_s=30)


def test_an_api_server_that_was_killed_comes_back_as_the_same_cluster(tmp_path: Path) -> None:
    cluster = _start(tmp_path)
    server = next(each for each in psutil.Process(cluster.pid).children() if "apiserver" in each.name())

    server.kill()

    try:
        eventually(lambda: not _lives(server), "the API server ends", within_s=30)
        eventually(lambda: _answers(cluster), "the cluster answers", within_s=30)
        assert devcluster.running(tmp_path) == [cluster]
    finally:
        devcluster.stop(tmp_path, cluster.name)


def _start(home: Path) -> devcluster.Running:
    return devcluster.start(["one"], home, cache=cache_folder(os.environ), env=os.environ, bare=True, bound=True)[0]


def _answers(cluster: devcluster.Running) -> bool:
    with urllib3.PoolManager(ca_cert_data=cluster.ca, retries=False) as http:
        try:
            headers = {"Authorization": f"Bearer {cluster.token}"}
            return http.request("GET", f"{cluster.server_url}/readyz", headers=headers).status == 200
        except urllib3.exceptions.HTTPError:
            return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
