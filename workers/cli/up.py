"""`undrift up`: everything on this machine in one terminal, on an embedded Valkey. The same code as production."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from reconciler import devcluster
from reconciler.errors import UndriftError
from reconciler.source import is_remote, why_no_folder
from workers import embedded, logs
from workers import settings as settings_module
from workers.cli.contexts import add as add_contexts
from workers.cli.watching import Watch
from workers.settings import BadSetting, Settings
from workers.supervise import Child, Supervisor

up_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
READY_WITHIN_S = 120.0
LOOK_EVERY_S = 0.25
WATCH_EVERY_S = 2.0
LOCAL_POLL_S, LOCAL_SCAN_S = "3", "10"
FRESH = "--fresh"
FLOWER_PORT = 5555
GROUND_GRACE_S, FLOWER_GRACE_S, WORKER_GRACE_S = 1.5, 2.0, 6.0


class NotUp(UndriftError):
    """Not everything that `up` started came up."""

    stage = "up"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asked for."""

    fleet: str
    dev_clusters: tuple[str, ...]
    contexts: tuple[str, ...]
    workers: int
    concurrency: int
    port: int
    metrics: str

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@up_app.command(epilog="Example: undrift up --fleet ./fleet --dev-clusters 3")
def up(
    fleet: Annotated[str, typer.Option(help="A folder or Git URL (default: UNDRIFT_FLEET).")] = "",
    dev_clusters: Annotated[int, typer.Option(min=0, max=20, help="Local clusters dev-1 … dev-N to start.")] = 0,
    context: Annotated[
        list[str] | None, typer.Option(help="A context of your kubeconfig to add; nothing is written to it at first.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 2,
    concurrency: Annotated[int, typer.Option(min=1, max=32, help="Children of each worker.")] = 2,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Flower's port; 5555 by default, or a free one where it is taken."),
    ] = None,
) -> None:
    """Run everything on this machine; Ctrl-C stops all. Prints `ready` when everything runs."""
    chosen = settings_module.from_env(os.environ)
    location = fleet or chosen.fleet
    if not location:
        raise BadSetting("no fleet: give --fleet DIR|URL; for a first try run `make demo` in a checkout")
    if not is_remote(location) and not Path(location).is_dir():
        raise BadSetting(f"--fleet: {why_no_folder(location)}", subject="UNDRIFT_FLEET")
    names = tuple(f"dev-{number}" for number in range(1, dev_clusters + 1))
    with only_one(chosen.home):
        contexts = add_contexts(chosen, context or [])
        served = chosen.metrics or f"127.0.0.1:{_usable(0)}"
        flower = _preferred() if port is None else _usable(port)
        _run(chosen, Wanted(location, names, contexts, workers, concurrency, flower, served))


@contextlib.contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold a home for one `up`, for as long as its process lives. Raises BadSetting when another one runs there."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise BadSetting(
                f"another `undrift up` (process {lock.read().strip() or 'unknown'}) runs in {home}; stop it, or set "
                "UNDRIFT_HOME to another folder"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _run(chosen: Settings, wanted: Wanted) -> None:
    folder = chosen.home / "logs"
    folder.mkdir(exist_ok=True, mode=0o700)
    _remove_left(chosen)
    with (folder / "up.log").open("a") as own_log:
        logs.set_up("up", own_log)
        supervisor = Supervisor(tell=_say)
        ours = _start_dev_clusters(chosen, wanted)
        supervisor.watch_signals()
        try:
            _keep_running(supervisor, chosen, wanted)
        finally:
            _end(supervisor, chosen, ours)


def _keep_running(supervisor: Supervisor, chosen: Settings, wanted: Wanted) -> None:
    """Start everything, say when it is ready, and tend it until told to stop."""
    url = os.environ.get("UNDRIFT_REDIS_URL") or _start_valkey(supervisor, chosen)
    for child in _children(chosen, wanted, url):
        supervisor.add(child)
        child.argv = [word for word in child.argv if word != FRESH]  # true of the first start only
    with contextlib.closing(Watch(url, wanted.flower_url, chosen.flower_login())) as watch:
        if not _await_ready(supervisor, watch, wanted, chosen):
            return
        _greet(chosen, wanted)
        for sentence in watch.problems():
            _say(f"fleet    {sentence}")
        # On a terminal one line tells how the fleet is; anywhere else nothing more is printed.
        console = Console(file=sys.__stdout__)  # it moves the cursor
        with console.status(watch.line()) if console.is_terminal else contextlib.nullcontext() as line:
            while not supervisor.stopping:
                supervisor.tend(WATCH_EVERY_S)
                # Flower's waits between its attempts to reconnect double without an end, so it starts anew.
                if watch.redis_came_back():
                    supervisor.restart("flower")
                if line is not None and not supervisor.stopping:
                    line.update(watch.line())


def _end(supervisor: Supervisor, chosen: Settings, ours: list[str]) -> None:
    """End everything at once: clusters take as long to end as workers do."""
    ending = [threading.Thread(target=_end_dev_cluster, args=(chosen.home, name)) for name in ours]
    for thread in ending:
        thread.start()
    supervisor.stop()
    _remove_left(chosen)
    for thread in ending:
        thread.join()
    supervisor.close()


def _end_dev_cluster(home: Path, name: str) -> None:
    with contextlib.suppress(devcluster.ClusterNotRunning):
        devcluster.stop(home, name)


def _start_dev_clusters(chosen: Settings, wanted: Wanted) -> list[str]:
    """Start the clusters that do not run yet; their names. They end with us, others' stay as they are."""
    if not wanted.dev_clusters:
        return []
    # Until everything is supervised a signal is an exception: what has been started by then is bound to us, and ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    known = {cluster.name for cluster in devcluster.running(chosen.home)}
    devcluster.start(
        list(wanted.dev_clusters), chosen.home, cache=chosen.cache, env=os.environ, bound=True, progress=_say
    )
    return [name for name in wanted.dev_clusters if name not in known]


def _start_valkey(supervisor: Supervisor, chosen: Settings) -> str:
    """Start the embedded Valkey and note its socket for commands in other terminals; its URL."""
    log = chosen.home / "logs" / "valkey.log"
    server = embedded.start(log)
    chosen.embedded_socket.write_text(str(server.socket))
    command = embedded.command(embedded.program(), server.folder)
    child = Child("valkey", command, os.environ, log, GROUND_GRACE_S, is_ground=True, process=server.process)
    child.before = lambda: server.socket.unlink(missing_ok=True)
    supervisor.add(child)
    return server.url


def _children(chosen: Settings, wanted: Wanted, url: str) -> list[Child]:
    env = {
        **os.environ,
        "UNDRIFT_HOME": str(chosen.home),
        "UNDRIFT_REDIS_URL": url,
        "UNDRIFT_FLEET": wanted.fleet,
        "UNDRIFT_DEV_CLUSTERS": ",".join(wanted.dev_clusters),
        "UNDRIFT_CONTEXTS": ",".join(wanted.contexts),
        "UNDRIFT_CONCURRENCY": str(wanted.concurrency),
        "UNDRIFT_FLOWER_PORT": str(wanted.port),
        "UNDRIFT_METRICS": wanted.metrics,
        "PYTHONUNBUFFERED": "1",
    }
    env.setdefault("UNDRIFT_FLEET_POLL", LOCAL_POLL_S)
    env.setdefault("UNDRIFT_REPOSITORY_POLL", LOCAL_POLL_S)
    env.setdefault("UNDRIFT_SCAN_EVERY", LOCAL_SCAN_S)
    env.setdefault("UNDRIFT_FLOWER_ACTIONS", "1")
    command = [sys.executable, "-m", "workers.cli.main"]

    def child(name: str, *arguments: str, grace_s: float) -> Child:
        # One of them tells of all, and an address can be listened at once only.
        own = env if name == "scheduler" else {**env, "UNDRIFT_METRICS": ""}
        return Child(name, [*command, *arguments], own, chosen.home / "logs" / f"{name}.log", grace_s)

    # With our own Valkey nobody can hold a lease that it does not know of, so nothing has to be waited for.
    fresh = [] if os.environ.get("UNDRIFT_REDIS_URL") else [FRESH]
    host = socket.gethostname()
    return [
        child("scheduler", "scheduler", *fresh, grace_s=WORKER_GRACE_S),
        *(
            child(f"worker-{n}", "worker", "--name", f"worker-{n}@{host}", grace_s=WORKER_GRACE_S)
            for n in range(1, wanted.workers + 1)
        ),
        child("watcher", "watcher", "--all", grace_s=WORKER_GRACE_S),
        child("flower", "flower", grace_s=FLOWER_GRACE_S),
    ]


def _await_ready(supervisor: Supervisor, watch: Watch, wanted: Wanted, chosen: Settings) -> bool:
    """Wait until everything runs; False when told to stop meanwhile. Raises NotUp when it takes too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not supervisor.stopping:
        missing = watch.missing(wanted.workers)
        if not missing:
            return True
        if time.monotonic() > deadline:
            raise NotUp(f"not ready after {READY_WITHIN_S:.0f} s: {missing}; see {chosen.home / 'logs'}")
        supervisor.tend(LOOK_EVERY_S)
    return False


def _greet(chosen: Settings, wanted: Wanted) -> None:
    user, password = chosen.flower_login()
    note = {"pid": os.getpid(), "flower": wanted.flower_url, "workers": wanted.workers}
    note |= {"devClusters": list(wanted.dev_clusters)}
    chosen.up_note.write_text(json.dumps(note))
    print(f"Flower   {wanted.flower_url}  (login {user}, password {password})")
    print(f"metrics  http://{wanted.metrics}/metrics")
    print(f"logs     {chosen.home / 'logs'}")
    for name in wanted.dev_clusters:
        print(f"cluster  {name}  (local; `undrift dev-cluster kubeconfig {name}` prints its kubeconfig)")
    for name in wanted.contexts:
        print(f"cluster  {name}  (of your kubeconfig; `undrift cluster activate {name}` lets it be written to)")
    print("ready", flush=True)


def _remove_left(chosen: Settings) -> None:
    """Remove what tells others where we are; also what an `up` that was killed has left."""
    chosen.up_note.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        embedded.remove_left(Path(chosen.embedded_socket.read_text().strip()))
        chosen.embedded_socket.unlink()
    shutil.rmtree(chosen.home / "render", ignore_errors=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _preferred() -> int:
    """Flower's own port where nobody has it, else a free one: two `up` on one machine are no mistake."""
    try:
        return _usable(FLOWER_PORT)
    except BadSetting:
        return _usable(0)


def _usable(port: int) -> int:
    """The port, or a free one for 0. Raises BadSetting when another process has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BadSetting(f"Flower's port {port}: {error.strerror}; `--port 0` takes a free one") from error
        return int(probe.getsockname()[1])
