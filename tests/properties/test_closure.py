"""The closure: as long as every path that a render recorded is unchanged, the render gives the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from reconciler.model.manifest import ManifestSet
from reconciler.model.revision import ABSENT
from reconciler.render import Renderer
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import config_map, discovery, spec

CASES = Path(__file__).parents[1] / "cases" / "render"
KUSTOMIZE, HELM, PLAIN = "shop/overlays/prod", "charts/shop", "apps/web"
HELM_OPTIONS = {"helm": {"valueFiles": ["values-prod.yaml", "../../values/eu.yaml"]}}
NEW_NAMES = (
    "kustomization.yaml",
    "kustomization.yml",
    "Kustomization",
    "Chart.yaml",
    "new.yaml",
    "_new.tpl",
    "x/y.yaml",
)


def texts() -> dict[str, bytes]:
    """One repository with a chart, a kustomization and a plain folder."""
    found: dict[str, bytes] = {}
    for case in ("helm-chart", "kustomize-overlay", "folder"):
        folder = CASES / case / "repo"
        found |= {one.relative_to(folder).as_posix(): one.read_bytes() for one in folder.rglob("*") if one.is_file()}
    return found


FILES = texts()
LINKS = {"apps/web/linked.yaml": "../../outside/linked.yaml", "apps/web/folder": "../../outside/folder"}
FILES |= {f"outside/{one}": config_map(name).encode() for one, name in (("linked.yaml", "l"), ("folder/a.yaml", "f"))}
FOLDERS = sorted({path.rpartition("/")[0] for path in FILES})
new_paths = st.builds(
    lambda folder, name: f"{folder}/{name}" if folder else name, st.sampled_from(FOLDERS), st.sampled_from(NEW_NAMES)
)
contents = st.sampled_from([None, b"", b"a: 1\n", config_map("other").encode(), b"resources: []\n", b"broken: [\n"])
edits = st.dictionaries(st.sampled_from(sorted(FILES)) | new_paths, contents, min_size=1, max_size=3)


@pytest.fixture(scope="module")
def renderer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renderer]:
    """One that keeps nothing: a cache finds by the closure, so it would agree with whatever a closure leaves out."""
    found = Renderer(tmp_path_factory.mktemp("renders") / "work")
    yield found
    found.close()


def edited(edit: Mapping[str, bytes | None]) -> MemoryTree:
    left = {path: text for path, text in {**FILES, **edit}.items() if text is not None}
    assume(not any(one.startswith(f"{path}/") for path in edit for one in left))
    return MemoryTree(left, links=LINKS)


def objects(found: ManifestSet) -> list[tuple[str, object]]:
    return [(one.origin, one.body) for one in found]


def rendered(renderer: Renderer, tree: MemoryTree, path: str) -> ManifestSet:
    return renderer.render(checkout_of(tree, path), spec(HELM_OPTIONS), discovery())


@pytest.fixture(scope="module")
def before(renderer: Renderer) -> Mapping[str, ManifestSet]:
    """What the repository gives as it stands."""
    return {path: rendered(renderer, MemoryTree(FILES, links=LINKS), path) for path in (PLAIN, HELM, KUSTOMIZE)}


def check(renderer: Renderer, path: str, before: ManifestSet, after: MemoryTree) -> bool:
    """Whether the closure matches; then the render must be the same."""
    matches = before.closure.matches(after)
    if matches:
        assert objects(rendered(renderer, after, path)) == objects(before)
    return matches


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@unhurried
@given(edit=edits)
@pytest.mark.parametrize("path", [PLAIN, HELM], ids=["a plain folder", "a chart"])
def test_what_is_outside_the_closure_changes_nothing(path, edit, renderer, before):
    event(f"matches: {check(renderer, path, before[path], edited(edit))}")


@settings(unhurried, max_examples=12)
@given(edit=edits)
def test_what_is_outside_the_closure_of_a_kustomization_changes_nothing(edit, renderer, before):
    event(f"matches: {check(renderer, KUSTOMIZE, before[KUSTOMIZE], edited(edit))}")


def test_a_closure_that_leaves_something_out_is_noticed(renderer, before):
    """The tests above can fail: what a render read and its closure does not say is seen in another render."""
    after = MemoryTree({**FILES, "apps/web/new.yaml": config_map("new")}, links=LINKS)
    full = before[PLAIN]
    small = replace(full, closure=replace(full.closure, paths={"apps/nowhere": ABSENT}))

    assert not check(renderer, PLAIN, full, after)
    with pytest.raises(AssertionError):
        check(renderer, PLAIN, small, after)


def test_a_closure_is_no_larger_than_it_has_to_be(before):
    assert before[PLAIN].closure.paths.keys() == {f"{PLAIN}/", "outside/folder/", "outside/linked.yaml"}
    assert before[HELM].closure.paths.keys() == {f"{HELM}/", "charts/cache/", "charts/common/", "values/eu.yaml"}
    assert {path for path, oid in before[KUSTOMIZE].closure.paths.items() if oid != ABSENT} == {
        f"{KUSTOMIZE}/",  # as a whole, since transformers may name any file in it
        "shop/base/kustomization.yaml",
        "shop/base/deployment.yaml",
        "shop/base/service.yaml",
        "shop/base/app.properties",
        "shop/base/files/original.txt",
        "shop/base/settings.env",
        "shared/namespace/kustomization.yml",
        "shared/namespace/namespace.yaml",
        "shared/monitored/Kustomization",
        "shared/monitored/annotate.yaml",
    }
