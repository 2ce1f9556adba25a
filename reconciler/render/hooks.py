"""Hooks of Helm and Argo CD in rendered manifests. They are run by a later part; until then they fail the render, or are
left out where `render.hooks: Skip` says so: applying a hook as if it were an ordinary object would run it at every drift.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.errors import HooksNotYet
from reconciler.model.manifest import Manifest
from reconciler.model.spec import RenderOptions

HELM, ARGO = "helm.sh/hook", "argocd.argoproj.io/hook"
ORDINARY = frozenset({"crd-install", "Sync"})
"""`crd-install` is Helm 2's word for a CRD that goes first, which all CRDs do."""
NEVER_RUN = frozenset({"test", "test-success", "test-failure", "Skip"})
"""Run on request only (`helm test`) or never: left out without asking."""


def without_hooks(
    manifests: Sequence[Manifest], options: RenderOptions
) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
    """The manifests that are no hooks, and a warning for each one left out. Raises HooksNotYet naming the first."""
    kept: list[Manifest] = []
    warnings: list[str] = []
    for manifest in manifests:
        phases = hook_phases(manifest)
        if not phases:
            kept.append(manifest)
            continue
        if options.hooks == "Fail" and not phases <= NEVER_RUN:
            raise HooksNotYet(
                f"{manifest.key} ({manifest.origin}) is a hook ({', '.join(sorted(phases))}), and hooks are not run yet; "
                "set render.hooks: Skip to leave hooks out",
                subject=manifest.key,
            )
        warnings.append(f"{manifest.key}: hook {', '.join(sorted(phases))} left out")
    return tuple(kept), tuple(warnings)


def hook_phases(manifest: Manifest) -> frozenset[str]:
    """The phases in which an object is a hook; empty for an ordinary one."""
    annotations = (manifest.body.get("metadata") or {}).get("annotations") or {}
    text = f"{annotations.get(HELM) or ''},{annotations.get(ARGO) or ''}"
    return frozenset(word.strip() for word in text.split(",") if word.strip()) - ORDINARY
