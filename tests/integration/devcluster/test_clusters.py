"""Dev clusters as a user meets them: real programs, started, found again, stopped, killed."""

from __future__ import annotations

import pytest

from reconciler import devcluster

pytestmark = pytest.mark.cluster


def test_a_bare_cluster_takes_a_namespace(bare_cluster: devcluster.Running, fresh_namespace: str) -> None:
    assert bare_cluster.audit_log is not None
    assert fresh_namespace in bare_cluster.audit_log.read_text()
