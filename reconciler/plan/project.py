"""Refuses what an instance's project does not allow, over the rendered manifests (invariant 14), and what none can allow.

In the namespace `undrift-system` of each cluster lie the inventories and trash of all projects: who writes there decides
what is pruned, restored and fenced for everybody. So no manifest may, nor be that Namespace, whatever a project lists.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.errors import NotAllowed
from reconciler.model.manifest import Manifest, ManifestSet
from reconciler.model.rules import KindRule, ProjectRules
from reconciler.model.spec import InstanceSpec
from reconciler.objects.keys import SYSTEM_NAMESPACE
from reconciler.objects.kinds import NAMESPACE


def require_allowed(desired: ManifestSet, spec: InstanceSpec) -> None:
    """Raises NotAllowed for the first object outside the project, or when the project refuses the application."""
    for manifest in desired:
        _require_not_ours(manifest)
    if spec.rules is None:
        return
    if spec.rules.refusal:
        raise NotAllowed(f"{spec.rules.refusal}; what runs stays, and is not written any more", subject=spec.key)
    for manifest in desired:
        if why := _refusal(manifest, spec.rules):
            raise NotAllowed(
                f"{manifest.key} ({manifest.origin}): project {spec.project} {why}; "
                "change the manifest, or let the project's document list it",
                subject=manifest.key,
            )


def _require_not_ours(manifest: Manifest) -> None:
    key = manifest.key
    if key.namespace == SYSTEM_NAMESPACE or (key.group_kind, key.name) == (NAMESPACE, SYSTEM_NAMESPACE):
        raise NotAllowed(
            f"{key} ({manifest.origin}): {SYSTEM_NAMESPACE} holds the inventories of all applications on the cluster, and "
            "no manifest may be there; move it to another namespace",
            subject=key,
        )


def _refusal(manifest: Manifest, rules: ProjectRules) -> str:
    key = manifest.key
    if not key.namespace:
        return "" if _lists(rules.cluster_kinds, manifest) else f"lists no cluster-scoped kind {key.group_kind}"
    if not ({"*", key.namespace} & set(rules.namespaces)):
        return f"lists no namespace {key.namespace}"
    return "" if _lists(rules.namespaced_kinds, manifest) else f"lists no kind {key.group_kind}"


def _lists(rules: Iterable[KindRule], manifest: Manifest) -> bool:
    return any(rule.covers(manifest.key.group_kind) for rule in rules)
