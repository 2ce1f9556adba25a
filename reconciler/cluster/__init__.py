"""Talks to clusters: connections, discovery, and looks at what is live. Changing them is `apply`'s work."""

from reconciler.cluster.connect import Clusters
from reconciler.cluster.guard import OpenGuard
from reconciler.cluster.identity import require_identity
from reconciler.cluster.observe import Survey, observe, survey

__all__ = ["Clusters", "OpenGuard", "Survey", "observe", "require_identity", "survey"]
