"""Each file of tests/cases/health is an object, named by kind and state, and the health it must be given."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import health
from reconciler.health.assess import RULES
from reconciler.model.health import Health
from reconciler.model.manifest import ObjectKey

CASES = sorted((Path(__file__).parents[2] / "cases" / "health").glob("*.yaml"))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text())
    return loaded


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_object_is_given_its_health(path):
    case = read(path)

    found = health.assess(case["object"], NOON)

    assert (found.health, found.reason) == (Health(case["expect"]["health"]), case["expect"].get("reason", ""))
    assert found.message or found.health is Health.HEALTHY


def test_every_rule_has_a_healthy_case_and_another_one():
    found: dict[object, set[bool]] = {}
    for path in CASES:
        case = read(path)
        kind = ObjectKey.of(case["object"]).group_kind
        found.setdefault(kind, set()).add(case["expect"]["health"] == "Healthy")

    assert {kind for kind in RULES if found.get(kind) != {True, False}} == set()
