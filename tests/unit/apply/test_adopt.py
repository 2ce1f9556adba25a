"""Who claims an object that exists: by owner, label, annotation, or by the name that it writes under."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.apply import adopt
from reconciler.errors import FirstContact, NotAllowed
from reconciler.model.instance import InstanceKey
from reconciler.model.manifest import ObjectKey

KEY = InstanceKey("default", "web", "eu-1")
SUBJECT = ObjectKey("", "ConfigMap", "web", "settings")


def live(manager: str = "kubectl-create", **meta: Any) -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "managedFields": [entry], **meta}}


@pytest.mark.parametrize(
    ("body", "claimant"),
    [
        (live(labels={"argocd.argoproj.io/instance": "shop"}), "Argo CD"),
        (live(labels={"kustomize.toolkit.fluxcd.io/name": "shop"}), "a Flux Kustomization"),
        (live(annotations={"meta.helm.sh/release-name": "shop"}), "the Helm release"),
        (live(labels={"applyset.kubernetes.io/part-of": "applyset-x"}), "the ApplySet"),
        (live(ownerReferences=[{"kind": "Widget", "name": "w", "controller": True}]), "its controller Widget w"),
        # Argo CD 2 tracks by a label that Helm charts carry, too: the name that it writes under tells them apart.
        (live("argocd-controller", labels={"app.kubernetes.io/instance": "shop"}), "Argo CD"),
        (live("kustomize-controller"), "a Flux Kustomization"),
        (live("helm-controller"), "a Flux HelmRelease"),
    ],
)
def test_what_another_tool_tracks_is_not_taken_without_a_word(body: dict[str, Any], claimant: str):
    with pytest.raises(FirstContact, match=f"claimed by {claimant}"):
        adopt.require_allowed(body, KEY, SUBJECT, "Unclaimed")
    adopt.require_allowed(body, KEY, SUBJECT, "Always")


def test_what_nobody_tracks_may_be_taken():
    adopt.require_allowed(live(labels={"app.kubernetes.io/instance": "shop"}), KEY, SUBJECT, "Unclaimed")
    with pytest.raises(FirstContact, match=r"sync\.adopt is Never"):
        adopt.require_allowed(live(), KEY, SUBJECT, "Never")


@pytest.mark.parametrize("policy", ["Always", "Unclaimed", "Never"])
def test_an_inventory_is_never_taken(policy: str):
    subject = ObjectKey("", "Secret", "undrift-system", "undrift.other.app")

    with pytest.raises(NotAllowed, match=r"undrift-system holds the inventories and trash"):
        adopt.require_allowed(live("undrift"), KEY, subject, policy)
