"""What an application asks for on clusters where the same of its overrides hold.

Overrides are merged over the application's own in order: maps deep, lists and everything else replaced, and what an
override does not write is left as it is. Each option knows where it is written, for problems to point at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.fleet.documents import Application, ApplicationSpec, Cluster, Override
from reconciler.fleet.problems import Path
from reconciler.model.spec import DriftPolicy, RenderOptions, RepositoryAccess, Source, SyncPolicy


@dataclass(frozen=True, slots=True)
class Options:
    """What overrides may change, shared by all instances with the same ones: many clusters, few ways to differ."""

    asked: ApplicationSpec
    matching: tuple[int, ...]
    source: Source
    render: RenderOptions
    namespace: str | None
    sync: SyncPolicy
    drift: DriftPolicy

    def place(self, path: Path, is_written: Callable[[Override], bool]) -> Path:
        """Where an option is written: in the last override that writes it, or in the application itself."""
        for index in reversed(self.matching):
            if is_written(self.asked.overrides[index]):
                return ("spec", "overrides", index, *path)
        return (*self.asked.source_path, *path[1:]) if path[0] == "source" else ("spec", *path)

    @property
    def namespace_place(self) -> Path:
        return self.place(("namespace",), lambda one: one.namespace is not None)


def matching(application: Application, cluster: Cluster) -> tuple[int, ...]:
    """Which of its overrides hold on a cluster."""
    meta = cluster.metadata
    return tuple(
        index
        for index, override in enumerate(application.spec.overrides)
        if override.clusters.matches(meta.name, meta.labels)
    )


def make_options(application: Application, holding: tuple[int, ...], access: RepositoryAccess) -> Options:
    """An application's options with some of its overrides over them."""
    spec = application.spec
    over = [spec.overrides[index] for index in holding]
    ref, path, namespace = spec.the_source.ref, spec.the_source.path, spec.namespace
    for one in over:
        ref, path = one.source.ref or ref, one.source.path or path
        namespace = one.namespace or namespace
    return Options(
        asked=spec,
        matching=holding,
        source=Source(repo=access, ref=ref, path=path),
        render=_merged(RenderOptions, spec.render, [one.render for one in over]),
        namespace=namespace,
        sync=_merged(SyncPolicy, spec.sync, [one.sync for one in over]),
        drift=_merged(DriftPolicy, spec.drift, [one.drift for one in over]),
    )


def _merged(model: type[Any], under: Any, over: list[Any]) -> Any:
    if not over:
        return under
    merged = _written(under)
    for one in over:
        merged = merge(merged, _written(one))
    return model.model_validate(merged)


def _written(options: Any) -> dict[str, Any]:
    found: dict[str, Any] = options.model_dump(by_alias=True, mode="json", exclude_unset=True)
    return found


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Maps merged deep, lists and everything else replaced."""
    merged = dict(under)
    for key, value in over.items():
        both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged
