"""`undrift up` as shipped: ready when it says so, whole again after any of its processes died, gone when it ends."""

from __future__ import annotations

import json
import signal
import socket
import stat
from pathlib import Path

import psutil
import pytest
import redis

from tests.fixtures.installation import eventually
from tests.fixtures.terminal import Run
from workers.store import Store

NOTES = ("up.json", "valkey.socket")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_it_says_ready_and_ends_everything_within_ten_seconds(run_up: Run, number: signal.Signals):
    terminal = run_up("--workers", "2")
    terminal.await_line("ready")
    socket_folder = Path((terminal.home / "valkey.socket").read_text()).parent

    assert terminal.end(number) == 0

    assert [name for name in NOTES if (terminal.home / name).exists()] == []
    assert not socket_folder.exists()


def test_everything_runs_when_it_says_ready(run_up: Run):
    terminal = run_up("--workers", "2", "--concurrency", "3")
    terminal.await_line("ready")

    store = terminal.store()
    with store.redis:
        assert sorted(store.slots.alive(store.clock.now()).values()) == [3, 3]
    note = json.loads((terminal.home / "up.json").read_text())
    assert note["flower"] in "".join(terminal.lines)
    assert terminal.settings.flower_login()[1] in "".join(terminal.lines)
    logs = {path.stem for path in (terminal.home / "logs").iterdir()}
    assert logs == {"up", "valkey", "scheduler", "worker-1", "worker-2", "watcher", "flower"}
    assert stat.S_IMODE(terminal.home.stat().st_mode) == 0o700


def test_nothing_is_left_when_it_is_killed(run_up: Run):
    """Also not the children of its workers, which are no children of its own."""
    terminal = run_up("--workers", "1", "--concurrency", "2")
    terminal.await_line("ready")
    eventually(lambda: len(terminal.family()) >= 6, "the worker's children run")

    assert terminal.end(signal.SIGKILL) == -signal.SIGKILL


def test_the_next_one_cleans_up_after_one_that_was_killed(run_up: Run):
    killed = run_up("--workers", "1")
    killed.await_line("ready")
    left = Path((killed.home / "valkey.socket").read_text()).parent
    killed.end(signal.SIGKILL)
    assert left.exists()

    run_up("--workers", "1").await_line("ready")

    assert not left.exists()


def test_a_second_one_on_the_same_home_is_refused_and_disturbs_nothing(run_up: Run):
    first = run_up("--workers", "1")
    first.await_line("ready")
    before = {one.pid for one in psutil.Process(first.running.pid).children()}

    second = run_up("--workers", "1", home=first.home)
    said = second.await_line("another")

    assert second.running.wait(10.0) == 2
    assert f"another `undrift up` (process {first.running.pid}) runs in {first.home}" in said
    assert "set UNDRIFT_HOME" in said
    assert {one.pid for one in psutil.Process(first.running.pid).children()} == before


def test_a_port_that_is_taken_is_told_before_anything_starts(run_up: Run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        terminal = run_up("--port", str(taken.getsockname()[1]))
        said = terminal.await_line("Flower's port")

        assert terminal.running.wait(10.0) == 2
    assert "`--port 0` takes a free one" in said


def test_a_worker_that_was_killed_is_started_again(run_up: Run):
    terminal = run_up("--workers", "1")
    terminal.await_line("ready")

    worker = terminal.kill(" worker ")

    terminal.await_line("worker-1 ended (status -9); starts again in 1 s", within_s=5.0)
    eventually(lambda: terminal.has_another(" worker ", worker), "it runs again", 10.0)


def test_a_valkey_that_was_killed_comes_back_and_all_find_it(run_up: Run):
    """Flower's own waits double without an end, so it is started anew."""
    terminal = run_up("--workers", "1")
    terminal.await_line("ready")
    flower = terminal.pid_of(" flower")

    valkey = terminal.kill("valkey-server")

    terminal.await_line("valkey ended", within_s=5.0)
    store = terminal.store()
    with store.redis:
        eventually(lambda: terminal.has_another("valkey-server", valkey), "it runs again", 15.0)
        eventually(lambda: is_found(store), "the worker found it", 30.0)
    terminal.await_line("flower ended", within_s=15.0)
    eventually(lambda: terminal.has_another(" flower", flower), "Flower was started anew", 15.0)
    assert terminal.end() == 0


def is_found(store: Store) -> bool:
    """Whether a worker beats in the store. A process that runs again has no socket for its first moments."""
    try:
        return bool(store.slots.alive(store.clock.now()))
    except redis.ConnectionError:
        return False


def test_a_redis_of_ones_own_is_used_and_not_ended(run_up: Run, valkey: str):
    terminal = run_up("--workers", "1", env={"UNDRIFT_REDIS_URL": valkey})
    terminal.await_line("ready")

    assert not (terminal.home / "valkey.socket").exists()
    assert terminal.end() == 0
    assert not (terminal.home / "logs" / "valkey.log").exists()
