"""`undrift cluster activate`: shows what the first writes to a cluster would be, asks, and lets them begin."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import Annotated

import typer

from reconciler.apply.outlook import is_our_label
from reconciler.errors import UndriftError
from reconciler.model.plan import Action, Change
from reconciler.model.record import Order
from reconciler.model.spec import LOCAL, InstanceSpec
from reconciler.objects import diff
from reconciler.pipeline.preview import Preview, preview
from workers import wiring
from workers.cli import brakes, selecting
from workers.cli.contexts import cluster_name
from workers.settings import CONTEXTS as FOLDER
from workers.store import Store

WORDS = {
    Action.CREATE: "create",
    Action.APPLY: "change",
    Action.ADOPT: "adopt",
    Action.REPLACE: "replace",
    Action.DELETE: "delete",
}
COUNTED = (*WORDS.values(), "hold", "fail")
ORDER = Order(reasons=("preview",), by_operator=True)
MOST_SHOWN = 200
MOST_ADDED = 3
MOST_CHANGED, MOST_IN_LINE = 10, 60


def activate(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why: kept in the journal.")] = "",
) -> None:
    """Let a cluster of `up --context` be written to, after showing what would be created, changed, adopted and deleted."""
    store = wiring.store()
    _require_waiting(store, name)
    counts, failed = _show(store, name)
    total = ", ".join(f"{counts[action]} {action}" for action in COUNTED if counts[action]) or "nothing to do"
    print(f"{name}: {total}" + (f"; {failed} instances can't be told" if failed else ""))
    if not yes:
        typer.confirm("Begin to write to it?", abort=True)
    store.pins.activate(name)
    now, who = store.clock.now(), brakes.who()
    entry = store.outbox.put(now, "activate", f"cluster:{name}", by=who, reason=reason, counts=counts)
    store.due.look_at_fleet()
    brakes.await_kept(store, entry)
    stop = f"`undrift freeze --cluster {name} --reason WHY` stops it"
    print(f"{name}: active; `undrift app list --cluster {name}` shows what happens, {stop}")


def _require_waiting(store: Store, name: str) -> None:
    target = store.specs.clusters().get(name)
    if target is None:
        known = cluster_name(name)
        hint = f"; did you mean {known}?" if known in store.specs.clusters() else "; `undrift cluster list` shows them"
        raise selecting.NotFound(f"no cluster {name!r} in the fleet{hint}")
    if name in store.pins.activated():
        raise selecting.NotFound(f"cluster {name} is active already")
    file = str(target.access.kubeconfig.file) if target.access.kubeconfig is not None else ""
    if file.startswith(LOCAL) and not file.startswith(f"{LOCAL}{FOLDER}/"):
        raise selecting.NotFound(
            f"cluster {name} is a local one of `up --dev-clusters`: it is written to from the start, unless a Cluster "
            "document of that name has another `mode`"
        )
    if not file.startswith(LOCAL):
        raise selecting.NotFound(
            f"cluster {name} is defined in the fleet: `mode` in its Cluster document there says whether it is written to"
        )


def _show(store: Store, name: str) -> tuple[Counter[str], int]:
    counts: Counter[str] = Counter()
    shown = failed = 0
    with closing(wiring.rooms()) as rooms:
        for key, spec in sorted(store.specs.on_cluster(name).items()):
            try:
                found = preview(spec, ORDER, store.memories.get(key), rooms)
            except UndriftError as error:
                failed += 1
                print(f"{key.short}: {error.reason}: {error.message}")
                continue
            for change in found.changes:
                word = _word(change, found)
                why = _why(change, found, spec)
                counts[word] += 1
                shown += 1
                if shown <= MOST_SHOWN or word in ("hold", "fail", "delete"):
                    print(f"{word:<7} {key.short}  {change.key}" + (f"  ({why})" if why else ""))
    if shown > MOST_SHOWN:
        print(f"… {shown} objects in all; every one that is held, would fail or is deleted is shown above")
    return counts, failed


def _adds(change: Change, found: Preview) -> str:
    """What Git adds to an object that exists, and whether that restarts its Pods."""
    paths = [one.path for one in found.added.get(change.key, ()) if not is_our_label(one)]
    if not paths:
        return ""
    more = f" and {len(paths) - MOST_ADDED} more" if len(paths) > MOST_ADDED else ""
    restarts = any(path.startswith(".spec.template.") for path in paths)
    what = f"; Git adds {', '.join(paths[:MOST_ADDED])}{more}"
    return what + (", which is in the template of its Pods: they restart" if restarts else "")


def _changes(change: Change, found: Preview) -> str:
    """What is changed of an object that is taken without a question."""
    lines = [diff.line(one, MOST_IN_LINE) for one in found.added.get(change.key, ()) if not is_our_label(one)]
    more = f" and {len(lines) - MOST_CHANGED} more" if len(lines) > MOST_CHANGED else ""
    return f"; it changes {', '.join(lines[:MOST_CHANGED])}{more}" if lines else ""


def _word(change: Change, found: Preview) -> str:
    if change in found.held:
        return "hold"
    if change.key in found.refused:
        return "fail"
    return WORDS[change.action]


def _why(change: Change, found: Preview, spec: InstanceSpec) -> str:
    if (refusal := found.refused.get(change.key)) is not None:
        return refusal.message
    if change.action is Action.ADOPT:
        if spec.sync.adopt == "Always":
            return "it exists, and sync.adopt is Always" + _changes(change, found)
        return "it exists, nobody claims it, and nothing of it is overwritten or taken away" + _adds(change, found)
    return str(change.cause) if change.action is Action.APPLY else ""
