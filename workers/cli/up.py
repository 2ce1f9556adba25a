"""`undrift up`: everything on this machine in one terminal, on an embedded Valkey. The same code as production."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import redis
import typer

from reconciler import devcluster
from reconciler.clock import SystemClock
from workers import embedded, logs
from workers import settings as settings_module
from workers.cli.processes import flower_login
from workers.settings import BadSetting, Settings
from workers.store import Store, open_store
from workers.supervise import Child, Supervisor

up_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
READY_WITHIN_S = 120.0
LOOK_EVERY_S = 0.25
LOCAL_POLL_S = "3"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    fleet: str
    dev_clusters: tuple[str, ...]
    workers: int
    concurrency: int
    port: int


@up_app.command(epilog="Example: undrift up --fleet examples/fleet --dev-clusters 3")
def up(
    fleet: Annotated[str, typer.Option(help="A folder or Git URL.")] = "",
    dev_clusters: Annotated[int, typer.Option(min=0, max=20, help="Local clusters dev-1 … dev-N to start.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Children of each worker.")] = 2,
    port: Annotated[int, typer.Option(help="Flower's port; 0 takes a free one.")] = 5555,
) -> None:
    """Run everything on this machine; Ctrl-C stops all. Prints `ready` when everything runs."""
    logs.set_up("up")
    chosen = settings_module.from_env(os.environ)
    location = fleet or chosen.fleet
    if not location:
        raise BadSetting("no fleet: give --fleet DIR|URL, for a first try --fleet examples/fleet")
    names = tuple(f"dev-{number}" for number in range(1, dev_clusters + 1))
    with _only_one(chosen.home):
        _run(chosen, Wanted(location, names, workers, concurrency, port or _free_port()))


def _run(chosen: Settings, wanted: Wanted) -> None:
    supervisor = Supervisor()
    supervisor.watch_signals()
    (chosen.home / "logs").mkdir(exist_ok=True, mode=0o700)
    valkey = None
    try:
        _start_dev_clusters(chosen, wanted)
        if not os.environ.get("UNDRIFT_REDIS_URL"):
            valkey = embedded.start(chosen.home / "logs" / "valkey.log")
            chosen.embedded_socket.write_text(str(valkey.socket))
        url = valkey.url if valkey else chosen.redis_url
        for child in _children(chosen, wanted, url, fresh=valkey is not None):
            supervisor.add(child)
        store = open_store(url, SystemClock())
        if _await_ready(supervisor, store, wanted):
            _greet(chosen, wanted)
        while not supervisor.stopping:
            supervisor.tend(1.0)
            if valkey is not None and valkey.process.poll() is not None and not supervisor.stopping:
                valkey = embedded.start(chosen.home / "logs" / "valkey.log", folder=valkey.folder)
    finally:
        supervisor.stop()
        if valkey is not None:
            valkey.stop()
            chosen.embedded_socket.unlink(missing_ok=True)
        for name in wanted.dev_clusters:
            devcluster.stop(chosen.home, name)


def _start_dev_clusters(chosen: Settings, wanted: Wanted) -> None:
    if wanted.dev_clusters:
        devcluster.start(
            list(wanted.dev_clusters),
            chosen.home,
            cache=chosen.cache,
            env=os.environ,
            bound=True,
            progress=lambda line: print(line, file=sys.stderr, flush=True),
        )


def _children(chosen: Settings, wanted: Wanted, url: str, *, fresh: bool) -> list[Child]:
    env = {
        **os.environ,
        "UNDRIFT_HOME": str(chosen.home),
        "UNDRIFT_REDIS_URL": url,
        "UNDRIFT_FLEET": wanted.fleet,
        "UNDRIFT_DEV_CLUSTERS": ",".join(wanted.dev_clusters),
        "UNDRIFT_CONCURRENCY": str(wanted.concurrency),
        "UNDRIFT_FLOWER_PORT": str(wanted.port),
        "PYTHONUNBUFFERED": "1",
    }
    env.setdefault("UNDRIFT_FLEET_POLL", LOCAL_POLL_S)
    env.setdefault("UNDRIFT_REPOSITORY_POLL", LOCAL_POLL_S)
    env.setdefault("UNDRIFT_FLOWER_ACTIONS", "1")
    command = [sys.executable, "-m", "workers.cli.main"]

    def child(name: str, *arguments: str, grace_s: float = 5.0) -> Child:
        return Child(name, [*command, *arguments], env, chosen.home / "logs" / f"{name}.log", grace_s)

    scheduler = child("scheduler", "scheduler", *(["--fresh"] if fresh else []))
    host = socket.gethostname()
    workers = [child(f"worker-{n}", "worker", "--name", f"worker-{n}@{host}") for n in range(1, wanted.workers + 1)]
    # Flower does not answer SIGTERM while Redis is away, so it gets little time.
    return [scheduler, *workers, child("flower", "flower", grace_s=2.0)]


def _await_ready(supervisor: Supervisor, store: Store, wanted: Wanted) -> bool:
    """Wait until everything runs; False when told to stop meanwhile. Raises BadSetting when it takes too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not supervisor.stopping:
        if _is_ready(store, wanted):
            return True
        if time.monotonic() > deadline:
            raise BadSetting(f"not everything came up within {READY_WITHIN_S:.0f} s; see the logs folder of the home")
        supervisor.tend(LOOK_EVERY_S)
    return False


def _is_ready(store: Store, wanted: Wanted) -> bool:
    try:
        workers = len(store.slots.alive(store.clock.now()))
        published = bool(store.specs.fleet()["revision"] or store.specs.fleet()["problems"])
    except redis.RedisError:
        return False
    return workers >= wanted.workers and published and _answers(wanted.port)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _greet(chosen: Settings, wanted: Wanted) -> None:
    user, password = flower_login(chosen)
    note = {"pid": os.getpid(), "flower": f"http://127.0.0.1:{wanted.port}", "workers": wanted.workers}
    (chosen.home / "up.json").write_text(json.dumps(note))
    print(f"Flower   http://127.0.0.1:{wanted.port}  (login {user}, password {password})")
    print(f"logs     {chosen.home / 'logs'}")
    print("ready", flush=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _only_one:  # reads as a sentence where it is used
    """Holds a home for one `up`. Raises BadSetting when another one runs there."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock: IO[str] | None = None

    def __enter__(self) -> None:
        self._lock = (self._home / "up.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise BadSetting(
                f"another `undrift up` runs in {self._home}; stop it, or set UNDRIFT_HOME to another folder"
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.close()
