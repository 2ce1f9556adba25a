"""First contact: an object that exists and was never ours, and who claims it.

What another tool tracks is never taken without a person's word: its next pass would fight us, or delete the object as
its own. How one is taken over is told in `apply.takeover`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reconciler.errors import FirstContact, NotAllowed, OwnedByAnother, OwnedByAutoscaler
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey, Raw
from reconciler.objects import applyset, managedfields
from reconciler.objects.keys import PART_OF, SYSTEM_NAMESPACE
from reconciler.objects.kinds import controller

OURS = "undrift:"
_CLAIMS_BY_LABEL = {
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "a Flux Kustomization",
    "helm.toolkit.fluxcd.io/name": "a Flux HelmRelease",
}
_CLAIMS_BY_MANAGER = {
    "argocd-controller": "Argo CD",
    "kustomize-controller": "a Flux Kustomization",
    "helm-controller": "a Flux HelmRelease",
}
"""Who writes as these tracks what it writes, by whatever label or annotation it was told to use."""
_CLAIMS_BY_ANNOTATION = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "meta.helm.sh/release-name": "the Helm release",
}


def is_ours(live: Raw, key: InstanceKey) -> bool:
    """Whether an existing object is provably this instance's: our label, put there by our own apply."""
    return _labels(live).get(PART_OF) == applyset.part_of(key) and managedfields.owns_label(live, key.manager, PART_OF)


def former_of(live: Raw, key: InstanceKey, formers: Sequence[InstanceKey]) -> InstanceKey | None:
    """Which of the instances that this one was before holds the object. One that was handed over and not applied to since
    has our name in its managedFields and the former's label."""
    for one in formers:
        owners = (one.manager, key.manager)
        if _labels(live).get(PART_OF) == applyset.part_of(one) and any(
            managedfields.owns_label(live, owner, PART_OF) for owner in owners
        ):
            return one
    return None


def holder_of(live: Raw, key: InstanceKey, formers: Sequence[InstanceKey]) -> InstanceKey | None:
    """Under which of an instance's names an existing object is provably its own; None when it never was."""
    return key if is_ours(live, key) else former_of(live, key, formers)


def require_allowed(live: Raw, key: InstanceKey, subject: ObjectKey, policy: str) -> None:
    """Raises OwnedByAnother for an object of another application of ours, FirstContact for one that must not be taken.

    NotAllowed for an inventory or what is in the trash: no policy and no person's word makes these an application's.
    """
    if subject.namespace == SYSTEM_NAMESPACE:
        raise NotAllowed(
            f"{subject} exists, and {SYSTEM_NAMESPACE} holds the inventories and trash of all applications; nothing was "
            "written to it",
            subject=subject,
        )
    if other := _our_other(live, key):
        raise OwnedByAnother(
            f"{subject}: applications {other} and {key.project}/{key.application} both declare this object, and {other} "
            "holds it; let one of the two declare it, or say `movedFrom` when it was renamed",
            subject=subject,
        )
    if policy == "Always":
        return
    claims = list(_claims(live))
    if claims:
        raise FirstContact(
            f"{subject} exists and is claimed by {claims[0]}; nothing was written to it", subject=subject
        )
    if policy == "Never":
        raise FirstContact(f"{subject} exists, and sync.adopt is Never; nothing was written to it", subject=subject)


def require_scale_kept(live: Raw, body: Raw, subject: ObjectKey) -> None:
    """Raises OwnedByAutoscaler when adopting would scale what something scales for good reasons: not even a person who
    lets a plan through means that. Who scales by hand (`kubectl scale`) is no autoscaler."""
    wanted, stands = ((one.get("spec") or {}).get("replicas") for one in (body, live))
    scaler = managedfields.scaler(live)
    if wanted is None or wanted == stands or not scaler or scaler.startswith("kubectl"):
        return
    raise OwnedByAutoscaler(
        f"{subject} exists and is scaled by {scaler}, to {stands}; Git declares {wanted}, and nothing was written to it. "
        "Remove `replicas` from Git, or list `/spec/replicas` in `ignoreDifferences`",
        subject=subject,
    )


def contested_contact(words: str, brief: str, subject: ObjectKey, *, is_losing: bool) -> FirstContact:
    """The refusal of an adoption that would change what stands, or take away of it."""
    ways_out = ". Declare it in Git, list it in `ignoreDifferences`, or let the plan through" if is_losing else ""
    return FirstContact(
        f"{subject} exists, and {words}; nothing was written to it{ways_out}", subject=subject, brief=brief
    )


def _our_other(live: Raw, key: InstanceKey) -> str:
    """The other application of ours that holds an object; empty when none does."""
    for entry in managedfields.entries(live):
        manager = str(entry.get("manager"))
        if entry.get("operation") == "Apply" and manager.startswith(OURS) and manager != key.manager:
            return manager.removeprefix(OURS)
    return ""


def _claims(live: Raw) -> Iterator[str]:
    """Who tracks the object besides us."""
    meta = live["metadata"]
    if owner := controller(live):
        yield f"its controller {owner}"
    yield from _named(_CLAIMS_BY_LABEL, _labels(live))
    yield from _named(_CLAIMS_BY_ANNOTATION, meta.get("annotations") or {})
    for entry in managedfields.entries(live):
        if (manager := str(entry.get("manager"))) in _CLAIMS_BY_MANAGER:
            yield f"{_CLAIMS_BY_MANAGER[manager]} (it writes as {manager})"
    if PART_OF in _labels(live):
        yield f"the ApplySet {_labels(live)[PART_OF]}"


def _named(table: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name, tool in table.items():
        if name in found:
            yield f"{tool} ({name}: {found[name]})"


def _labels(live: Raw) -> Mapping[str, str]:
    return live["metadata"].get("labels") or {}
