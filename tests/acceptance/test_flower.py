"""Flower as shipped: a login from the first start, on this machine only, and a resync sent through its API."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

from reconciler import process
from reconciler.clock import SystemClock
from reconciler.fleet import expand
from tests.fixtures.installation import COMMAND, eventually
from tests.fleets import application, cluster, documents, fleet
from workers.messages import Lane, Work
from workers.settings import from_env
from workers.store import Store, open_store

CELERY = [sys.executable, "-m", "celery", "-A", "workers"]
STARTS = {"undrift": [*COMMAND, "flower"], "celery": [*CELERY, "flower"]}
RESYNC = "/api/task/send-task/undrift.resync"


@dataclass
class Flower:
    """A running Flower, asked with or without its login."""

    process: subprocess.Popen[bytes]
    port: int
    login: str

    def ask(self, method: str, path: str, *, login: str | None = "", **more: Any) -> urllib3.BaseHTTPResponse:
        headers = dict(more.pop("headers", {}))
        if login is not None:
            headers |= urllib3.make_headers(basic_auth=login or self.login)
        with urllib3.PoolManager(retries=False, timeout=10.0) as http:
            return http.request(method, f"http://127.0.0.1:{self.port}{path}", headers=headers, redirect=False, **more)

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/healthcheck").status == 200
        except urllib3.exceptions.HTTPError:
            return False


def environment(home: Path, valkey: str, **more: str) -> dict[str, str]:
    return {**os.environ, "UNDRIFT_HOME": str(home), "UNDRIFT_REDIS_URL": valkey, **more}


def started(command: list[str], env: Mapping[str, str], folder: Path) -> Iterator[Flower]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with (folder / "flower.log").open("ab") as log:
        child = process.spawn(
            command, env={**env, "UNDRIFT_FLOWER_PORT": str(port)}, cwd=folder, stdout=log, stderr=log
        )
    flower = Flower(child, port, ":".join(from_env(env).flower_login()))
    eventually(flower.answers, (folder / "flower.log").read_text(), 30.0)
    yield flower
    process.stop(child, grace_s=3.0)


@pytest.fixture(params=STARTS)
def flower(request: pytest.FixtureRequest, valkey: str, tmp_path: Path) -> Iterator[Flower]:
    """As started either way, with an environment that would open it and a configuration file that must not run."""
    (tmp_path / "flowerconfig.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\naddress = '0.0.0.0'\n")
    env = environment(tmp_path / "home", valkey, FLOWER_UNAUTHENTICATED_API="true")
    yield from started(STARTS[request.param], env, tmp_path)


@pytest.fixture
def acting_flower(valkey: str, tmp_path: Path) -> Iterator[Flower]:
    """With actions allowed, as under `undrift up`."""
    env = environment(tmp_path / "home", valkey, UNDRIFT_FLOWER_ACTIONS="1")
    yield from started(STARTS["undrift"], env, tmp_path)


@pytest.fixture
def store(valkey: str) -> Iterator[Store]:
    """The store, with one instance in force."""
    opened = open_store(valkey, SystemClock())
    opened.due.seen_before(quarantine_s=0.0)  # or nothing is granted
    expansion = expand(fleet(documents(application("podinfo"), cluster("eu-1"))), previous={})
    opened.fleet.publish(expansion.specs, expansion.clusters, expansion.repositories())
    yield opened
    opened.redis.close()


@pytest.fixture(params=[[*COMMAND, "worker", "--name", "w1@here"], [*CELERY, "worker"]], ids=["undrift", "celery"])
def worker(request: pytest.FixtureRequest, valkey: str, tmp_path: Path, store: Store) -> Iterator[None]:
    """A real worker, started either way."""
    env = environment(tmp_path / "home", valkey, UNDRIFT_CONCURRENCY="1")
    with (tmp_path / "worker.log").open("ab") as log:
        child = process.spawn(request.param, env=env, stdout=log, stderr=log)
    eventually(lambda: store.slots.alive(store.clock.now()), "the worker runs", 30.0)
    yield
    process.stop(child, grace_s=8.0)


def test_nobody_gets_in_without_the_login(flower: Flower, tmp_path: Path):
    pages = ["/", "/workers", "/tasks", "/api/workers", "/api/tasks", "/api/task/types"]

    assert {flower.ask("GET", page, login=None).status for page in pages} == {401}
    assert {flower.ask("GET", page, login="undrift:wrong").status for page in pages} == {401}
    assert flower.ask("POST", RESYNC, login=None, json={}).status == 401
    assert flower.ask("GET", "/tasks").status == 200
    assert not (tmp_path / "ran").exists()


def test_it_listens_on_this_machine_only(flower: Flower):
    listening = [one.laddr for one in psutil.Process(flower.process.pid).net_connections() if one.status == "LISTEN"]

    assert [(one.ip, one.port) for one in listening] == [("127.0.0.1", flower.port)]


@pytest.mark.parametrize(
    "path",
    [RESYNC, "/api/task/async-apply/undrift.resync", "/api/worker/shutdown/w1@here", "/api/task/revoke/x"],
)
def test_it_only_shows_unless_actions_are_allowed(flower: Flower, path: str):
    answer = flower.ask("POST", path, json={"kwargs": {"application": "podinfo"}})

    assert answer.status == 403
    assert b"ead only" in answer.data or b"ead-only" in answer.data


def test_its_password_is_in_no_command_line(flower: Flower):
    words = " ".join(psutil.Process(flower.process.pid).cmdline())

    assert flower.login.partition(":")[2] not in words


def test_a_resync_sent_through_its_api_makes_the_instance_due(acting_flower: Flower, worker: None, store: Store):
    answer = acting_flower.ask("POST", RESYNC, json={"kwargs": {"application": "podinfo", "reason": "asked by Ann"}})

    assert answer.status == 200
    eventually(lambda: store.queued.states(), "the task has run", 15.0)
    (grant,) = store.due.grant(1, 5.0)
    assert (grant.work, grant.lane) == (Work("sync", "default/podinfo@eu-1"), Lane.OPERATOR)
    assert grant.reasons == ("asked by Ann",)


def test_a_refused_resync_says_why_in_flower(acting_flower: Flower, worker: None, store: Store):
    identity = acting_flower.ask("POST", RESYNC, json={"kwargs": {"application": "podinof"}}).json()["task-id"]

    def told() -> dict[str, Any]:
        answer = acting_flower.ask("GET", f"/api/task/info/{identity}")
        return answer.json() if answer.status == 200 and answer.json().get("exception") else {}

    eventually(told, "the refusal is shown", 15.0)
    assert "nothing in the fleet is meant by 'podinof'" in told()["exception"]
    assert store.queued.states() == {}


def test_another_sites_page_cannot_start_a_task(acting_flower: Flower, store: Store):
    headers = {"Origin": "http://evil.example.com", "Sec-Fetch-Site": "cross-site"}

    answer = acting_flower.ask("POST", RESYNC, json={"kwargs": {"application": "podinfo"}}, headers=headers)

    assert answer.status == 403
    assert store.redis.llen("undrift") == 0


def test_it_ends_when_told_to(acting_flower: Flower):
    acting_flower.process.send_signal(signal.SIGTERM)

    assert acting_flower.process.wait(5.0) == 0
