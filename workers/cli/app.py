"""`undrift app`: what an operator does with applications day by day."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey
from reconciler.model.record import Phase
from reconciler.model.status import InstanceStatus
from workers import asking, wiring
from workers.cli import brakes, explaining, looking, output, restoring, selecting
from workers.cli.output import Format
from workers.messages import Lane, Mark, Work
from workers.store import Store, composed
from workers.store.closures import url_in

app_app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True, add_completion=False, rich_markup_mode=None)
app_app.command("plan", epilog="Example: undrift app plan podinfo@dev-1")(looking.plan)
app_app.command("diff", epilog="Example: undrift app diff podinfo@dev-1")(looking.diff)
app_app.command("manifests", epilog="Example: undrift app manifests podinfo@dev-1")(looking.manifests)
app_app.command("history", epilog="Example: undrift app history podinfo@dev-1")(looking.history)
app_app.command("pause", epilog="Example: undrift app pause podinfo@dev-1 --reason 'load test' --for 1h")(brakes.pause)
app_app.command("restore", epilog="Example: undrift app restore podinfo@dev-1 --list")(restoring.restore)
app_app.command("resume", epilog="Example: undrift app resume podinfo@dev-1")(brakes.resume)

Name = Annotated[str, typer.Argument(metavar="NAME|INSTANCE", help="podinfo (all its clusters) or podinfo@eu-1.")]
MaybeName = Annotated[str, typer.Argument(metavar="[NAME|INSTANCE]")]
Output = Annotated[Format, typer.Option("-o", "--output")]
Selector = Annotated[str, typer.Option("-l", "--selector", help="Labels, as env=prod,team=web.")]
DIFFERENT, FAILED, HELD, TIMED_OUT = 1, 3, 4, 5


@app_app.command("list", epilog="Example: undrift app list -l env=prod --phase Failed")
def list_(
    chosen: Output = Format.TABLE,
    selector: Selector = "",
    project: Annotated[str, typer.Option(help="Only this project.")] = "",
    cluster: Annotated[str, typer.Option(help="Only this cluster.")] = "",
    phase: Annotated[str, typer.Option(help="Only this phase, such as Failed or Held.")] = "",
    sort: Annotated[str, typer.Option(help="instance, cluster, phase, health or sync.")] = "instance",
) -> None:
    """List instances with what they are, and why."""
    if phase and phase not in tuple(Phase):
        raise selecting.NotFound(f"--phase {phase!r}: expected one of {', '.join(Phase)}")
    store = wiring.store()
    found = composed.statuses(store, selecting.instances(store, "", selector=selector) if selector else None)
    shown = [
        one
        for one in found.values()
        if (not project or one.project == project)
        and (not cluster or one.cluster == cluster)
        and (not phase or one.phase == phase)
    ]
    if sort not in ("instance", "cluster", "phase", "health", "sync"):
        raise selecting.NotFound(f"--sort {sort!r}: expected instance, cluster, phase, health or sync")
    _print_list(store, sorted(shown, key=lambda one: (getattr(one, sort), one.instance)), chosen)


def _print_list(store: Store, shown: list[InstanceStatus], chosen: Format) -> None:
    if output.show_list("InstanceList", [as_json(one) for one in shown], chosen):
        return
    if chosen is Format.NAME:
        for one in shown:
            sys.stdout.write(one.instance + "\n")
        return
    now = store.clock.now()
    wide = chosen is Format.WIDE
    columns = [
        "INSTANCE",
        "SYNC",
        "PHASE",
        "HEALTH",
        "REVISION",
        *(["LAST SYNC", "NEXT", "REASON"] if wide else []),
        "MESSAGE",
    ]
    rows = []
    for one in shown:
        extra = [output.ago(one.last_sync, now), output.ago(one.next_try, now), one.reason] if wide else []
        key = InstanceKey.parse(one.instance)
        rows.append([key.short, one.sync, one.phase, one.health, one.applied_revision[:7] or "-", *extra, one.message])
    output.table(columns, rows)


def as_json(status: InstanceStatus, *, whole: bool = False) -> dict[str, Any]:
    """An item of `app list -o json`; the whole one has its objects, drift, foreign fields and warnings."""
    left_out = set() if whole else {"objects", "drift", "foreign", "warnings"}
    left_out |= {"failures", "lags", "fence", "digest", "counts", "requests"}
    shown = status.model_dump(mode="json", by_alias=True, exclude=left_out)
    for part in ("objects", "drift"):
        for entry in shown.get(part, ()):
            entry["key"] = str(ObjectKey.from_text(entry["key"]))
    return shown


@app_app.command(epilog="Example: undrift app drift -l env=prod")
def drift(name: MaybeName = "", selector: Selector = "", chosen: Output = Format.TABLE) -> None:
    """List what others changed last of what we own, or added to it: which field, by whom, from what to what, and when."""
    store = wiring.store()
    keys = selecting.instances(store, name, everything=not (name or selector), selector=selector)
    items = [
        {"instance": one.instance, **entry.model_dump(mode="json"), "key": str(ObjectKey.from_text(entry.key))}
        for one in composed.statuses(store, keys).values()
        for entry in (*one.drift, *one.foreign)
    ]
    if output.show_list("DriftList", items, chosen):
        return
    now = store.clock.now()
    rows = [
        [
            InstanceKey.parse(one["instance"]).short,
            one["key"],
            one["field"] or "-",
            one["manager"] or "-",
            one["ours"] or "-",
            one["theirs"] or "-",
            output.ago(datetime.fromisoformat(one["at"]) if one["at"] else None, now),
        ]
        for one in items
    ]
    output.table(["INSTANCE", "OBJECT", "FIELD", "WRITER", "GIT", "FOUND", "AGO"], rows)


@app_app.command(epilog="Example: undrift app get podinfo@dev-1 -o json")
def get(name: Name, chosen: Output = Format.TABLE) -> None:
    """Show one instance with its objects."""
    store = wiring.store()
    key = selecting.one(store, name)
    status = composed.statuses(store, [key]).get(key) or store.status.get(key)
    document = as_json(status, whole=True)
    document["conditions"] = [
        {"type": "Synced", "status": str(status.sync == "Synced"), "reason": status.reason, "message": status.message},
        {"type": "Healthy", "status": str(status.health == "Healthy"), "reason": status.health, "message": ""},
    ]
    document["history"] = looking.history_of(store, key, quiet=True)
    if chosen is Format.JSON:
        output.show_json(document)
    elif chosen is Format.YAML:
        output.show_yaml(document)
    else:
        _print_one(store, status)


def _print_one(store: Store, status: InstanceStatus) -> None:
    now = store.clock.now()
    print(f"{status.instance}: {status.sync}, {status.phase}, {status.health} ({status.reason})")
    print(f"  {status.message}")
    print(f"  applied {status.applied_revision[:12] or '-'}, last sync {output.ago(status.last_sync, now)} ago")
    if status.plan_id:
        print(f"  plan {status.plan_id} is held")
    rows = [[str(ObjectKey.from_text(one.key)), one.sync, one.health, one.message] for one in status.objects]
    if rows:
        output.table(["OBJECT", "SYNC", "HEALTH", "MESSAGE"], rows)


@app_app.command(epilog="Example: undrift app sync podinfo@dev-1 --full")
def sync(
    name: MaybeName = "",
    everything: Annotated[bool, typer.Option("--all", help="Every instance.")] = False,
    selector: Selector = "",
    full: Annotated[bool, typer.Option("--full", help="Render and apply all anew, whatever is proven.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and write nothing.")] = False,
    asynchronous: Annotated[bool, typer.Option("--async", help="Print the request's id and return.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for the next answer.")] = 120.0,
) -> None:
    """Look at the repositories and sync now. Waits, and ends with 0 synced, 3 failed, 4 held, 5 timed out."""
    store = wiring.store()
    keys = selecting.instances(store, name, everything=everything, selector=selector)
    if dry_run:
        sys.exit(max((looking.show_plan(store, key) for key in keys), default=0))
    if asynchronous:
        print(asking.request(store, keys, "operator", full=full))
        return
    if len(keys) <= asking.MANY:
        _look(store, keys, timeout)
    identity = asking.request(store, keys, "operator", full=full)
    sys.exit(_follow(store, identity, len(keys), timeout))


def _look(store: Store, keys: list[InstanceKey], timeout_s: float) -> None:
    """Let their repositories be looked at first: who has just pushed means that commit. One that can't be read is said, and
    what is known of it is synced."""
    subjects = {spec.source.repo.subject for spec in store.specs.many(keys).values()}
    identity = store.requests.open(subjects)
    store.due.mark(Mark(Work("refresh", one), Lane.OPERATOR, "operator", request=identity) for one in subjects)
    for answer in store.requests.follow(identity, len(subjects), timeout_s):
        if answer["phase"] == "Failed":
            print(f"{answer['subject']}: {answer['reason']}: {answer['message']}", file=sys.stderr)


def _follow(store: Store, identity: str, count: int, timeout_s: float) -> int:
    """Print answers as they come; the exit code of the worst of them."""
    came, worst = 0, 0
    for answer in store.requests.follow(identity, count, timeout_s):
        came += 1
        short = InstanceKey.parse(str(answer["subject"])).short
        counts = ", ".join(f"{count} {what.lower()}" for what, count in dict(answer.get("counts") or {}).items())
        done = f" ({counts})" if counts and answer["phase"] == "Failed" else ""
        print(
            f"{short}: {answer.get('sync', '')} {answer['phase']} {answer['reason']}{done}: {answer['message']}",
            flush=True,
        )
        worst = max(worst, {"Failed": FAILED, "Held": HELD, "Paused": HELD}.get(str(answer["phase"]), 0))
    if came < count:
        print(f"undrift: {count - came} of {count} instances did not answer in time; they stay due", file=sys.stderr)
        return TIMED_OUT
    return worst


@app_app.command(epilog="Example: undrift app cancel podinfo@dev-1")
def cancel(name: Name) -> None:
    """Take waiting syncs out of the queue. One that runs goes on; drift and commits still count."""
    store = wiring.store()
    keys = selecting.instances(store, name)
    urls = {key: url_in(words) for key, words in store.specs.words_of(keys).items()}
    wanted = store.closures.open_of(urls).keys() | store.unjudged.of(urls)
    store.due.forget(Work("sync", str(key)) for key in keys)
    store.requests.cancel(keys)
    told = {"sync": "Unknown", "message": "cancelled: what was wanted last was not applied"}
    store.status.amend(
        store.status.read(wanted),
        lambda _, status: status.model_copy(update=told) if status.sync == "Synced" else None,
    )
    for key in keys:
        print(f"{key.short}: cancelled")


@app_app.command(epilog="Example: undrift app wait podinfo --timeout 300")
def wait(
    name: MaybeName = "",
    everything: Annotated[bool, typer.Option("--all")] = False,
    selector: Selector = "",
    timeout: Annotated[float, typer.Option(help="Seconds.")] = 300.0,
) -> None:
    """Look at their repositories, so that what was pushed before counts, and wait until instances are Synced and Healthy.
    Ends with 0, 4 when one is held, 5 timed out."""
    store = wiring.store()
    keys = selecting.instances(store, name, everything=everything, selector=selector)
    sys.exit(looking.wait_for(store, keys, timeout))


@app_app.command(epilog="Example: undrift app approve podinfo@dev-1 --plan 3f2a91c0d4e5")
def approve(
    name: Name, plan: Annotated[str, typer.Option("--plan", help="The plan's id, as `app plan` shows it.")]
) -> None:
    """Let exactly one held plan through. Another plan, or the same after a change, stays held."""
    store = wiring.store()
    key = selecting.one(store, name)
    held = store.status.get(key).plan_id
    if held != plan:
        what = f"the held plan is {held}, not {plan}" if held else "no plan of it is held"
        raise selecting.NotFound(f"{key.short}: {what}; look at `undrift app plan {key.short}`")
    store.approvals.put(key, plan)
    now, who = store.clock.now(), brakes.who()
    store.events.append(now, "instance", str(key), "Approved", f"plan {plan} approved by {who}")
    store.outbox.put(now, "approve", str(key), by=who, plan=plan, message=f"plan {plan} is let through")
    identity = asking.request(store, [key], "approved plan")
    sys.exit(_follow(store, identity, 1, 120.0))


@app_app.command(epilog="Example: undrift app explain podinfo@dev-1")
def explain(name: Name) -> None:
    """Say in sentences why an instance is as it is, and what happens next."""
    store = wiring.store()
    keys = selecting.instances(store, name)
    statuses = composed.statuses(store, keys)
    for key in keys:
        status = statuses.get(key) or store.status.get(key)
        print("\n".join(explaining.sentences(store, key, status)))


@app_app.command(epilog="Example: undrift app delete podinfo@dev-1 --yes")
def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete the objects of an application that left the fleet. Refused while a fleet file defines it."""
    store = wiring.store()
    defined = selecting.defined(store, name)
    if defined:
        raise selecting.NotFound(
            f"{defined[0].short}: a fleet file defines it; remove its Application from the fleet first"
        )
    keys = selecting.remembered(store, name)
    if not keys:
        raise selecting.NotFound(f"no instance {name!r} that left the fleet")
    if ambiguous := asking.in_several_projects(keys, name):
        raise selecting.NotFound(ambiguous)
    if not yes:
        typer.confirm(f"Delete the objects of {', '.join(key.short for key in keys)}?", abort=True)
    identity = store.requests.open(str(key) for key in keys)
    for key in keys:
        store.specs.ask_teardown(key)
    store.due.mark(Mark(Work("sync", str(key)), Lane.OPERATOR, "delete", request=identity) for key in keys)
    sys.exit(_follow(store, identity, len(keys), 120.0))
