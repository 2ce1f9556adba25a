"""Why an instance is as it is, in sentences."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import closing

from reconciler.cluster import OpenGuard
from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey
from reconciler.model.status import InstanceStatus
from reconciler.pipeline.unwell import pods_say
from workers import wiring
from workers.cli import output
from workers.store import Store

MOST_NAMED = 5
SYNC_WORDS = {
    "Synced": "What runs equals what Git says, as far as was looked at last.",
    "OutOfSync": "What runs differs from what Git says.",
    "Unknown": "Whether what runs equals what Git says is not known.",
}
PHASE_WORDS = {
    "Held": "A person must decide before it goes on.",
    "Failed": "The last sync failed, in part at least; what it did not get to is as it was.",
    "Syncing": "A worker is syncing it now.",
    "Waiting": "It waits.",
    "Queued": "It is due, and waits for a worker.",
    "Idle": "Nothing is being done.",
    "Paused": "It is paused.",
}


def sentences(store: Store, key: InstanceKey, status: InstanceStatus) -> list[str]:
    """What is true of an instance, why, and what happens next."""
    now = store.clock.now()
    lines = [f"{key.short} is {status.sync}, {status.phase} and {status.health}."]
    lines.append(f"  {SYNC_WORDS[status.sync]} {PHASE_WORDS.get(status.phase, '')}".rstrip())
    lines.append(f"  Reason {status.reason}: {status.message or 'none given'}.")
    spec = store.specs.get(key)
    if spec is not None:
        source = spec.source
        lines.append(f"  It comes from {source.repo.url}, {source.ref}, folder {source.path}.")
    lines += _rejected(store, key)
    lines += _commits(store, key, status)
    for one in status.drift[:MOST_NAMED]:
        writer = one.manager or "somebody"
        what = "was deleted" if one.field == "(deleted)" else f"{one.field or 'a field'} was changed by {writer}"
        values = f" from {one.ours} to {one.theirs}" if one.ours and one.theirs else ""
        since = " and put back" if one.healed else ""
        lines.append(
            f"  Last drift, {output.ago(one.at, now)} ago: {ObjectKey.from_text(one.key)}: {what}{values}{since}."
        )
    unwell = [one for one in status.objects if one.health not in ("Healthy", "Suspended")]
    pods = _pods(store, key, [ObjectKey.from_text(one.key) for one in unwell[:MOST_NAMED]])
    for entry in unwell[:MOST_NAMED]:
        named = ObjectKey.from_text(entry.key)
        said = f" ({pods[named]})" if named in pods else ""
        lines.append(f"  {named} is {entry.health}: {(entry.message or 'no reason given').rstrip('.')}{said}.")
    if len(unwell) > MOST_NAMED:
        lines.append(f"  So are {len(unwell) - MOST_NAMED} more: `undrift app get {key.short}` names all.")
    for one in status.foreign[:5]:
        what = f"{one.manager} added {one.field}, which Git does not declare (`drift.foreignFields`)"
        lines.append(f"  {ObjectKey.from_text(one.key)}: {what}.")
    lines += [f"  {warning}." for warning in status.warnings[:5]]
    lines += _next(store, key, status)
    return lines


def _rejected(store: Store, key: InstanceKey) -> list[str]:
    """That its file's newest text is wrong, and that what it said before holds, when that is so."""
    told = store.fleet.told()
    about = told["rejected"].get(key.short.partition("@")[0], {})
    if key.cluster not in about.get("kept", ()):
        return []
    problems = [f"    {told['problems'][place]}" for place in about["problems"]]
    return ["  Its newest definition was rejected, and the one before it holds:", *problems]


def _pods(store: Store, key: InstanceKey, unwell: Collection[ObjectKey]) -> Mapping[ObjectKey, str]:
    """What the Pods of workloads that are not well say; nothing where the cluster can't be asked from here."""
    target = store.specs.cluster(key.cluster)
    if target is None or not unwell:
        return {}
    with closing(wiring.open_rooms(wiring.settings())) as rooms:
        try:
            api = rooms.clusters.api(target, OpenGuard(), agent=f"{key} explain")
        except UndriftError:
            return {}
        return pods_say(api, unwell, store.clock.now())


def _commits(store: Store, key: InstanceKey, status: InstanceStatus) -> list[str]:
    """What is applied, what was tried last, and what has come since."""
    if not status.applied_revision:
        return []
    at, applied = output.ago(status.last_sync, store.clock.now()), status.applied_revision
    lines = [f"  Commit {applied[:12]} is applied; the last sync ended {at} ago."]
    tried = status.revisions[0].revision if status.revisions else ""
    if status.phase == "Failed" and tried not in ("", applied):
        lines = [f"  Commit {applied[:12]} is applied; the last sync, of commit {tried[:12]}, failed {at} ago."]
    elif tried not in ("", applied) and status.sync == "Synced":
        lines.append(f"  What came after commit {tried[:12]}, which was synced last, changes nothing that it reads.")
    return lines


def _next(store: Store, key: InstanceKey, status: InstanceStatus) -> list[str]:
    now = store.clock.now()
    lines = []
    if not store.slots.alive(now):
        lines.append("  No worker is running: nothing happens until one is started (`undrift worker`).")
    if status.phase == "Held" and status.plan_id:
        lines.append(
            f"  Next: `undrift app plan {key.short}`, then `undrift app approve {key.short} --plan {status.plan_id}`."
        )
    elif status.phase == "Paused":
        until = f"{status.next_try:%Y-%m-%d %H:%M:%S} UTC" if status.next_try else "a person lifts it"
        lines.append(f"  Next: nothing until {until}; commits and drift are seen, and wait.")
    elif status.next_try is not None:
        lines.append(f"  Next: tried again {output.ago(status.next_try, now)}; a commit or drift makes it due at once.")
    elif status.phase in ("Queued", "Syncing"):
        lines.append("  Next: the sync that is due or running.")
    else:
        lines.append("  Next: a commit, drift, or `undrift app sync`.")
    return lines
