"""All configuration: Applications, Clusters, Projects and Repositories, from documents to one spec per instance."""

from reconciler.fleet.expand import Expansion, expand
from reconciler.fleet.load import Fleet, load, with_dev_clusters
from reconciler.fleet.problems import Problem

__all__ = ["Expansion", "Fleet", "Problem", "expand", "load", "with_dev_clusters"]
