"""Fields and values that the design names and this version does not act on.

Writing one is an error that says so. Paths are written without list indices.
"""

from __future__ import annotations

from collections.abc import Mapping

_SOURCE = {"ref.semver": "version ranges", "chart": "charts from Helm repositories", "version": "charts and OCI tags"}

FIELDS: Mapping[str, Mapping[str, str]] = {
    "Application": {
        "spec.rollout": "staged rollouts",
        "spec.dependsOn": "dependencies",
        "spec.healthChecks": "health expressions",
        "spec.policy": "policies",
        "spec.generators": "generators",
        "spec.sync.windows": "sync windows",
        "spec.render.kustomize": "options for Kustomize",
        "spec.overrides.sources": "several sources",
        **{f"spec.source.{field}": what for field, what in _SOURCE.items()},
        **{f"spec.sources.{field}": what for field, what in _SOURCE.items()},
        "spec.overrides.source.ref.semver": "version ranges",
    },
    "Cluster": {
        "spec.impersonate": "impersonation",
    },
    "Project": {
        "spec.members": "roles",
        "spec.roles": "roles",
        "spec.windows": "sync windows",
    },
    "Repository": {"spec.verify": "signature checks"},
}
