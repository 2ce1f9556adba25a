"""From documents to one spec per instance.

An application whose document, cluster or project is broken keeps running with the specs it had. One that is gone from a
fleet that loads is `left`: its objects stay, and a person decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from reconciler.fleet import problems
from reconciler.fleet.documents import Application, ApplicationSource, Cluster, ClusterSelector, Override, Project
from reconciler.fleet.load import Fleet
from reconciler.fleet.problems import Problem
from reconciler.model.instance import DEFAULT_PROJECT, InstanceKey
from reconciler.model.spec import (
    ClusterTarget,
    InstanceSpec,
    ProjectRules,
    RenderOptions,
    RepositoryAccess,
    Source,
    SyncPolicy,
)


@dataclass(frozen=True, slots=True)
class Expansion:
    """What should run. `kept` run with their last good spec since something of theirs is broken; `left` are gone from
    the fleet, by no error."""

    specs: Mapping[InstanceKey, InstanceSpec] = field(default_factory=dict)
    kept: frozenset[InstanceKey] = frozenset()
    left: frozenset[InstanceKey] = frozenset()
    problems: tuple[Problem, ...] = ()
    clusters: Mapping[str, ClusterTarget] = field(default_factory=dict)

    def repositories(self) -> Mapping[str, RepositoryAccess]:
        """The repositories in use, by URL; where instances disagree on how often to look, the shortest time counts."""
        found: dict[str, RepositoryAccess] = {}
        for spec in self.specs.values():
            repo = spec.source.repo
            if repo.url not in found or repo.poll < found[repo.url].poll:
                found[repo.url] = repo
        return found


class _Refused(Exception):
    """An application that can't be expanded, and the sentences that say why."""

    def __init__(self, *found: tuple[str, str]) -> None:
        self.found = found


def expand(fleet: Fleet, *, previous: Mapping[InstanceKey, InstanceSpec] | None = None) -> Expansion:
    """One spec per application and cluster. Deterministic: equal fleets give equal specs."""
    previous = previous or {}
    specs: dict[InstanceKey, InstanceSpec] = {}
    kept: set[InstanceKey] = set()
    found: list[Problem] = list(fleet.problems)
    for name, application in sorted(fleet.applications.items()):
        try:
            fresh = dict(_instances(application, fleet))
        except _Refused as refused:
            file = fleet.entries["Application", name].file
            found += [Problem(file, 1, at, message, ("Application", name)) for at, message in refused.found]
            fresh = {key: spec for key, spec in previous.items() if key.application == name}
            kept |= fresh.keys()
        specs |= fresh
    for key, spec in previous.items():
        if key not in specs and _is_broken(key, fleet):
            specs[key] = spec
            kept.add(key)
    left = frozenset(previous) - frozenset(specs)
    return Expansion(dict(sorted(specs.items())), frozenset(kept), left, tuple(found), _targets(fleet))


def _is_broken(key: InstanceKey, fleet: Fleet) -> bool:
    """Whether an instance is missing only since something that makes it is broken."""
    parts = {("Application", key.application), ("Cluster", key.cluster), ("Project", key.project)}
    return bool(parts & fleet.broken)


def _targets(fleet: Fleet) -> Mapping[str, ClusterTarget]:
    return {name: _target(cluster) for name, cluster in sorted(fleet.clusters.items())}


def _target(cluster: Cluster) -> ClusterTarget:
    spec, meta = cluster.spec, cluster.metadata
    return ClusterTarget(name=meta.name, labels=meta.labels, access=spec.access, drift=spec.drift, mode=spec.mode)


def _instances(application: Application, fleet: Fleet) -> Iterator[tuple[InstanceKey, InstanceSpec]]:
    spec, name = application.spec, application.metadata.name
    rules = _project(application, fleet)
    _require_known_clusters(spec.clusters, fleet, "spec.clusters.names")
    access = _access(spec.the_source, fleet)
    source = Source(repo=access, ref=spec.the_source.ref, path=spec.the_source.path)
    for cluster in _selected(spec.clusters, fleet):
        _require_allowed_cluster(application, cluster, fleet)
        render, sync, namespace = _overridden(application, cluster)
        made = InstanceSpec(
            project=spec.project,
            application=name,
            cluster=_target(cluster),
            sources=(source,),
            render=render,
            namespace=namespace,
            sync=sync,
            drift=spec.drift,
            labels=application.metadata.labels,
            rules=rules,
        )
        yield made.key, made


def _selected(selector: ClusterSelector, fleet: Fleet) -> list[Cluster]:
    return [one for name, one in sorted(fleet.clusters.items()) if selector.matches(name, one.metadata.labels)]


def _require_known_clusters(selector: ClusterSelector, fleet: Fleet, where: str) -> None:
    unknown = [name for name in selector.names if name not in fleet.clusters]
    if unknown:
        known = ", ".join(sorted(fleet.clusters)) or "none"
        raise _Refused(*((where, f"no Cluster {name!r}; the fleet has {known}") for name in unknown))


def _project(application: Application, fleet: Fleet) -> ProjectRules | None:
    """The rules over what may be written. Raises _Refused for an unknown project, and for a repository outside it."""
    name = application.spec.project
    project = fleet.projects.get(name)
    if project is None:
        if name == DEFAULT_PROJECT:
            return None
        known = ", ".join(sorted({DEFAULT_PROJECT, *fleet.projects}))
        raise _Refused(("spec.project", f"no Project {name!r}; the fleet has {known}"))
    url = application.spec.the_source.repo
    if "*" not in project.spec.repos and not any(is_below(url, prefix) for prefix in project.spec.repos):
        raise _Refused(("spec.source.repo", f"project {name!r} does not list {url}"))
    spec = project.spec
    return ProjectRules(
        namespaces=spec.namespaces, cluster_kinds=spec.cluster_kinds, namespaced_kinds=spec.namespaced_kinds
    )


def _require_allowed_cluster(application: Application, cluster: Cluster, fleet: Fleet) -> None:
    project: Project | None = fleet.projects.get(application.spec.project)
    if project is None:
        return
    allowed = project.spec.clusters
    name, labels = cluster.metadata.name, cluster.metadata.labels
    by_label = bool(allowed.match_labels) and all(labels.get(k) == v for k, v in allowed.match_labels.items())
    if not ({"*", name} & set(allowed.names)) and not by_label:
        raise _Refused(("spec.clusters", f"project {project.metadata.name!r} does not allow cluster {name!r}"))


def _access(source: ApplicationSource, fleet: Fleet) -> RepositoryAccess:
    """How to reach a source's repository: the Repository with the longest URL above it, or none at all."""
    matching = [one.spec for one in fleet.repositories.values() if is_below(source.repo, one.spec.url)]
    if not matching:
        return RepositoryAccess(url=source.repo)
    best = max(matching, key=lambda spec: len(spec.url))
    return RepositoryAccess(url=source.repo, credentials=best.credentials, limits=best.limits, poll=best.poll)


def is_below(url: str, prefix: str) -> bool:
    """Whether a URL begins with a prefix on a path boundary, with the same scheme, host and port."""
    if "://" not in url or "://" not in prefix:
        return url == prefix or url.startswith(prefix.rstrip("/") + "/")
    one, two = urlsplit(url), urlsplit(prefix)
    if (one.scheme, one.hostname, one.port) != (two.scheme, two.hostname, two.port):
        return False
    base = two.path.rstrip("/")
    return one.path == base or one.path.startswith(base + "/")


def _overridden(application: Application, cluster: Cluster) -> tuple[RenderOptions, SyncPolicy, str | None]:
    spec = application.spec
    render, sync = (one.model_dump(by_alias=True, mode="json", exclude_unset=True) for one in (spec.render, spec.sync))
    namespace = spec.namespace
    for override in spec.overrides:
        if override.clusters.matches(cluster.metadata.name, cluster.metadata.labels):
            render, sync = merge(render, override.render), merge(sync, override.sync)
            namespace = override.namespace or namespace
    return _valid(RenderOptions, render, spec.overrides), _valid(SyncPolicy, sync, spec.overrides), namespace


def _valid(model: type[Any], merged: Mapping[str, Any], overrides: tuple[Override, ...]) -> Any:
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        where = "spec.overrides" if overrides else "spec"
        found = problems.of_validation(error, "", {}, model, None)
        raise _Refused(*((f"{where}: {one.field}", one.message) for one in found)) from error


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merged deep, lists and everything else replaced."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged
