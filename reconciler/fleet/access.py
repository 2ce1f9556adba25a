"""How an application's repository is reached: as the nearest Repository of its project says.

The nearest is the one with the longest URL at or above the source's, on a path boundary, with the same scheme, host and
port. Without any there are no credentials at all.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.fleet import urls
from reconciler.fleet.documents import Application, Repository
from reconciler.fleet.load import Fleet
from reconciler.model.spec import InstanceSpec, RepositoryAccess


def access(application: Application, fleet: Fleet, before: Iterable[InstanceSpec]) -> RepositoryAccess:
    """The repository with its credentials. `before` are the specs that the application's own instances had.

    While a Repository of the project can't be read, what was used before is used on: another one's credentials would be
    worse. Text that may be anybody's holds back nobody's new credentials, only the loss of those there were.
    """
    url = application.spec.the_source.repo
    found = nearest(application, fleet)
    if fleet.is_repository_lost(application.spec.project) or (fleet.doubtful and not found):
        for spec in before:
            if spec.source.repo.url == url:
                return spec.source.repo
    if not found:
        return RepositoryAccess(url=url)
    best = found[0].spec
    return RepositoryAccess(url=url, credentials=best.credentials, limits=best.limits, poll=best.poll)


def nearest(application: Application, fleet: Fleet) -> list[Repository]:
    """The Repositories of the application's project with the longest URL at or above its source; more than one only
    when they have the same URL."""
    place = urls.parse(application.spec.the_source.repo)
    above: list[tuple[int, Repository]] = []
    for one in fleet.repositories.values():
        prefix = urls.parse(one.spec.url)
        if one.spec.project == application.spec.project and place.is_below(prefix):
            above.append((len(prefix.path), one))
    longest = max((length for length, _ in above), default=0)
    return [one for length, one in above if length == longest]
