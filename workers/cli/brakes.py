"""`undrift freeze`, `thaw`, `app pause` and `resume`: the red button, and its small sister."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import timedelta
from typing import Annotated

import typer

from reconciler.model.brake import Brake
from reconciler.model.shape import parse_duration
from workers import braking, wiring
from workers.cli import output, selecting
from workers.store import Store

freeze_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)
thaw_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)

KEPT_WITHIN_S = 15.0
All = Annotated[bool, typer.Option("--all", help="Everything that this installation writes.")]
OfProject = Annotated[str, typer.Option("--project", help="All instances of one project.")]
OfCluster = Annotated[str, typer.Option("--cluster", help="All that is written to one cluster.")]
Reason = Annotated[
    str, typer.Option("--reason", help="Why: shown to everybody whom it stops, and kept in the journal.")
]
For = Annotated[str, typer.Option("--for", help="How long, such as 30m or 2h; without it, until a person ends it.")]


@freeze_app.command(epilog="Example: undrift freeze --all --reason 'incident 4711' --for 2h")
def freeze(
    everything: All = False,
    project: OfProject = "",
    cluster: OfCluster = "",
    reason: Reason = "",
    for_: For = "",
    listed: Annotated[bool, typer.Option("--list", help="Show what is frozen and paused.")] = False,
) -> None:
    """Stop all writes at once. When this returns, no worker begins another one; reading and comparing go on."""
    store = wiring.store()
    if listed:
        _show(store)
        return
    _put(store, _scope(store, everything, project, cluster), reason, for_)


@thaw_app.command(epilog="Example: undrift thaw --all")
def thaw(everything: All = False, project: OfProject = "", cluster: OfCluster = "", reason: Reason = "") -> None:
    """End a freeze; what it held back is due again."""
    store = wiring.store()
    _lift(store, _scope(store, everything, project, cluster), reason)


def pause(name: Annotated[str, typer.Argument(metavar="NAME|INSTANCE")], reason: Reason = "", for_: For = "") -> None:
    """Stop writing one application, or one instance, until `app resume` or the time is over."""
    store = wiring.store()
    _put(store, _named_scope(store, name), reason, for_)


def resume(name: Annotated[str, typer.Argument(metavar="NAME|INSTANCE")], reason: Reason = "") -> None:
    """End a pause; what it held back is due again."""
    store = wiring.store()
    _lift(store, _named_scope(store, name), reason)


def _show(store: Store) -> None:
    now = store.clock.now()
    rows = [
        [scope, one.kind, one.by, output.ago(one.until, now) if one.until else "-", one.reason]
        for scope, one in store.brakes.all().items()
    ]
    output.table(["SCOPE", "KIND", "BY", "ENDS", "REASON"], rows)


def _put(store: Store, scope: str, reason: str, for_: str) -> None:
    length: timedelta | None = None
    if for_:
        try:
            parsed = parse_duration(for_)
        except ValueError as error:
            raise selecting.NotFound(f"--for {for_!r}: {error}") from error
        assert isinstance(parsed, timedelta)
        length = parsed
    entry = braking.put(store, Brake(scope, reason, who(), store.clock.now()), length)
    print(f"{scope}: in force; no write is begun any more", flush=True)
    await_kept(store, entry)


def _lift(store: Store, scope: str, reason: str) -> None:
    if store.brakes.all().get(scope) is None:
        raise selecting.NotFound(f"{scope}: neither frozen nor paused; `undrift freeze --list` shows what is")
    count = braking.lift(store, scope, by=who(), reason=reason)
    print(f"{scope}: lifted; {count} instances are due again")


def await_kept(store: Store, entry: str) -> None:
    """Wait until a decision stands in the journal, and say so or not."""
    if store.outbox.is_kept(entry, KEPT_WITHIN_S):
        print("kept in the journal")
    else:
        print(
            "undrift: not in the journal yet: no scheduler leads. It holds, but would not survive a loss of Redis now",
            file=sys.stderr,
        )


def _scope(store: Store, everything: bool, project: str, cluster: str) -> str:
    given = [name for name, value in (("--all", everything), ("--project", project), ("--cluster", cluster)) if value]
    if len(given) != 1:
        raise selecting.NotFound("give exactly one of --all, --project P and --cluster C")
    if cluster and cluster not in store.specs.clusters():
        raise selecting.NotFound(f"no cluster {cluster!r} in the fleet; `undrift cluster list` shows them")
    if project and project not in {key.project for key in store.specs.instance_keys()}:
        raise selecting.NotFound(f"no instance of a project {project!r} in the fleet")
    return "all" if everything else f"project:{project}" if project else f"cluster:{cluster}"


def _named_scope(store: Store, name: str) -> str:
    keys = selecting.instances(store, name)
    if "@" in name:
        return f"instance:{keys[0]}"
    return f"application:{keys[0].project}/{keys[0].application}"


def who() -> str:
    """Who runs this command, for the journal."""
    return os.environ.get("UNDRIFT_USER") or getpass.getuser()
