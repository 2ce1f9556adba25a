"""`undrift cluster activate`: shows what the first writes to a cluster would be, asks, and lets them begin."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Annotated

import typer

from reconciler.errors import UndriftError
from reconciler.model.record import Memory, Order
from reconciler.model.spec import InstanceSpec
from reconciler.pipeline.contact import Contact, contacts
from reconciler.pipeline.preview import preview
from reconciler.pipeline.rooms import Rooms
from workers import wiring
from workers.cli import brakes, selecting
from workers.settings import CONTEXTS as FOLDER
from workers.store import Store

ACTIONS = ("create", "change", "adopt", "hold", "delete")
MOST_SHOWN = 200


def activate(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the journal.")] = "",
) -> None:
    """Let a cluster of `up --context` be written to, after showing what would be created, changed, adopted and deleted."""
    store = wiring.store()
    _require_waiting(store, name)
    counts, failed = _show(store, name)
    total = ", ".join(f"{counts[action]} {action}" for action in ACTIONS if counts[action]) or "nothing to do"
    print(f"{name}: {total}" + (f"; {failed} instances can't be told" if failed else ""))
    if not yes:
        typer.confirm("Begin to write to it?", abort=True)
    store.pins.activate(name)
    store.outbox.put(store.clock.now(), "activate", f"cluster:{name}", by=brakes.who(), reason=reason, counts=counts)
    store.due.look_at_fleet()
    print(f"{name}: active; `undrift app list --cluster {name}` shows what happens, `undrift freeze` stops it")


def _require_waiting(store: Store, name: str) -> None:
    target = store.specs.clusters().get(name)
    if target is None:
        raise selecting.NotFound(f"no cluster {name!r} in the fleet; `undrift cluster list` shows them")
    if name in store.pins.activated():
        raise selecting.NotFound(f"cluster {name} is active already")
    kubeconfig = target.access.kubeconfig
    if kubeconfig is None or not str(kubeconfig.file).startswith(f"{FOLDER}/"):
        raise selecting.NotFound(
            f"cluster {name} is defined in the fleet: `mode` in its Cluster document there says whether it is written to"
        )


def _show(store: Store, name: str) -> tuple[Counter[str], int]:
    counts: Counter[str] = Counter()
    shown = failed = 0
    with closing(wiring.rooms()) as rooms:
        for key, spec in sorted(store.specs.on_cluster(name).items()):
            try:
                found = _contacts(spec, store.status.memory(key), rooms)
            except UndriftError as error:
                failed += 1
                print(f"{key.short}: {error.reason}: {error.message}")
                continue
            counts.update(one.action for one in found)
            for one in found:
                shown += 1
                if shown <= MOST_SHOWN or one.action in ("hold", "delete"):
                    print(f"{one.action:<7} {key.short}  {one.key}" + (f"  ({one.why})" if one.why else ""))
    if shown > MOST_SHOWN:
        print(f"… {shown} objects in all; every one that is held or deleted is shown above")
    return counts, failed


def _contacts(spec: InstanceSpec, memory: Memory, rooms: Rooms) -> tuple[Contact, ...]:
    order = Order(reasons=("preview",), by_operator=True)
    return contacts(spec, preview(spec, order, memory, rooms), rooms)
