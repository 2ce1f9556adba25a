"""Real Kubernetes clusters on this machine, for tests, the demo and a first try.

kube-apiserver and etcd, and unless `bare` kube-controller-manager, kube-scheduler and KWOK (simulated Nodes), on
127.0.0.1, with temporary data below UNDRIFT_HOME. Nothing here reads the environment: home, cache and environment come
as arguments. What was measured about these programs is in the design notes.
"""

from reconciler.devcluster.cluster import kubeconfig, running, start, stop
from reconciler.devcluster.errors import BinariesMissing, ClusterNotRunning, DevClusterError
from reconciler.devcluster.state import Running

__all__ = [
    "BinariesMissing",
    "ClusterNotRunning",
    "DevClusterError",
    "Running",
    "kubeconfig",
    "running",
    "start",
    "stop",
]
