"""Commands of `undrift app` that look into the cluster and the repository: plan, diff, manifests, history, wait."""

from __future__ import annotations

import sys
from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import typer

from reconciler.cluster import OpenGuard
from reconciler.errors import FirstContact, UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.plan import Change
from reconciler.model.record import Order
from reconciler.model.spec import InstanceSpec
from reconciler.model.status import InstanceStatus
from reconciler.objects import managedfields, mask
from reconciler.objects.diff import line
from reconciler.pipeline.preview import ObjectDiff, Preview, diffs, preview
from workers import asking, wiring
from workers.cli import output, planning, selecting
from workers.cli.output import Format
from workers.store import Store, composed
from workers.store.closures import url_in

Name = Annotated[str, typer.Argument(metavar="INSTANCE", help="podinfo@eu-1, or podinfo when it runs on one cluster.")]
Output = Annotated[Format, typer.Option("-o", "--output")]
DIFFERENT, HELD, TIMED_OUT = 1, 4, 5
WAIT_LOOK_S = 2.0
FIELDS_SHOWN = 4
LATE_SHOWN = 10


def plan(name: Name, chosen: Output = Format.TABLE) -> None:
    """Show what a sync would do: each change, each deletion, and what is held. Ends with 0 nothing, 1 changes, 4 held."""
    store = wiring.store()
    sys.exit(show_plan(store, selecting.one(store, name), chosen))


def show_plan(store: Store, key: InstanceKey, chosen: Format = Format.TABLE) -> int:
    """Print one instance's plan; the exit code that it has."""
    spec = selecting.spec_of(store, key)
    with closing(wiring.open_rooms(wiring.settings(), visits=store.visits)) as rooms:
        found = preview(spec, _order(store, spec), store.memories.get(key), rooms)
        found = replace(found, refused={**planning.refusals(spec, found, rooms), **found.refused})
    if chosen in (Format.JSON, Format.YAML):
        (output.show_json if chosen is Format.JSON else output.show_yaml)(_plan_json(found))
    else:
        _print_plan(key, found)
    return HELD if found.plan.holds else 0 if found.plan.is_noop else DIFFERENT


def _order(store: Store, spec: InstanceSpec) -> Order:
    return Order(
        reasons=("preview",),
        commit=store.closures.head(spec.source) or None,
        by_operator=True,
        approved_plan=store.approvals.get(spec.key),
    )


def _plan_json(found: Preview) -> dict[str, Any]:
    plan = found.plan
    return {
        "apiVersion": output.API_VERSION,
        "kind": "Plan",
        "instance": str(plan.instance),
        "id": plan.id,
        "revision": found.commit,
        "changes": [_change_json(one, found) for one in plan.changes],
        "held": [_change_json(one, found) for one in found.held],
        "kept": len(plan.kept),
        "leftAlone": [{"object": str(key), "why": why} for key, why in plan.left_alone],
        "holds": [{"reason": one.reason, "message": one.message} for one in plan.holds],
    }


def _change_json(one: Change, found: Preview) -> dict[str, str]:
    return {
        "object": str(one.key),
        "action": str(one.action),
        "cause": str(one.cause),
        "uid": one.uid,
        "refused": _why(one, found),
    }


def _why(one: Change, found: Preview) -> str:
    error = found.refused.get(one.key)
    return error.message if error else ""


def _print_plan(key: InstanceKey, found: Preview) -> None:
    plan = found.plan
    # An id is for approving what is held; it names that, and nothing else of the plan.
    name = f"plan {plan.id}" if plan.holds else "plan"
    print(f"{name} of {key.short} at {found.commit[:12]}: {len(plan.kept)} objects stand as they should")
    rows = [[str(one.action), str(one.key), str(one.cause), _why(one, found)] for one in plan.changes]
    rows += [[str(one.action), str(one.key), "held", _why(one, found)] for one in found.held]
    if rows:
        output.table(["ACTION", "OBJECT", "CAUSE", "WHY NOT"], rows)
    for one, why in plan.left_alone:
        print(f"left alone: {one} ({why})")
    for hold in plan.holds:
        print(f"HELD {hold.reason}: {hold.message}")


def diff(
    name: Name,
    chosen: Output = Format.TABLE,
    foreign: Annotated[
        bool, typer.Option("--foreign", help="Show who else writes our objects, and since when.")
    ] = False,
) -> None:
    """Show field by field what a sync would change, and what letting a held plan through would, by the API server's own
    dry run. Ends with 0 none, 1 differences, 4 held."""
    store = wiring.store()
    key = selecting.one(store, name)
    spec = selecting.spec_of(store, key)
    with closing(wiring.rooms()) as rooms:
        found = preview(spec, _order(store, spec), store.memories.get(key), rooms)
        changes = diffs(spec, found, rooms) if not foreign else ()
    if foreign:
        _print_foreign(store, key, found, chosen)
        return
    if chosen is Format.JSON:
        output.show_json([_diff_json(one) for one in changes])
    else:
        for one in changes:
            _print_diff(one)
        if not changes:
            print(f"no differences: {len(found.plan.kept)} objects stand as they should")
    if found.plan.holds:
        sys.exit(HELD)
    sys.exit(DIFFERENT if changes else 0)


def _print_foreign(store: Store, key: InstanceKey, found: Preview, chosen: Format) -> None:
    """Which fields of our objects others own: nothing of it is drift, as long as they are not fields of ours."""
    items = [
        {"object": str(member), "manager": one.manager, "at": one.at, "fields": list(one.fields)}
        for member, live in sorted(found.seen.live.items())
        for one in managedfields.foreign(live, key.manager)
    ]
    if output.show_list("ForeignFieldList", items, chosen):
        return
    if not items:
        print(f"nobody else owns fields of the objects of {key.short}")
        return
    now = store.clock.now()
    rows = []
    for item in items:
        fields, at = list(item["fields"]), str(item["at"])
        more = f" and {len(fields) - FIELDS_SHOWN} more" if len(fields) > FIELDS_SHOWN else ""
        since = output.ago(datetime.fromisoformat(at), now) if at else "-"
        rows.append([str(item["object"]), str(item["manager"]), since, ", ".join(fields[:FIELDS_SHOWN]) + more])
    output.table(["OBJECT", "WRITER", "AGO", "FIELDS"], rows)


def _diff_json(one: ObjectDiff) -> dict[str, Any]:
    return {
        "object": str(one.key),
        "action": str(one.action),
        "differences": [{"path": each.path, "before": each.before, "after": each.after} for each in one.differences],
        "error": one.error.message if one.error else "",
    }


def _print_diff(one: ObjectDiff) -> None:
    print(f"{one.action} {one.key}")
    if one.error is not None:
        print(f"  {'held' if isinstance(one.error, FirstContact) else 'refused'}: {one.error.message}")
    for each in one.differences:
        if each.path:
            print(f"  {line(each)}")
        else:  # an object that comes or goes
            sign, whole = ("+", each.after) if each.before is None else ("-", each.before)
            print("".join(f"  {sign} {line}\n" for line in output.as_yaml(whole).splitlines()), end="")


def manifests(name: Name, chosen: Output = Format.YAML) -> None:
    """Print what Git says, rendered for one cluster; values of Secrets are hidden."""
    store = wiring.store()
    key = selecting.one(store, name)
    spec = selecting.spec_of(store, key)
    with closing(wiring.rooms()) as rooms:
        found = preview(spec, _order(store, spec), store.memories.get(key), rooms)
    bodies = [mask.masked(one.body) for one in found.desired]
    if chosen is Format.JSON:
        output.show_json(bodies)
        return
    for body in bodies:
        sys.stdout.write("---\n")
        output.show_yaml(body)


def history(name: Name, chosen: Output = Format.TABLE) -> None:
    """Show the last syncs that wrote, newest first, as the cluster's own inventory keeps them."""
    store = wiring.store()
    key = selecting.one(store, name)
    rows = history_of(store, key)
    if output.show_list("SyncList", rows, chosen):
        return
    columns = ["AT", "REVISION", "REASON", "RESULT", "MESSAGE"]
    output.table(
        columns, [[row["at"][:19], row["revision"][:7], row["reason"], row["result"], row["message"]] for row in rows]
    )


def history_of(store: Store, key: InstanceKey, *, quiet: bool = False) -> list[dict[str, Any]]:
    """The history in the inventory, with what is not flushed yet before it. Empty for a cluster that is away if `quiet`."""
    target = store.specs.cluster(key.cluster)
    entries = []
    memory = store.memories.get(key)
    if target is not None:
        rooms = wiring.open_rooms(wiring.settings())
        try:
            api = rooms.clusters.api(target, OpenGuard(), agent=f"{key} history")
            entries = list(rooms.inventories.read(api, key).history)
        except UndriftError:
            if not quiet:
                raise
        finally:
            rooms.close()
    unflushed = memory.unflushed_entry
    if unflushed is not None and unflushed.fence not in {entry.fence for entry in entries}:
        entries.insert(0, unflushed)
    return [
        {
            "at": one.at.isoformat(),
            "revision": one.revision,
            "reason": one.reason,
            "result": one.result,
            "message": one.message,
        }
        for one in entries
    ]


def wait_for(store: Store, keys: Collection[InstanceKey], timeout_s: float) -> int:
    """Follow these instances from a look at their repositories until all is well; the exit code. Woken by events, and looks
    every two seconds besides."""
    deadline = store.clock.boot_s() + timeout_s
    urls = sorted({url_in(words) for words in store.specs.words_of(keys).values()})
    answers = list(asking.look(store, urls, timeout_s))
    for answer in (one for one in answers if one["phase"] == "Failed"):
        print(f"{answer['subject']}: {answer['reason']}: {answer['message']}", file=sys.stderr)
    if len(answers) < len(urls):
        print("no worker has looked at the repositories in time; `undrift doctor` says why", file=sys.stderr)
        return TIMED_OUT
    while True:
        waiting = [one for one in composed.statuses(store, keys).values() if not _is_well(one)]
        if not waiting:
            print(f"{len(keys)} instances are Synced and Healthy")
            return 0
        held = [one for one in waiting if one.phase == "Held"]
        if held:
            print(f"{held[0].instance}: {held[0].message}", file=sys.stderr)
            return HELD
        if store.clock.boot_s() > deadline:
            _tell_late(waiting, len(keys), timeout_s)
            return TIMED_OUT
        store.events.wait(WAIT_LOOK_S)


def _tell_late(waiting: list[InstanceStatus], count: int, timeout_s: float) -> None:
    """Which instances are not there when the time is over, and why."""
    said = [f"undrift: time ran out after {timeout_s:g} s: {len(waiting)} of {count} instances are not there"]
    for one in waiting[:LATE_SHOWN]:
        why = one.message or one.reason
        said.append(f"  {InstanceKey.parse(one.instance).short}: {one.sync} {one.phase} {one.health}: {why}")
    if len(waiting) > LATE_SHOWN:
        said.append(f"  and {len(waiting) - LATE_SHOWN} more")
    said.append(f"`undrift app explain {InstanceKey.parse(waiting[0].instance).short}` says more")
    print("\n".join(said), file=sys.stderr)


def _is_well(status: InstanceStatus) -> bool:
    return status.sync == "Synced" and status.health in ("Healthy", "Suspended") and status.phase == "Idle"
