"""Version constraints as charts write them in kubeVersion (Masterminds/semver)."""

from __future__ import annotations

import pytest

from reconciler.render import semver


@pytest.mark.parametrize(
    ("version", "constraint", "is_met"),
    [
        ("v1.31.2", ">=1.25", True),
        ("v1.31.2", ">= 1.25.0-0", True),
        ("v1.24.9", ">=1.25.0-0", False),
        ("v1.31.2-eks-1234", ">=1.31", True),
        ("v1.31.2+k3s1", ">=1.31.2", True),
        ("v1.31.2", ">=1.25 <1.31", False),
        ("v1.31.2", ">=1.25.0, <1.32.0-0", True),
        ("v1.31.2", "<=1.31", True),
        ("v1.31.2", ">1.31", False),
        ("v1.32.0", ">1.31", True),
        ("v1.31.2", "~1.31", True),
        ("v1.31.2", "~1.30.0", False),
        ("v1.31.2", "^1.20", True),
        ("v2.0.0", "^1.20", False),
        ("v1.31.2", "1.x", True),
        ("v1.31.2", "1.31", True),
        ("v1.31.2", "1.30", False),
        ("v1.31.2", "!=1.31", False),
        ("v1.31.2", "1.20 - 1.31", True),
        ("v1.32.0", "1.20 - 1.31", False),
        ("v1.31.2", "<1.20 || >=1.30", True),
        ("v1.31.2", "*", True),
        ("v1.31.2", "not a version", False),
        ("unknown", ">=1", False),
    ],
)
def test_a_version_meets_a_constraint(version, constraint, is_met):
    assert semver.matches(version, constraint) is is_met
