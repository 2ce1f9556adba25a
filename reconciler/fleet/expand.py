"""From documents to one spec per instance.

What is broken keeps the specs it had (`kept`): an application or cluster whose document is wrong, an application that
names what does not exist, and anything that may be defined in text that can't be read. What its project refuses keeps
its spec too, with the refusal in its rules, so that nothing more is written. What is gone by no error is `left`: its
objects stay, and a person decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reconciler.fleet import lookups, moves, values
from reconciler.fleet import project as projects
from reconciler.fleet.access import access, nearest
from reconciler.fleet.documents import Application, Cluster, Project, full_name, in_project
from reconciler.fleet.fill import Wrong, fill, never, told
from reconciler.fleet.load import Entry, Fleet
from reconciler.fleet.options import Options, make_options, matching
from reconciler.fleet.placeholders import Names
from reconciler.fleet.problems import Hints, Path, Problem, in_order
from reconciler.model.instance import DEFAULT_PROJECT, InstanceKey
from reconciler.model.rules import ProjectRules
from reconciler.model.spec import ClusterTarget, InstanceSpec, RepositoryAccess

Specs = Mapping[InstanceKey, InstanceSpec]


@dataclass(frozen=True, slots=True)
class Expansion:
    """What should run. `kept` run with their last good spec since something of theirs is broken; `left` are gone from
    the fleet, by no error."""

    specs: Specs = field(default_factory=dict)
    kept: frozenset[InstanceKey] = frozenset()
    left: frozenset[InstanceKey] = frozenset()
    removed: frozenset[InstanceKey] = frozenset()
    """Those of `left` whose Application's own document was removed, from a fleet that reads cleanly and has others."""
    moved: Mapping[InstanceKey, tuple[InstanceKey, ...]] = field(default_factory=dict)
    """By instance that is gone: those that say, in a fleet that reads cleanly, that they were it."""
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    clusters: Mapping[str, ClusterTarget] = field(default_factory=dict)

    def repositories(self) -> Mapping[str, RepositoryAccess]:
        """The accesses in use, by what their look-ups are called."""
        return lookups.repositories(self.specs)


@dataclass
class _Work:
    """What one expansion has decided so far."""

    fleet: Fleet
    previous: Specs
    targets: Mapping[str, ClusterTarget]
    specs: dict[InstanceKey, InstanceSpec] = field(default_factory=dict)
    kept: set[InstanceKey] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    hints: Hints = field(default_factory=Hints)
    _names: dict[str, Names] = field(default_factory=dict)
    _rules: dict[str, ProjectRules | None] = field(default_factory=dict)

    @cached_property
    def before(self) -> Mapping[str, list[InstanceKey]]:
        """The instances before, by the fleet's name of their application."""
        found: dict[str, list[InstanceKey]] = {}
        for key in self.previous:
            found.setdefault(_application(key), []).append(key)
        return found

    def specs_before(self, application: Application) -> Iterator[InstanceSpec]:
        """What an application's instances had, each read when it is asked for."""
        found = map(self.previous.get, self.before.get(full_name(application), ()))
        return (spec for spec in found if spec is not None)

    @cached_property
    def default_was_limited(self) -> bool:
        """Whether a Project `default` was defined when the specs before were made."""
        mine = (self.previous.get(key) for key in self.previous if key.project == DEFAULT_PROJECT)
        return any(spec is not None and spec.rules is not None for spec in mine)

    def names_of(self, cluster: Cluster) -> Names:
        """What a cluster offers to placeholders."""
        meta = cluster.metadata
        if meta.name not in self._names:
            self._names[meta.name] = values.names(meta.name, meta.labels, cluster.spec.values)
        return self._names[meta.name]

    def rules_of(self, project: Project | None) -> ProjectRules | None:
        """A project's rules: one object for all of its instances, since a fleet may have 100,000."""
        if project is None:
            return None
        name = project.metadata.name
        if name not in self._rules:
            self._rules[name] = projects.rules(project)
        return self._rules[name]

    def keep(self, key: InstanceKey, *, refusal: str = "") -> None:
        """Keep an instance as it was, if it was; with a refusal it keeps its objects and writes nothing more."""
        spec = self.previous.get(key)
        if spec is None:
            return
        if refusal:
            spec = spec.model_copy(update={"rules": ProjectRules(refusal=refusal, guards=spec.guards)})
        self.specs[key] = spec
        self.kept.add(key)


def expand(fleet: Fleet, *, previous: Specs | None = None) -> Expansion:
    """One spec per application and cluster. Deterministic: equal fleets give equal specs.

    Of `previous` all names are looked at, and the specs of what is broken only: they may have to be read.
    """
    targets = {name: _target(cluster) for name, cluster in fleet.clusters.items()}
    work = _Work(fleet, previous or {}, targets, problems=list(fleet.problems), notes=list(fleet.notes))
    work.problems += _refused_repositories(fleet)
    for name, application in fleet.applications.items():
        _expand_one(application, fleet.entries["Application", name], work.before.get(name, []), work)
    for key in work.previous:
        if key not in work.specs and _is_in_doubt(key, fleet):
            work.keep(key)
    kept = {work.specs[key].cluster.name: work.specs[key].cluster for key in sorted(work.kept)}
    left = frozenset(work.previous) - frozenset(work.specs)
    specs, still_there = moves.settle(work.specs, work.kept, fleet)
    work.problems += still_there
    return Expansion(
        specs=dict(sorted(lookups.with_look_ups(specs).items())),
        kept=frozenset(work.kept),
        left=left,
        removed=_removed(left, work),
        moved=moves.heirs(specs) if _is_clean(work) else {},
        problems=in_order(work.problems),
        notes=in_order(work.notes),
        clusters=dict(sorted({**kept, **targets}.items())),
    )


def _is_clean(work: _Work) -> bool:
    # A file that can't be read may be the one that defined it, whether or not it looks like ours.
    return bool(work.fleet.applications) and not work.problems and not work.fleet.notes


def _removed(left: Iterable[InstanceKey], work: _Work) -> frozenset[InstanceKey]:
    """Not those whose name is new in another project: they moved there, and nobody said so."""
    if not _is_clean(work):
        return frozenset()
    elsewhere = {key.application for key in work.specs if key not in work.previous}
    return frozenset(
        key
        for key in left
        if _application(key) not in work.fleet.applications
        and key.cluster in work.fleet.clusters
        and key.application not in elsewhere
    )


def _application(key: InstanceKey) -> str:
    """An instance's application by the name that the fleet has for it."""
    return in_project(key.project, key.application)


def _expand_one(application: Application, entry: Entry, mine: list[InstanceKey], work: _Work) -> None:
    """Decide an application's instances. Broken as a whole, it keeps those it had, and gets no others."""
    fleet = work.fleet
    if ("Application", full_name(application)) in fleet.broken and mine:
        _keep_all(mine, work)
        return
    if wrong := list(_wrong_references(application, entry, work)):
        work.problems += wrong
        _keep_all(mine, work)
        return
    project = fleet.projects.get(application.spec.project)
    if refusal := projects.repository_refusal(application, project):
        work.problems.append(entry.problem(refusal.message, *refusal.path))
        _keep_all(mine, work, refusal=refusal.message)
        return
    for repository in nearest(application, fleet):
        if refusals := list(projects.credential_refusals(repository, project)):  # told of the Repository itself
            _keep_all(mine, work, refusal=f"Repository {repository.metadata.name!r}: {refusals[0].message}")
            return
    selected = [one for one in fleet.clusters.values() if _selects(application, one)]
    if not selected:
        work.notes.append(entry.problem("selects no cluster of this fleet", "spec", "clusters"))
    options: dict[tuple[int, ...], Options] = {}
    unfilled: dict[str, tuple[Wrong, ...]] = {"": tuple(never(application))}
    for cluster in selected:
        unfilled[cluster.metadata.name] = _expand_on(application, cluster, project, entry, options, work)
    work.problems += told(entry, unfilled)


def _refused_repositories(fleet: Fleet) -> Iterator[Problem]:
    """What Repositories may not use, whether or not an application does."""
    for name, repository in fleet.repositories.items():
        project = fleet.projects.get(repository.spec.project)
        for one in projects.credential_refusals(repository, project):
            yield fleet.entries["Repository", name].problem(one.message, *one.path)


def _keep_all(keys: list[InstanceKey], work: _Work, *, refusal: str = "") -> None:
    """Keep instances whose cluster is still there, or may be."""
    for key in keys:
        if key.cluster in work.fleet.clusters or work.fleet.is_lost("Cluster", key.cluster):
            work.keep(key, refusal=refusal)


def _expand_on(
    application: Application,
    cluster: Cluster,
    project: Project | None,
    entry: Entry,
    options: dict[tuple[int, ...], Options],
    work: _Work,
) -> tuple[Wrong, ...]:
    """Decide one instance; what the cluster can't fill in for it, which leaves it as it was."""
    key = InstanceKey(application.spec.project, application.metadata.name, cluster.metadata.name)
    if ("Cluster", cluster.metadata.name) in work.fleet.broken and key in work.previous:
        work.keep(key)
        return ()
    holding = matching(application, cluster)
    if holding not in options:
        options[holding] = make_options(
            application, holding, access(application, work.fleet, work.specs_before(application))
        )
    shared = options[holding]
    own = fill(shared, work.names_of(cluster))
    if refusals := list(projects.instance_refusals(project, cluster, own.namespace, shared.namespace_place)):
        work.problems += [entry.problem(one.message, *one.path) for one in refusals]
        work.keep(key, refusal="; ".join(one.message for one in refusals))
        return own.wrong
    if own.wrong:
        work.keep(key)
        return own.wrong
    is_observed = project is not None and project.spec.mode == "Observe"
    spec = application.spec
    # Its parts were validated as they were read; validated again, each would be held anew for each cluster.
    work.specs[key] = InstanceSpec.model_construct(
        project=key.project,
        application=key.application,
        cluster=work.targets[cluster.metadata.name],
        sources=(own.source,),
        render=own.render,
        namespace=own.namespace,
        sync=shared.sync.model_copy(update={"mode": "Observe"}) if is_observed else shared.sync,
        drift=shared.drift,
        ignore_differences=spec.ignore_differences,
        deletion_policy=spec.deletion_policy,
        deletion_grace_period=spec.deletion_grace_period,
        labels=application.metadata.labels,
        rules=work.rules_of(project),
    )
    return ()


def _is_in_doubt(key: InstanceKey, fleet: Fleet) -> bool:
    """Whether an instance is missing only since something that makes it can't be read."""
    if _application(key) not in fleet.applications:
        has_cluster = key.cluster in fleet.clusters or fleet.is_lost("Cluster", key.cluster)
        return has_cluster and fleet.is_lost("Application", _application(key))
    return ("Cluster", key.cluster) in fleet.broken or (
        key.cluster not in fleet.clusters and fleet.is_lost("Cluster", key.cluster)
    )


def _wrong_references(application: Application, entry: Entry, work: _Work) -> Iterator[Problem]:
    """Names that an application uses and the fleet does not have, or has in two ways."""
    if why := projects.unknown(application, work.fleet, work.hints, was_limited=lambda: work.default_was_limited):
        yield entry.problem(why, "spec", "project")
    selectors: list[tuple[Path, tuple[str, ...]]] = [(("spec", "clusters"), application.spec.clusters.names)]
    for index, override in enumerate(application.spec.overrides):
        selectors.append((("spec", "overrides", index, "clusters"), override.clusters.names))
    for path, names in selectors:
        for index, name in enumerate(names):
            if name not in work.fleet.clusters and not work.fleet.is_lost("Cluster", name):
                instead = work.hints.instead(name, work.fleet.clusters)
                yield entry.problem(f"no Cluster {name!r}; {instead}", *path, "names", index)
    if len(same := nearest(application, work.fleet)) > 1:
        both = " and ".join(f"{one.metadata.name!r}" for one in same)
        yield entry.problem(f"Repositories {both} have one URL; remove one", *application.spec.source_path, "repo")


def _selects(application: Application, cluster: Cluster) -> bool:
    return application.spec.clusters.matches(cluster.metadata.name, cluster.metadata.labels)


def _target(cluster: Cluster) -> ClusterTarget:
    spec, meta = cluster.spec, cluster.metadata
    return ClusterTarget(name=meta.name, labels=meta.labels, access=spec.access, drift=spec.drift, mode=spec.mode)
