"""All configuration: Applications, Clusters, Projects and Repositories, from documents to one spec per instance."""

from reconciler.fleet.expand import Expansion, expand
from reconciler.fleet.load import DEV_CLUSTER_LABEL, Fleet, load, with_contexts, with_dev_clusters
from reconciler.fleet.problems import Problem

__all__ = ["DEV_CLUSTER_LABEL", "Expansion", "Fleet", "Problem", "expand", "load", "with_contexts", "with_dev_clusters"]
