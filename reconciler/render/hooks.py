"""Hooks of Helm and Argo CD in rendered manifests. They are run by a later part; until then they fail the render, or are
left out where `render.hooks: Skip` says so: applying a hook as if it were an ordinary object would run it at every drift.

Which words are hooks follows both tools. `crd-install` is Helm 2's word for a CRD that goes first, as all CRDs do: an
ordinary object. Tests run on request and rollback hooks at a `helm rollback`, so neither would ever run here, and an
annotation with no word that the tools know is dropped by both: these are left out without asking.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reconciler.errors import HooksNotYet
from reconciler.model.manifest import Manifest
from reconciler.model.spec import RenderOptions

HELM, ARGO = "helm.sh/hook", "argocd.argoproj.io/hook"
ARGO_PHASES = frozenset({"PreSync", "Sync", "PostSync", "SyncFail", "PreDelete", "PostDelete"})
HELM_PHASES = frozenset({"pre-install", "post-install", "pre-upgrade", "post-upgrade", "pre-delete", "post-delete"})
HELM_TESTS = frozenset({"test", "test-success", "test-failure"})
_MOST_NAMED = 5


def without_hooks(
    manifests: Sequence[Manifest], options: RenderOptions
) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
    """The manifests that are no hooks, and a warning for each one left out. Raises HooksNotYet naming them."""
    kept: list[Manifest] = []
    hooks: list[Manifest] = []
    warnings: list[str] = []
    for manifest in manifests:
        words = hook_words(manifest)
        if words is None or words == {"crd-install"}:
            kept.append(manifest)
        elif words & (ARGO_PHASES | HELM_PHASES):
            hooks.append(manifest)
            warnings.append(f"{manifest.key}: the hook ({_listed(words)}) was left out")
        elif not words or not words <= HELM_TESTS:
            warnings.append(f"{manifest.key}: a hook that never runs here ({_listed(words)}) was left out")
    if hooks and options.hooks == "Fail":
        raise _refusal(hooks)
    return tuple(kept), tuple(warnings)


def hook_words(manifest: Manifest) -> frozenset[str] | None:
    """What an object's hook annotation says; None when it has none. Helm's is not read where Argo CD's names a phase."""
    annotations = (manifest.body.get("metadata") or {}).get("annotations")
    if not isinstance(annotations, dict) or not (HELM in annotations or ARGO in annotations):
        return None
    argo, helm = _words(annotations.get(ARGO)), _words(annotations.get(HELM))
    return argo if argo & ARGO_PHASES else argo | helm


def _refusal(hooks: Sequence[Manifest]) -> HooksNotYet:
    named = [f"{one.key} ({_listed(hook_words(one) or ())}; {one.origin})" for one in hooks[:_MOST_NAMED]]
    more = f" and {len(hooks) - _MOST_NAMED} more" if len(hooks) > _MOST_NAMED else ""
    return HooksNotYet(
        f"hooks are not run yet: {', '.join(named)}{more}; set render.hooks: Skip to leave them out",
        subject=hooks[0].key,
    )


def _words(value: object) -> frozenset[str]:
    return frozenset(word.strip() for word in str(value or "").split(",") if word.strip())


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words)) or "no phase"
