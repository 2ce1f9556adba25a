"""What an application asks for on clusters where the same of its overrides hold.

Overrides are merged over the application's own in order: maps deep, lists and everything else replaced, and what an
override does not write is left as it is. Each option knows where it is written, for problems to point at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.fleet import placeholders
from reconciler.fleet.documents import Application, ApplicationSpec, Cluster, Override
from reconciler.fleet.placeholders import Sketch
from reconciler.fleet.problems import Path
from reconciler.fleet.values import OPENING
from reconciler.model.drift import DriftPolicy
from reconciler.model.spec import RenderOptions, RepositoryAccess, Source, SyncPolicy


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
    sketch: Sketch
    """Where the values of a chart hold placeholders."""

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be filled in, as is the rule: then all clusters share these."""
        texts = (self.source.path, str(self.source.ref), self.namespace or "")
        return self.sketch is None and not any(OPENING in one for one in texts)

    def _place(self, path: Path, is_written: Callable[[Override], bool]) -> Path:
        """Where an option is written: in the last override that writes it, or in the application itself."""
        for index in reversed(self.matching):
            if is_written(self.asked.overrides[index]):
                return ("spec", "overrides", index, *path)
        return (*self.asked.source_path, *path[1:]) if path[0] == "source" else ("spec", *path)

    @property
    def namespace_place(self) -> Path:
        return self._place(("namespace",), lambda one: one.namespace is not None)

    @property
    def path_place(self) -> Path:
        return self._place(("source", "path"), lambda one: one.source.path is not None)

    @property
    def ref_place(self) -> Path:
        return self._place(("source", "ref"), lambda one: one.source.ref is not None)

    def value_place(self, path: Path) -> Path:
        """Where the value at a path of the chart's values is written."""
        place = ("render", "helm", "values", *path)
        return self._place(place, lambda one: placeholders.reach(one.render.helm.values, path))


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
    render = _merged(RenderOptions, spec.render, [one.render for one in over])
    return Options(
        asked=spec,
        matching=holding,
        source=Source(repo=access, ref=ref, path=path),
        render=render,
        namespace=namespace,
        sync=_merged(SyncPolicy, spec.sync, [one.sync for one in over]),
        drift=_merged(DriftPolicy, spec.drift, [one.drift for one in over]),
        sketch=placeholders.sketch(render.helm.values),
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
