"""Kinds and fields of any object that more than one room must know, each said once."""

from __future__ import annotations

from datetime import datetime

from reconciler.model.live import Resource
from reconciler.model.manifest import GroupKind, Raw
from reconciler.objects.keys import HELM_POLICY, PRUNE

NAMESPACE = GroupKind("", "Namespace")
SECRET = GroupKind("", "Secret")
DEFINITION = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
API_SERVICE = GroupKind("apiregistration.k8s.io", "APIService")
PRECIOUS = frozenset(
    {
        NAMESPACE,
        DEFINITION,
        GroupKind("", "PersistentVolume"),
        GroupKind("", "PersistentVolumeClaim"),
        GroupKind("apps", "StatefulSet"),
    }
)
"""What holds data or other objects: even one deletion waits for a person, and none is replaced."""

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", False)
SECRETS = Resource("", "v1", "Secret", "secrets", True)


def created(live: Raw) -> datetime:
    """When the API server made an object, to the second."""
    return datetime.fromisoformat(str(live["metadata"]["creationTimestamp"]))


def controller(live: Raw) -> str:
    """Kind and name of the controller that owns an object; empty when none does."""
    for owner in live["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return f"{owner.get('kind')} {owner.get('name')}"
    return ""


def told_to_stay(live: Raw | None) -> str:
    """The annotation that forbids to delete an object; empty when none does."""
    annotations = ((live or {}).get("metadata") or {}).get("annotations") or {}
    for name, value in ((PRUNE, "disabled"), (HELM_POLICY, "keep")):
        if annotations.get(name) == value:
            return f"annotated {name}: {value}"
    return ""


def is_established(definition: Raw | None) -> bool:
    """Whether a CRD's kind may be used."""
    conditions = ((definition or {}).get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Established" and one.get("status") == "True" for one in conditions)


def defined_by(definition: Raw) -> GroupKind:
    """The kind that a CRD defines."""
    spec = definition.get("spec") or {}
    return GroupKind(str(spec.get("group")), str((spec.get("names") or {}).get("kind")))
