"""`undrift dev-cluster` as a person types it: starts, lists, prints a kubeconfig, stops; and Ctrl-C in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from kubernetes import client, config

from tests.fixtures.installation import COMMAND, eventually

pytestmark = pytest.mark.cluster
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    env = {**os.environ, "UNDRIFT_HOME": str(tmp_path / "home")}

    def undrift(*words: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, "dev-cluster", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)

    return undrift


def below(home: Path) -> list[psutil.Process]:
    """Every process whose command line or folder lies in a home."""
    found = []
    for one in psutil.process_iter(["cmdline", "cwd"]):
        words = " ".join(one.info["cmdline"] or ()) + " " + (one.info["cwd"] or "")
        if str(home) in words and one.pid != os.getpid():
            found.append(one)
    return found


@pytest.mark.timeout(180)
def test_a_cluster_is_started_listed_used_and_stopped(run: Run, tmp_path: Path) -> None:
    started = run("start", "mine", "--bare")
    assert started.returncode == 0, started.stderr
    assert started.stdout.startswith("mine runs at https://127.0.0.1:")

    assert run("list", "-o", "name").stdout == "mine\n"
    (item,) = json.loads(run("list", "-o", "json").stdout)["items"]
    assert (item["name"], item["bare"]) == ("mine", True)

    printed = run("kubeconfig", "mine").stdout
    (tmp_path / "kubeconfig").write_text(printed)
    api = config.new_client_from_config(str(tmp_path / "kubeconfig"))
    assert "kube-system" in [one.metadata.name for one in client.CoreV1Api(api).list_namespace().items]
    api.close()

    assert run("stop", "mine").stdout == "mine stopped\n"
    assert run("list", "-o", "name").stdout == ""
    eventually(lambda: below(tmp_path / "home") == [], "nothing is left running", 20.0)


def test_what_can_not_be_done_says_why_and_ends_with_2(run: Run) -> None:
    for words, what in (
        (("kubeconfig", "nobody"), "nobody"),
        (("stop",), "say which"),
        (("start", "No_Such_Name", "--bare"), "No_Such_Name"),
    ):
        found = run(*words)
        assert found.returncode == 2
        assert what in found.stderr
        assert found.stdout == ""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", ["supervisor", "etcd", "kube-apiserver"])
def test_ctrl_c_in_the_middle_of_a_start_leaves_nothing_running(run: Run, tmp_path: Path, program: str) -> None:
    home = tmp_path / "home"
    child = subprocess.Popen(
        [*COMMAND, "dev-cluster", "start", "one", "two", "--bare"],
        env={**os.environ, "UNDRIFT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually(lambda: any(program in " ".join(one.info["cmdline"] or ()) for one in below(home)), "it has begun", 30.0)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)

    assert child.returncode != 0, told
    eventually(lambda: below(home) == [], "nothing is left running", 30.0)
    assert run("list", "-o", "name").stdout == ""
