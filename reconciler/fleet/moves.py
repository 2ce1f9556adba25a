"""Applications under another name, project or cluster than before: `spec.movedFrom`, resolved to instances.

A move is in force once the earlier instance is defined no more. Until then it is a problem: nobody can tell which of the
two should have the objects. From another project it is in force only while that project lists the new one in its
`movesTo`: otherwise a tenant could take over what another removes. What is `kept` keeps the moves it had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from reconciler.fleet.documents import Application, full_name, in_project
from reconciler.fleet.load import Fleet
from reconciler.fleet.problems import Problem
from reconciler.model.instance import DEFAULT_PROJECT, InstanceKey
from reconciler.model.spec import InstanceSpec

Specs = Mapping[InstanceKey, InstanceSpec]


def settle(specs: Specs, kept: Collection[InstanceKey], fleet: Fleet) -> tuple[Specs, tuple[Problem, ...]]:
    """The specs with what each moved from, and the moves from what is still defined."""
    settled, problems = dict(specs), list[Problem]()
    told: set[tuple[str, int]] = set()
    for key, spec in specs.items():
        application = fleet.applications.get(in_project(key.project, key.application))
        if key in kept or application is None or not application.spec.moved_from:
            continue
        found: list[str] = []
        name = full_name(application)
        for index, former in _formers(application, key):
            why = _why_not(former, key, specs, fleet)
            if not why:
                found.append(str(former))
            elif (name, index) not in told:
                told.add((name, index))
                problems.append(fleet.entries["Application", name].problem(why, "spec", "movedFrom", index))
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


def _why_not(former: InstanceKey, key: InstanceKey, specs: Specs, fleet: Fleet) -> str:
    """Why an instance may not have been that one, or ""."""
    if former in specs:
        return f"{former.short} is still defined, so nothing moves from it; remove it there, or remove this entry"
    if former.project == key.project or _allows_moves(former.project, key.project, fleet):
        return ""
    return (
        f"Project {former.project!r} does not list {key.project!r} in its movesTo, so nothing moves from it; add it there "
        "and keep that Project until the move is over, or remove this entry"
    )


def _allows_moves(former: str, now: str, fleet: Fleet) -> bool:
    """Whether a project lets another have its applications; `default`, when it is not defined, allows all."""
    project = fleet.projects.get(former)
    if project is None:
        is_hidden = bool(fleet.doubtful) or fleet.is_lost("Project", former)
        return former == DEFAULT_PROJECT and not is_hidden
    return bool({"*", now} & set(project.spec.moves_to))
