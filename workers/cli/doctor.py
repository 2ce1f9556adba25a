"""`undrift doctor`: everything that must be true for the rest to work, each with what to do when it is not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import typer

from reconciler.cluster import OpenGuard
from reconciler.errors import ClusterIdentityChanged, UndriftError
from reconciler.model.live import Resource
from reconciler.model.spec import ClusterTarget
from reconciler.objects.keys import SYSTEM_NAMESPACE
from reconciler.pipeline.rooms import Rooms
from reconciler.ports import ClusterApi
from workers import metrics, pinning, webhook, wiring
from workers.cli import output
from workers.cli.output import Format
from workers.store import Store, clocks, composed

doctor_app = typer.Typer(pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)

WARNED, FAILED, UNREACHABLE = 1, 3, 5
OLDEST_REDIS = 7
MOST_SKEW_S = 5.0
LEAST_FREE = 1024**3
OLD_S = 2 * 3600.0
SEVERAL = (
    "Schedulers on several machines need UNDRIFT_JOURNAL_REPO, or one state volume for all: docs/how-to/recover.md"
)
REVIEW = Resource("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", False)
NEEDED = (("secrets", ("get", "list", "create", "update", "delete"), SYSTEM_NAMESPACE), ("namespaces", ("get",), ""))
Level = Literal["ok", "warn", "fail", "away"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, how it is, and what to do about it."""

    level: Level
    check: str
    message: str


@doctor_app.command(epilog="Example: undrift doctor -o json")
def doctor(chosen: Annotated[Format, typer.Option("-o", "--output")] = Format.TABLE) -> None:
    """Check Redis, processes, journal, disk, render helper, webhook, Git, clusters.

    Ends with 0 well, 1 warned, 3 failed, 5 unreachable.
    """
    store = wiring.store()
    with closing(wiring.rooms()) as rooms:
        found = list(_all(store, rooms))
    if not output.show_list("FindingList", [asdict(one) for one in found], chosen):
        output.table(["", "CHECK", "FOUND"], [[one.level, one.check, one.message] for one in found])
    levels = {one.level for one in found}
    sys.exit(FAILED if "fail" in levels else UNREACHABLE if "away" in levels else WARNED if "warn" in levels else 0)


def _all(store: Store, rooms: Rooms) -> Iterator[Finding]:
    yield from _redis(store)
    yield from _processes(store)
    yield from _fleet(store)
    yield _journal(store)
    yield _disk()
    yield render_helper(rooms.renderer.is_offline)
    yield _webhook(store)
    for url, access in store.specs.repositories().items():
        try:
            tips = len(rooms.source.refs(access).tips())
            yield Finding("ok", f"repository {url}", f"answers, {tips} branches and tags")
        except UndriftError as error:
            yield Finding("away", f"repository {url}", error.message)
    for name, target in store.specs.clusters().items():
        yield from _cluster(name, target, rooms)


def _redis(store: Store) -> Iterator[Finding]:
    info: Any = store.redis.info()
    version = str(info["redis_version"])
    if int(version.split(".")[0]) < OLDEST_REDIS:
        yield Finding("fail", "redis", f"version {version}; use Redis or Valkey {OLDEST_REDIS} or newer")
    else:
        yield Finding("ok", "redis", f"version {version}, {info['used_memory_human']} in use")
    if info.get("maxmemory") and info.get("maxmemory_policy") != "noeviction":
        yield Finding("fail", "redis", f"evicts keys ({info['maxmemory_policy']}); set maxmemory-policy noeviction")
    if not store.due.is_known():
        yield Finding(
            "warn", "redis", "empty: a scheduler that leads will rebuild everything from Git and the clusters"
        )


def _processes(store: Store) -> Iterator[Finding]:
    now = store.clock.now()
    client: Any = store.redis
    if client.get(f"{store.prefix}leader"):
        yield Finding("ok", "scheduler", "one leads")
    else:
        yield Finding("fail", "scheduler", "none leads; start `undrift scheduler`, two or more in production")
    alive = store.slots.alive(now)
    if not alive:
        yield Finding("fail", "workers", "none is running; start `undrift worker`")
    else:
        yield Finding("ok", "workers", f"{len(alive)} with {sum(alive.values())} slots")
    for worker, ahead_s in store.clocks.apart().items():
        yield Finding("fail", f"worker {worker}", clocks.told(ahead_s))
    for brake in store.brakes.all().values():
        if not brake.is_over(now):
            yield Finding("warn", "brakes", brake.sentence)


def _fleet(store: Store) -> Iterator[Finding]:
    fleet = store.fleet.told()
    for problem in fleet["problems"]:
        yield Finding("fail", "fleet", str(problem))
    works = store.queued.states()
    statuses = [one for _, one in composed.each(store, works)]
    if not fleet["problems"]:
        yield Finding("ok", "fleet", f"{len(statuses)} instances at {str(fleet['revision'])[:12] or 'no revision yet'}")
    oldest_s = metrics.oldest_unreconciled_s(store, statuses, works)
    if oldest_s > OLD_S:
        yield Finding(
            "warn",
            "dead man's switch",
            f"an instance is not in sync for {oldest_s / 3600:.0f} h; `undrift status` names it",
        )


def _journal(store: Store) -> Finding:
    head, journal = store.outbox.head(), wiring.journal()
    verdict = journal.verify()
    if verdict.problem:
        return Finding("fail", "journal", f"{verdict.problem}; see docs/how-to/recover.md")
    if head is not None and not journal.has(head):
        there = f"commit {head[:12]} is not here: another machine wrote it, or this journal was lost or rewritten"
        return Finding("fail" if wiring.settings().journal_repo is None else "warn", "journal", f"{there}. {SEVERAL}")
    waiting, copy = store.outbox.length(), store.outbox.copy()
    if problem := copy.get("problem"):
        return Finding("warn", "journal", f"whole, but not copied: {problem}")
    copied = f"; its copy has {copy['head'][:12]}" if copy else ""
    alone = f"; on this machine alone. {SEVERAL}" if wiring.settings().journal_repo is None else ""
    return Finding("ok", "journal", f"{verdict.entries} entries, whole; {waiting} wait{copied}{alone}")


def _disk() -> Finding:
    home = wiring.settings().home
    free = shutil.disk_usage(home).free
    level: Level = "ok" if free >= LEAST_FREE else "warn"
    return Finding(level, "disk", f"{free / 1024**3:.1f} GiB free at {home}, where mirrors and journal lie")


def render_helper(is_offline: Callable[[], bool]) -> Finding:
    """Whether what renders charts and kustomizations is cut off from the network, on the machine that is asked."""
    try:
        offline = is_offline()
    except UndriftError as error:
        return Finding("fail", "render helper", f"{error.reason}: {error.message}")
    if offline:
        return Finding("ok", "render helper", "renders without a network on this machine")
    return Finding(
        "warn",
        "render helper",
        "this machine's kernel does not let it leave the network (unshare is refused, as by a Pod's seccomp profile): "
        "charts and kustomizations that name something to fetch are refused all the same, but no second wall stands "
        "behind that; allow unshare, or let a NetworkPolicy keep workers from all but Git hosts, Redis and API servers",
    )


def _webhook(store: Store) -> Finding:
    """Whether notices arrive. Of the URL only the host is shown, since its path is often its password."""
    target = wiring.settings().webhook
    if target is None and store.notices.delivery().at is not None:
        at = store.notices.delivery().at
        return Finding(
            "ok", "webhook", f"set for the processes, not in this shell; last success {at:%Y-%m-%d %H:%M:%S} UTC"
        )
    if target is None:
        return Finding("ok", "webhook", "none: nobody is told of what goes wrong; see docs/how-to/notices.md")
    delivery, waiting = store.notices.delivery(), store.notices.waiting()
    last = f"last success {delivery.at:%Y-%m-%d %H:%M:%S} UTC" if delivery.at else "nothing was told yet"
    found = f"{webhook.host(target.url)}: {last}; {waiting} wait"
    try:
        webhook.read_secret(target, wiring.settings())
    except UndriftError as error:
        return Finding("fail", "webhook", f"{found}; UNDRIFT_WEBHOOK_SECRET: {error.message}")
    if delivery.error:
        return Finding("warn", "webhook", f"{found}; last error {delivery.error_at:%H:%M:%S} UTC: {delivery.error}")
    return Finding("ok", "webhook", found)


def _cluster(name: str, target: ClusterTarget, rooms: Rooms) -> Iterator[Finding]:
    check = f"cluster {name}"
    try:
        api = rooms.clusters.api(target, OpenGuard(), agent=f"doctor {name}")
        version = api.discovery(refresh=True).server_version
        at = api.server_time()
        pinning.require_pinned(wiring.store(), target, api.identity(refresh=True))
        foreign = rooms.inventories.foreign(api)
        missing = list(_missing_rights(api)) if not api.is_read_only else []
    except ClusterIdentityChanged as error:
        yield Finding("fail", check, error.message)
        return
    except UndriftError as error:
        yield Finding("away", check, f"{error.reason}: {error.message}")
        return
    yield Finding("ok", check, f"Kubernetes {version}, mode {target.mode}")
    skew_s = abs((at - rooms.clock.now()).total_seconds()) if at else 0.0
    if skew_s > MOST_SKEW_S:
        yield Finding(
            "warn", check, f"its clock and ours are {skew_s:.0f} s apart; leases bear that, times shown do not"
        )
    if missing:
        yield Finding("fail", check, f"we may not {', '.join(missing)}; grant it to the user of its kubeconfig")
    if foreign:
        owners = ", ".join(sorted(set(foreign.values())))
        yield Finding(
            "warn", check, f"installation {owners} owns {len(foreign)} instances there; see `undrift cluster takeover`"
        )


def _missing_rights(api: ClusterApi) -> Iterator[str]:
    """What every sync needs and we may not do; the rights on an application's own kinds are told by its syncs."""
    for resource, verbs, namespace in NEEDED:
        for verb in verbs:
            attributes = {"resource": resource, "verb": verb} | ({"namespace": namespace} if namespace else {})
            body = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "metadata": {},
                "spec": {"resourceAttributes": attributes},
            }
            if not api.create(REVIEW, body)["status"].get("allowed"):
                yield f"{verb} {resource}{f' in {namespace}' if namespace else ''}"
