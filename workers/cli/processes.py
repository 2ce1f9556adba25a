"""The processes: `scheduler`, `worker`, `watcher`, `flower`, and `version`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from functools import partial
from typing import Annotated

import typer

from workers.settings import BadSetting


def _app() -> typer.Typer:
    return typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


scheduler_app, worker_app, watcher_app, flower_app, version_app = _app(), _app(), _app(), _app(), _app()


@version_app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as of

    typer.echo(f"undrift {of('undrift')}")


@scheduler_app.command(epilog="Example: undrift scheduler --fleet https://git.example.com/fleet.git@main")
def scheduler(
    fleet: Annotated[str, typer.Option(help="A folder or Git URL (default: UNDRIFT_FLEET).")] = "",
    fresh: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run a scheduler. Two or more may run; one leads."""
    from reconciler.clock import SystemClock
    from workers import logs, metrics, wiring
    from workers.app import the_app
    from workers.dispatch import dispatch
    from workers.scheduler import Scheduler
    from workers.scheduler.fleet import FleetKeeper
    from workers.scheduler.loop import Pace
    from workers.scheduler.records import Records
    from workers.store.due import Most

    logs.set_up("scheduler")
    chosen = wiring.settings()
    location = fleet or chosen.fleet
    if not location:
        raise BadSetting("no fleet: give --fleet DIR|URL, or set UNDRIFT_FLEET")
    pace = Pace(
        chosen.lease_s,
        chosen.fleet_poll_s,
        chosen.repository_poll_s,
        most=Most(syncs=chosen.syncs_per_cluster),
        tells=chosen.webhook is not None,
    )
    store = wiring.store()
    # The leader waits for no place at a Git host: it would grant nothing meanwhile.
    keeper = FleetKeeper(
        location, wiring.open_rooms(chosen).source, chosen.dev_clusters, chosen.contexts, store.pins.activated
    )
    records = Records(store, wiring.journal(), wiring.journal_copy())
    made = Scheduler(store, keeper, records, partial(dispatch, the_app(), store.redis), SystemClock(), pace)
    if fresh:
        made.fresh_start()
    if chosen.metrics:
        metrics.serve(chosen.metrics, store)
        print(f"metrics  http://{chosen.metrics}/metrics", flush=True)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    made.run(stop)


@worker_app.command(epilog="Example: UNDRIFT_CONCURRENCY=8 undrift worker")
def worker(
    name: Annotated[str, typer.Option(help="This worker's name; it must be unique.")] = "",
    concurrency: Annotated[int, typer.Option(help="Children (default: UNDRIFT_CONCURRENCY, 4).")] = 0,
) -> None:
    """Run a worker. Any number may run, on any machine that reaches Redis, the Git hosts and the clusters."""
    if concurrency:
        os.environ["UNDRIFT_CONCURRENCY"] = str(concurrency)
    # SIGTERM lets tasks finish for a few seconds and then gives them back: the right end in a container.
    os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")
    from workers.app import the_app

    node = name or f"worker-{os.getpid()}@{socket.gethostname()}"
    the_app().worker_main(
        ["worker", "--hostname", node, "--without-mingle", "--without-gossip", "--loglevel", "WARNING", "-E"]
    )


@watcher_app.command(epilog="Example: undrift watcher")
def watcher(
    every_cluster: Annotated[
        bool, typer.Option("--all", help="Watch every cluster, not only those with `drift: {detect: Watch}`.")
    ] = False,
) -> None:
    """Run a watcher: what others change of ours is healed at once. Any number may run; they share the clusters."""
    from workers import logs, wiring
    from workers.watchers import Watcher

    logs.set_up("watcher")
    name = f"{socket.gethostname()}-{os.getpid()}"
    made = Watcher(wiring.store(), wiring.open_watching_rooms(wiring.settings()), name, watches_all=every_cluster)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    made.run(stop)


@flower_app.command(epilog="Example: UNDRIFT_FLOWER_ACTIONS=1 undrift flower --port 5555")
def flower(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1 (default: UNDRIFT_FLOWER_PORT, 5555).")] = 0,
) -> None:
    """Run Flower on 127.0.0.1, with a login, read-only unless UNDRIFT_FLOWER_ACTIONS=1."""
    if port:
        os.environ["UNDRIFT_FLOWER_PORT"] = str(port)
    # Flower reads its command line from here once more; loading the app has put its options into the environment.
    sys.argv = ["celery", "flower"]
    from workers.app import the_app

    the_app().start(sys.argv[1:])
