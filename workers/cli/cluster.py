"""`undrift cluster`: the clusters of the fleet, and whether they can be used."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import closing
from typing import Annotated, Any

import typer

from reconciler.cluster import OpenGuard
from reconciler.errors import UndriftError
from reconciler.model.brake import cluster_scopes
from reconciler.model.instance import InstanceKey
from reconciler.model.status import InstanceStatus
from reconciler.pipeline.rooms import Rooms
from workers import pinning, wiring
from workers.cli import activating, brakes, output, selecting
from workers.cli.output import Format
from workers.messages import Lane, Mark, Work
from workers.store import composed
from workers.store.guard import PersonGuard

cluster_app = typer.Typer(
    pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None
)
cluster_app.command("activate", epilog="Example: undrift cluster activate prod-eu-1")(activating.activate)
Output = Annotated[Format, typer.Option("-o", "--output")]
FAILED, UNREACHABLE = 3, 5


@cluster_app.command("list", epilog="Example: undrift cluster list -o json")
def list_(chosen: Output = Format.TABLE) -> None:
    """List clusters, when each was seen last, and how its instances do."""
    store = wiring.store()
    now, scans, found = store.clock.now(), store.looks.scans(), composed.statuses(store).values()
    instances = Counter(one.cluster for one in found)
    synced = Counter(one.cluster for one in found if one.sync == "Synced")
    items: list[dict[str, Any]] = []
    for name, target in store.specs.clusters().items():
        scan = scans.get(name, {})
        items.append(
            {
                "name": name,
                "labels": target.labels,
                "reachable": not scan.get("error") if scan else None,
                "seen": scan.get("seen", ""),
                "instances": instances[name],
                "synced": synced[name],
                "message": scan.get("error", ""),
            }
        )
    if output.show_list("ClusterList", items, chosen):
        return
    if chosen is Format.NAME:
        sys.stdout.writelines(f"{one['name']}\n" for one in items)
        return
    rows = []
    for one in items:
        state = "Unknown" if one["reachable"] is None else "Reachable" if one["reachable"] else "Unreachable"
        labels = ",".join(f"{key}={value}" for key, value in one["labels"].items())
        rows.append(
            [one["name"], state, _ago(one["seen"], now), f"{one['synced']}/{one['instances']}", labels, one["message"]]
        )
    output.table(["CLUSTER", "STATE", "SEEN", "SYNCED", "LABELS", "MESSAGE"], rows)


def _ago(text: str, now: Any) -> str:
    from datetime import datetime

    return output.ago(datetime.fromisoformat(text), now) if text else "-"


@cluster_app.command(epilog="Example: undrift cluster check dev-1")
def check(names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]")] = None) -> None:
    """Connect to clusters from here, and say what is missing. Ends with 5 when one can't be used."""
    store = wiring.store()
    known = store.specs.clusters()
    worst = 0
    with closing(wiring.rooms()) as rooms:
        for name in names or list(known):
            if name not in known:
                raise selecting.NotFound(f"no cluster {name!r}; the fleet has {', '.join(known) or 'none'}")
            worst = max(worst, _check_one(name, rooms))
    sys.exit(worst)


@cluster_app.command(epilog="Example: undrift cluster forget eu-1")
def forget(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the journal.")] = "",
) -> None:
    """Forget which cluster a name meant, and what was proven of it. Its objects stay; its next scan meets it anew. One of
    `up --context` is only observed again, until `cluster activate`."""
    store = wiring.store()
    known = store.specs.clusters().keys() | store.pins.all().keys()
    if name not in known:
        raise selecting.NotFound(f"no cluster {name!r}; known are {', '.join(sorted(known)) or 'none'}")
    count = len(store.specs.keys_on(name))
    if not yes:
        question = f"Is what answers under the name {name} now the cluster that {count} instances are meant for?"
        typer.confirm(question, abort=True)
    store.pins.drop(name)
    store.pins.deactivate(name)
    mine = store.specs.keys_on(name)
    store.memories.forget(mine)
    store.status.amend(store.status.read(mine), _unknown)
    store.outbox.put(store.clock.now(), "forget", f"cluster:{name}", by=brakes.who(), reason=reason)
    if name in store.specs.clusters():
        store.due.mark([Mark(Work("scan", name), Lane.OPERATOR, "forgotten")])
        store.due.mark(Mark(Work("sync", str(key)), Lane.COMMIT, "its cluster is met anew") for key in mine)
        store.due.look_at_fleet()
    print(f"{name}: forgotten; its objects stay, and its next scan pins it anew")


def _unknown(_: InstanceKey, status: InstanceStatus) -> InstanceStatus:
    """What was seen was seen of what the name meant before."""
    return status.model_copy(update={"sync": "Unknown", "health": "Unknown", "objects": (), "in_sync_at": None})


@cluster_app.command(epilog="Example: undrift cluster takeover eu-1 --reason 'hub lost, rebuilt from Git'")
def takeover(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the journal.")] = "",
) -> None:
    """Take over what another installation owned on a cluster. Once, after that installation is gone for good."""
    store = wiring.store()
    target = store.specs.cluster(name)
    if target is None:
        raise selecting.NotFound(f"no cluster {name!r}; `undrift cluster list` shows them")
    with closing(wiring.rooms()) as rooms:
        guard = PersonGuard(store.brakes, cluster_scopes(name), store.clock)
        api = rooms.clusters.api(target, guard, agent=f"takeover {name}")
        found = rooms.inventories.foreign(api)
        if not found:
            print(f"{name}: no other installation owns anything there")
            return
        for owner in sorted(set(found.values())):
            print(
                f"{name}: installation {owner or '(unnamed)'} owns {sum(one == owner for one in found.values())} instances"
            )
        if not yes:
            typer.confirm("Is that installation gone for good? Two that write to one cluster fight", abort=True)
        taken = [parent for parent, owner in found.items() if rooms.inventories.take_over(api, parent, owner)]
    store.outbox.put(
        store.clock.now(), "takeover", f"cluster:{name}", by=brakes.who(), reason=reason, inventories=taken
    )
    mine = [str(key) for key in store.specs.keys_on(name)]
    store.due.mark([Mark(Work("scan", name), Lane.OPERATOR, "taken over")])
    store.due.mark(Mark(Work("sync", key), Lane.COMMIT, "taken over") for key in mine)
    print(f"{name}: {len(taken)} of {len(found)} inventories are ours now; each instance is due")
    sys.exit(0 if len(taken) == len(found) else FAILED)


def _check_one(name: str, rooms: Rooms) -> int:
    target = wiring.store().specs.cluster(name)
    assert target is not None  # the caller looked
    try:
        api = rooms.clusters.api(target, OpenGuard(), agent=f"check {name}")
        pinning.require_pinned(wiring.store(), target, api.identity(refresh=True))
        discovery = api.discovery(refresh=True)
        owned, unreadable = rooms.inventories.read_all(api)
    except UndriftError as error:
        print(f"{name}: {error.reason}: {error.message}")
        return UNREACHABLE
    stale = f", no answer from {', '.join(sorted(discovery.stale_groups))}" if discovery.stale_groups else ""
    print(
        f"{name}: Kubernetes {discovery.server_version}, {len(discovery.resources)} kinds, {len(owned)} inventories{stale}"
    )
    for why in unreadable.values():
        print(f"{name}: {why.message}")
    return 0
