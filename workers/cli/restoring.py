"""`undrift app restore`: what was deleted of an instance, back from the trash of its cluster."""

from __future__ import annotations

import sys
from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated

import typer

from reconciler.apply import trash
from reconciler.model.brake import scopes
from reconciler.model.instance import InstanceKey
from workers import wiring
from workers.cli import brakes, output, selecting
from workers.store import Store
from workers.store.guard import PersonGuard

FAILED, HELD = 3, 4
TOGETHER_S = 60.0
"""Objects deleted within this of the newest one chosen went together."""


def restore(
    name: Annotated[str, typer.Argument(metavar="INSTANCE")],
    at: Annotated[
        str, typer.Option(help="What was deleted last before this time (RFC 3339); the newest by default.")
    ] = "",
    listed: Annotated[bool, typer.Option("--list", help="Only show what is in the trash.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the journal.")] = "",
) -> None:
    """Put back what was pruned or deleted in the last seven days, in order. Git decides again once it has the objects."""
    store = wiring.store()
    key = selecting.of_trash(store, name)
    target = store.specs.cluster(key.cluster)
    if target is None:
        raise selecting.NotFound(f"no cluster {key.cluster!r} in the fleet any more")
    with closing(wiring.rooms()) as rooms:
        guard = PersonGuard(store.brakes, scopes(key), store.clock)
        api = rooms.clusters.api(target, guard, agent=f"{key} restore")
        found = trash.kept(api, key)
        if listed:
            if not found:
                print(f"{key.short}: nothing in the trash")
                return
            rows = [[one.at.isoformat(timespec="seconds"), str(one.key)] for one in found]
            output.table(["DELETED", "OBJECT"], rows)
            return
        chosen = _chosen(found, at)
        if not chosen:
            raise selecting.NotFound(f"{key.short}: nothing in the trash{f' from before {at}' if at else ''}")
        _require_unfrozen(store, key)
        for one in chosen:
            print(f"{one.key}, deleted {one.at.isoformat(timespec='seconds')}")
        if not yes:
            typer.confirm(f"Put these {len(chosen)} objects back?", abort=True)
        results = trash.restore(api, chosen)
    for result in results:
        print(f"{result.key}: " + (result.error.message if result.error else "restored"))
    back = [str(one.key) for one in results if one.error is None]
    store.outbox.put(store.clock.now(), "restore", str(key), by=brakes.who(), reason=reason, objects=back)
    sys.exit(0 if len(back) == len(results) else FAILED)


def _chosen(found: tuple[trash.Kept, ...], at: str) -> list[trash.Kept]:
    """What went together last, at all or before a time."""
    before = _time(at) if at else None
    older = [one for one in found if before is None or one.at <= before]
    return [one for one in older if (older[0].at - one.at).total_seconds() <= TOGETHER_S]


def _time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise selecting.NotFound(f"--at {text!r}: expected a time such as 2026-11-24T12:00:00Z") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _require_unfrozen(store: Store, key: InstanceKey) -> None:
    brake = store.brakes.over(scopes(key), store.clock.now())
    if brake is not None:
        print(f"undrift: {brake.sentence}", file=sys.stderr)
        sys.exit(HELD)
