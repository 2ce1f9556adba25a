"""First contact with a cluster: its name is pinned to what answers, before anything is written under that name."""

from __future__ import annotations

from reconciler.errors import ClusterIdentityChanged
from reconciler.fleet.load import DEV_CLUSTER_LABEL
from reconciler.model.spec import ClusterTarget
from workers.store import Store


def is_pinned_at_all(target: ClusterTarget) -> bool:
    """A local dev cluster is another one whenever it starts, so it is not."""
    return DEV_CLUSTER_LABEL not in target.labels


def require_pinned(store: Store, target: ClusterTarget, uid: str) -> None:
    """Raises ClusterIdentityChanged when what answers is not the cluster that its name was pinned to."""
    pinned = store.pins.get(target.name) if is_pinned_at_all(target) else ""
    if pinned and uid and pinned != uid:
        raise ClusterIdentityChanged(
            f"cluster {target.name}: another cluster answers (kube-system {uid}, not {pinned}); nothing is written to it. "
            f"Mend its kubeconfig, or if it was rebuilt: `undrift cluster forget {target.name}`",
            subject=target.name,
        )


def require_one_name(store: Store, target: ClusterTarget, uid: str) -> None:
    """Pin a cluster at first contact. Raises ClusterIdentityChanged when another name of the fleet means it already."""
    cluster = target.name
    if not uid or not is_pinned_at_all(target):
        return
    is_new, other = store.pins.pin(cluster, uid)
    if other:
        raise ClusterIdentityChanged(
            f"cluster {cluster}: it is the same cluster as {other} (kube-system {uid}); remove one of the two from "
            f"the fleet, or mend its kubeconfig; if {other} moved on: `undrift cluster forget {other}`",
            subject=cluster,
        )
    if is_new:
        store.outbox.put(store.clock.now(), "pin", f"cluster:{cluster}", by="first contact", uid=uid)
