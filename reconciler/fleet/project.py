"""What a project lets its applications use: checked when the fleet is expanded (invariant 14).

A project allows what it lists; a missing list allows nothing; the project `default`, not defined, allows all. Kinds are
known only once manifests are rendered: the rules travel with the spec, and the plan checks them again.
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

from reconciler.fleet import urls
from reconciler.fleet.documents import Application, Cluster, Project, Repository
from reconciler.fleet.load import Fleet
from reconciler.fleet.problems import Hints
from reconciler.model.instance import DEFAULT_PROJECT
from reconciler.model.rules import ProjectRules
from reconciler.model.spec import CredentialRef, RepositoryCredentials


@dataclass(frozen=True, slots=True)
class Refusal:
    """A sentence, and the field of the application that it is about."""

    path: tuple[str | int, ...]
    message: str


def unknown(application: Application, fleet: Fleet, hints: Hints, *, was_limited: Callable[[], bool]) -> str:
    """Why nobody can say what an application's project allows, or "". `was_limited`: `default` was defined before."""
    name = application.spec.project
    if name in fleet.projects:
        return ""
    if name != DEFAULT_PROJECT:
        if fleet.is_lost("Project", name):
            return f"Project {name!r} can't be read now; nothing is changed until it can"
        others = (one for one in fleet.projects if one != DEFAULT_PROJECT)
        return f"no Project {name!r}; {hints.instead(name, chain([DEFAULT_PROJECT], others))}"
    if ("Project", name) in fleet.broken or (fleet.doubtful and was_limited()):
        return "Project 'default' can't be read now; nothing is changed until it can"
    return ""


def rules(project: Project | None) -> ProjectRules | None:
    """What instances of the project may write; None when it is `default` and not defined."""
    if project is None:
        return None
    spec = project.spec
    return ProjectRules(
        namespaces=spec.namespaces,
        cluster_kinds=spec.cluster_kinds,
        namespaced_kinds=spec.namespaced_kinds,
        guards=spec.guards,
    )


def repository_refusal(application: Application, project: Project | None) -> Refusal | None:
    """Why the application may not use its repository."""
    if project is None or any(_covers(prefix, application.spec.the_source.repo) for prefix in project.spec.repos):
        return None
    repo, name = application.spec.the_source.repo, project.metadata.name
    hint = " (which is for hosts; list a file:// repository by its folder)" if "*" in project.spec.repos else ""
    return Refusal(
        (*application.spec.source_path, "repo"),
        f"Project {name!r} does not list {repo}; it allows {_listed(project.spec.repos)}{hint}",
    )


def credential_refusals(repository: Repository, project: Project | None) -> Iterator[Refusal]:
    """Why a Repository may not use its credentials. What is written there is not repeated: it may be a pasted secret."""
    if project is None:
        return
    allowed = project.spec.credentials
    for name, field in RepositoryCredentials.model_fields.items():
        ref = getattr(repository.spec.credentials, name)
        if not isinstance(ref, CredentialRef):
            continue
        kind, patterns = next((one, getattr(allowed, one)) for one in ("env", "file", "secret") if getattr(ref, one))
        if not any(_is_like(pattern, getattr(ref, kind)) for pattern in patterns):
            yield Refusal(
                ("spec", "credentials", field.alias or name, kind),
                f"Project {project.metadata.name!r} does not list this in its credentials.{kind}; it allows "
                f"{_listed(patterns)}. Use one of these, or add it there",
            )


def _is_like(pattern: str, reference: str) -> bool:
    """Whether a reference is one of a pattern's, as a path without detours."""
    only_stars = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatch.fnmatchcase(posixpath.normpath(reference), only_stars)


def instance_refusals(
    project: Project | None, cluster: Cluster, namespace: str | None, namespace_path: tuple[str | int, ...]
) -> Iterator[Refusal]:
    """Why the application may not run on a cluster, or in a namespace there."""
    if project is None:
        return
    spec, name, meta = project.spec, project.metadata.name, cluster.metadata
    if not spec.clusters.matches(meta.name, meta.labels):
        yield Refusal(("spec", "clusters"), f"Project {name!r} does not allow cluster {meta.name!r}")
    if namespace is not None and not {"*", namespace} & set(spec.namespaces):
        message = f"Project {name!r} does not list namespace {namespace!r}; it allows {_listed(spec.namespaces)}"
        yield Refusal(namespace_path, message)


def _covers(prefix: str, url: str) -> bool:
    """`*` stands for hosts: a repository on the workers' own disk is listed by its path or not allowed."""
    return urls.parse(url).scheme != "file" if prefix == "*" else urls.is_below(url, prefix)


def _listed(allowed: tuple[str, ...]) -> str:
    return ", ".join(allowed) or "none"
