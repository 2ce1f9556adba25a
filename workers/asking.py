"""Asking for syncs: the public task `undrift.resync` (Flower's API, scripts) and the command line.

Writes to the due queue only. Its arguments come from outside: they are checked, and a refusal says what is accepted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import structlog

from reconciler.errors import UndriftError
from reconciler.model.instance import InstanceKey
from workers import wiring
from workers.messages import Lane, Mark, Work
from workers.store import Store

log = structlog.get_logger()
MANY = 20
"""More instances than this in one request go to the periodic lane, so that they do not delay everybody's commits."""


class BadRequest(UndriftError):
    """The arguments of a resync can't be used."""

    stage = "usage"


def run(
    application: str | None,
    instance: str | None,
    selector: str | None,
    reason: str,
    *,
    full: bool,
    unknown: Mapping[str, object],
) -> None:
    """Make the chosen instances due. Raises BadRequest; an unknown instance is one too."""
    if unknown:
        raise BadRequest(
            f"unknown arguments {', '.join(sorted(unknown))[:100]}; expected application, instance or selector, reason "
            "and full"
        )
    if not isinstance(reason, str) or len(reason) > 200 or not (reason + "-").isprintable():
        raise BadRequest("expected reason as one line of at most 200 characters")
    if not isinstance(full, bool):
        raise BadRequest(f"expected full as true or false, found {full!r:.40}")
    store = wiring.store()
    keys = chosen(store, application, instance, selector)
    request(store, keys, reason or "operator", full=full)
    log.info("resync_asked", instances=len(keys), reason=reason)


def chosen(store: Store, application: str | None, instance: str | None, selector: str | None) -> list[InstanceKey]:
    """The instances that exactly one of the three means. Raises BadRequest when it means none."""
    given = [value for value in (application, instance, selector) if value is not None]
    if len(given) != 1 or not isinstance(given[0], str) or not given[0]:
        raise BadRequest("expected exactly one of application, instance and selector, as a text")
    if instance is not None:
        found = [key for key in (InstanceKey.parse(instance),) if store.specs.has(key)]
    elif application is not None:
        project, _, name = application.rpartition("/")
        known = store.specs.instance_keys()
        found = sorted(key for key in known if key.application == name and (not project or key.project == project))
        if ambiguous := in_several_projects(found, application):
            raise BadRequest(ambiguous)
    else:
        found = selected(store, selector or "")
    if not found:
        raise BadRequest(f"nothing in the fleet is meant by {given[0]!r:.100}")
    return found


def selected(store: Store, selector: str) -> list[InstanceKey]:
    """The instances whose labels, or whose clusters' labels, a selector means. Raises BadRequest when it can't be read."""
    wanted = parse_selector(selector)
    return [key for key, labels in store.specs.labels() if matches(labels, wanted)]


def in_several_projects(keys: Iterable[InstanceKey], name: str) -> str:
    """Why an application's name means nothing certain, "" when all its instances are of one project."""
    found = sorted({f"{key.project}/{key.application}" for key in keys})
    return f"{name!r} is in several projects; name one: {', '.join(found)}" if len(found) > 1 else ""


def request(store: Store, keys: Iterable[InstanceKey], reason: str, *, full: bool = False) -> str:
    """Make instances due for an operator; the request's id."""
    works = [Work("sync", str(key)) for key in keys]
    identity = store.requests.open(work.subject for work in works)
    lane = Lane.OPERATOR if len(works) <= MANY else Lane.PERIODIC
    store.due.mark(Mark(work, lane, reason, full=full, request=identity) for work in works)
    return identity


def look(store: Store, urls: Collection[str], timeout_s: float) -> Iterator[Mapping[str, Any]]:
    """Have repositories looked at now; each answer as it comes, fewer than `urls` when the time for all ran out."""
    identity, until_s = store.requests.open(urls), store.clock.boot_s() + timeout_s
    store.due.mark(Mark(Work("refresh", one), Lane.OPERATOR, "operator", request=identity) for one in urls)
    for _ in urls:
        yield from store.requests.follow(identity, 1, max(until_s - store.clock.boot_s(), 0.0))


def parse_selector(text: str) -> dict[str, str]:
    """`env=prod,team=web` as a map. Raises BadRequest."""
    pairs = [part.partition("=") for part in text.split(",") if part]
    if not pairs or any(not key or not middle for key, middle, _ in pairs):
        raise BadRequest(f"selector {text!r}: expected key=value, with commas between several")
    return {key.strip(): value.strip() for key, _, value in pairs}


def matches(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether labels hold all that is wanted."""
    return all(labels.get(key) == value for key, value in wanted.items())
