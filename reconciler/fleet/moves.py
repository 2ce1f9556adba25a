"""Applications under another name, project or cluster than before: `spec.movedFrom`, resolved to instances.

A move is in force once the earlier instance is defined no more. Until then it is a problem: nobody can tell which of the
two should have the objects. What is `kept` keeps the moves it had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from reconciler.fleet.documents import Application
from reconciler.fleet.load import Entry, Fleet
from reconciler.fleet.problems import Problem
from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec

Specs = Mapping[InstanceKey, InstanceSpec]


def settle(specs: Specs, kept: Collection[InstanceKey], fleet: Fleet) -> tuple[Specs, tuple[Problem, ...]]:
    """The specs with what each moved from, and the moves from what is still defined."""
    settled, problems = dict(specs), list[Problem]()
    told: set[tuple[str, int]] = set()
    for key, spec in specs.items():
        application = fleet.applications.get(key.application)
        if key in kept or application is None or not application.spec.moved_from:
            continue
        found: list[str] = []
        for index, former in _formers(application, key):
            if former not in specs:
                found.append(str(former))
            elif (key.application, index) not in told:
                told.add((key.application, index))
                entry = fleet.entries["Application", key.application]
                problems.append(_still_defined(entry, index, former))
        settled[key] = spec.model_copy(update={"moved_from": tuple(found)})
    return settled, tuple(problems)


def heirs(specs: Specs) -> Mapping[InstanceKey, tuple[InstanceKey, ...]]:
    """By instance that is defined no more: those that say they were it."""
    found: dict[InstanceKey, list[InstanceKey]] = {}
    for key, spec in specs.items():
        for former in spec.moved_from:
            found.setdefault(InstanceKey.parse(former), []).append(key)
    return {former: tuple(sorted(heirs, key=str)) for former, heirs in found.items() if former not in specs}


def _formers(application: Application, key: InstanceKey) -> Iterator[tuple[int, InstanceKey]]:
    for index, one in enumerate(application.spec.moved_from):
        former = InstanceKey(one.project or key.project, one.name or key.application, one.cluster or key.cluster)
        if former != key:
            yield index, former


def _still_defined(entry: Entry, index: int, former: InstanceKey) -> Problem:
    return entry.problem(
        f"{former.short} is still defined, so nothing moves from it; remove it there, or remove this entry",
        "spec",
        "movedFrom",
        index,
    )
