"""The processes: `scheduler`, `worker`, `flower`, and `version`."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from workers import settings as settings_module
from workers.settings import BadSetting, Settings


def _app() -> typer.Typer:
    return typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


scheduler_app, worker_app, flower_app, version_app = _app(), _app(), _app(), _app()


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
    from workers import logs, wiring
    from workers.app import app
    from workers.dispatch import dispatch
    from workers.scheduler import Scheduler
    from workers.scheduler.fleet import FleetKeeper
    from workers.scheduler.loop import Pace

    logs.set_up("scheduler")
    chosen = wiring.settings()
    location = fleet or chosen.fleet
    if not location:
        raise BadSetting("no fleet: give --fleet DIR|URL, or set UNDRIFT_FLEET")
    keeper = FleetKeeper(location, wiring.rooms().source, chosen.dev_clusters)
    pace = Pace(chosen.lease_s, chosen.fleet_poll_s, chosen.repository_poll_s)
    made = Scheduler(wiring.store(), keeper, partial(dispatch, app), SystemClock(), pace)
    if fresh:
        made.fresh_start()
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
    from workers.app import app

    node = name or f"worker-{os.getpid()}@{socket.gethostname()}"
    app.worker_main(
        ["worker", "--hostname", node, "--without-mingle", "--without-gossip", "--loglevel", "WARNING", "-E"]
    )


@flower_app.command(epilog="Example: UNDRIFT_FLOWER_ACTIONS=1 undrift flower --port 5555")
def flower(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1 (default: UNDRIFT_FLOWER_PORT, 5555).")] = 0,
) -> None:
    """Run Flower on 127.0.0.1, with a login, read-only unless UNDRIFT_FLOWER_ACTIONS=1."""
    chosen = settings_module.from_env(os.environ)
    user, password = flower_login(chosen)
    # This variable would open the API to every web page that an operator visits.
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)
    from workers.app import app

    arguments = [
        "flower",
        "--address=127.0.0.1",
        f"--port={port or chosen.flower_port}",
        f"--basic_auth={user}:{password}",
        "--max_tasks=10000",
        "--natural_time=True",
        "--tasks_columns=name,args,state,received,started,runtime,worker,uuid",
    ]
    if not chosen.flower_actions:
        arguments.append("--read_only=True")
    sys.argv = ["celery", *arguments]
    app.start(arguments)


def flower_login(chosen: Settings) -> tuple[str, str]:
    """The login, made at the first start and kept in the home, for its owner's eyes only."""
    file = login_file(chosen)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        user, _, password = file.read_text().strip().partition(":")
        return user, password
    with os.fdopen(descriptor, "w") as fresh:
        user, password = "undrift", secrets.token_urlsafe(12)
        fresh.write(f"{user}:{password}\n")
    return user, password


def login_file(chosen: Settings) -> Path:
    return chosen.home / "flower-login"
