"""Health never raises, whatever a cluster holds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler import health
from reconciler.health.assess import RULES
from reconciler.model.health import Health
from reconciler.model.manifest import GroupKind
from tests.worlds import NOW

WORDS = (
    *(
        "conditions",
        "replicas",
        "readyReplicas",
        "updateStrategy",
        "phase",
        "type",
        "status",
        "reason",
        "rollingUpdate",
    ),
    *(
        "observedGeneration",
        "desiredNumberScheduled",
        "containerStatuses",
        "state",
        "waiting",
        "True",
        "Ready",
        "partition",
    ),
)
words = st.sampled_from(WORDS)
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | words,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(words, below, max_size=4),
    max_leaves=20,
)
kinds = st.sampled_from([*RULES, GroupKind("example.com", "Widget")])


@given(kinds, json, json, st.integers() | words | st.none())
def test_any_status_is_given_a_health(kind, spec, status, generation):
    version = f"{kind.group}/v1" if kind.group else "v1"
    meta = {"name": "x", "generation": generation}
    body = {"apiVersion": version, "kind": kind.kind, "metadata": meta, "spec": spec, "status": status}

    assert health.assess(body, NOW).health in Health
