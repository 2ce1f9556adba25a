"""Which look-ups there are at Git hosts: one for each URL, and where it is reached in several ways, one for each of these.

Projects that use one repository may have different credentials for it, or none, and other limits: what one sees there is
not for the other, and neither may depend on what the other wrote. How often one looks may be shared. Such look-ups are
called by the URL and the first project that they serve. Nothing else about them differs, so it is no part of a spec's
digest: another tenant's arrival makes nobody's instances due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from reconciler.model.instance import InstanceKey
from reconciler.model.spec import InstanceSpec, RepositoryAccess, RepositoryCredentials, RepositoryLimits

Specs = Mapping[InstanceKey, InstanceSpec]
_Way = tuple[RepositoryCredentials, RepositoryLimits]


def with_look_ups(specs: Specs) -> Specs:
    """The specs, each with the name of the look-up that serves it."""
    names = _names(specs.values())
    found = dict(specs)
    for key, spec in specs.items():
        repo = spec.source.repo
        name = names.get((repo.url, (repo.credentials, repo.limits)), "")
        if name != repo.look_up:
            source = spec.source.model_copy(update={"repo": repo.model_copy(update={"look_up": name})})
            found[key] = spec.model_copy(update={"sources": (source, *spec.sources[1:])})
    return found


def repositories(specs: Specs) -> Mapping[str, RepositoryAccess]:
    """The accesses in use, by look-up; where instances disagree on how often to look, the shortest time counts."""
    found: dict[str, RepositoryAccess] = {}
    for spec in specs.values():
        repo = spec.source.repo
        if repo.subject not in found or repo.poll < found[repo.subject].poll:
            found[repo.subject] = repo
    return found


def _names(specs: Iterable[InstanceSpec]) -> Mapping[tuple[str, _Way], str]:
    """The names of those look-ups that a URL alone does not name."""
    projects: dict[str, dict[_Way, set[str]]] = {}
    for spec in specs:
        repo = spec.source.repo
        projects.setdefault(repo.url, {}).setdefault((repo.credentials, repo.limits), set()).add(spec.project)
    return {(url, way): name for url, ways in projects.items() if len(ways) > 1 for way, name in _named(url, ways)}


def _named(url: str, ways: Mapping[_Way, set[str]]) -> Iterator[tuple[_Way, str]]:
    """A project has two ways only while a broken document keeps an instance at the credentials that it had."""
    taken: dict[str, int] = {}
    for way, projects in sorted(
        ways.items(), key=lambda one: (min(one[1]), *(part.model_dump_json() for part in one[0]))
    ):
        project = min(projects)
        taken[project] = count = taken.get(project, 0) + 1
        yield way, f"{url} ({project})" if count == 1 else f"{url} ({project}, {count})"
