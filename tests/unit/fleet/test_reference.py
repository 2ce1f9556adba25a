"""The reference pages are what the models say: a default that changes must be seen, in review and by users."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.fleet import reference

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
AGAIN = "run: python -m reconciler.fleet.reference docs/reference, and name the change in CHANGELOG.md"


@pytest.mark.parametrize(
    ("name", "made"), [(reference.SCHEMA_FILE, reference.schema), (reference.PAGE_FILE, reference.page)]
)
def test_the_reference_is_as_the_models_say(name, made):
    assert (FOLDER / name).read_text() == made(), AGAIN


@pytest.mark.parametrize(
    "row",
    [
        "| `spec.sync.mode` | `Auto`, `Manual`, `Observe` | `Auto` |",
        "| `spec.sync.prune` | `true`, `false` | `true` |",
        "| `spec.sync.createNamespace` | `true`, `false` | `false` |",
        "| `spec.sync.adopt` | `Never`, `Unclaimed`, `Always` | `Unclaimed` |",
        "| `spec.sync.resyncInterval` | a duration | `6h` |",
        "| `spec.sync.healthTimeout` | a duration | `15m` |",
        "| `spec.sync.applyTimeout` | a duration | `1m` |",
        "| `spec.drift.action` | `Heal`, `Report`, `Ignore` | `Heal` |",
        "| `spec.drift.every` | a duration | `3m` |",
        "| `spec.mode` | `Active`, `Observe` | `Active` |",
        "| `spec.poll` | a duration | `1m` |",
    ],
)
def test_defaults_are_those_of_the_design(row):
    assert row in reference.page()


def test_the_schema_is_closed_to_unknown_fields_and_knows_every_kind():
    schema = json.loads(reference.schema())

    assert schema["properties"]["kind"]["enum"] == ["Application", "Cluster", "Project", "Repository"]
    assert {one["then"]["$ref"] for one in schema["allOf"]} <= {f"#/$defs/{name}" for name in schema["$defs"]}
    assert all(one.get("additionalProperties") is not True for one in schema["$defs"].values() if "properties" in one)
    assert schema["$defs"]["ApplicationSpec"]["additionalProperties"] is False
