"""Which cluster it is that answers, whatever name and address it was reached by (invariant 3)."""

from __future__ import annotations

from reconciler.errors import ClusterIdentityChanged
from reconciler.ports import ClusterApi


def require_identity(api: ClusterApi, pinned: str, *, refresh: bool = False) -> str:
    """The uid of the cluster's `kube-system` namespace; empty when we may not read it.

    Raises ClusterIdentityChanged when it is another than the one pinned at first contact.
    """
    if not pinned and not refresh:
        return ""
    found = api.identity(refresh=refresh)
    if pinned and found and found != pinned:
        raise ClusterIdentityChanged(
            f"cluster {api.name}: another cluster answers (kube-system {found}, known is {pinned}); nothing is written "
            f"to it. If its kubeconfig is wrong, mend that; if the cluster was rebuilt: `undrift cluster forget {api.name}`",
            subject=api.name,
        )
    return found
