"""The render cache: found again by what was read, never by anything else, bounded, and never trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.manifest import ManifestSet
from reconciler.render import Renderer
from reconciler.render.cache import KEPT_EACH, RenderCache
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, config_map, discovery, spec

FILES = {"web/a.yaml": config_map("a", a="1"), "README.md": "words"}
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {a: hidden-word}\n"


class Counting(Renderer):
    """Counts what was really rendered."""

    renders = 0

    def _rendered(self, *given: Any) -> tuple[ManifestSet, bool]:
        self.renders += 1
        return super()._rendered(*given)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Counting]]:
    """Renderers of several processes with one cache on disk."""
    made: list[Counting] = []

    def one() -> Counting:
        made.append(Counting(tmp_path / f"work-{len(made)}", cache=tmp_path / "cache"))
        return made[-1]

    yield one
    for each in made:
        each.close()


def render(renderer: Renderer, files: dict[str, str], path: str = "web", options: Any = None, **cluster: str) -> Any:
    found = renderer.render(checkout_of(MemoryTree(files), path), spec(options), discovery(**cluster))
    return [(one.key, one.origin, one.body) for one in found], found.closure, found.warnings


def files_of(folder: Path) -> list[Path]:
    return sorted(one for one in (folder / "cache").rglob("*") if one.is_file())


def test_the_same_inputs_are_rendered_once_by_all_processes(make: Callable[[], Counting]) -> None:
    first, second = make(), make()

    fresh = render(first, FILES)

    assert render(first, {**FILES, "README.md": "other"}) == fresh
    assert render(second, FILES) == fresh
    assert (first.renders, second.renders) == (1, 0)


def test_without_a_cache_each_render_is_made_anew(tmp_path: Path) -> None:
    """The property tests of closures compare with such a renderer: one that kept anything would agree with itself."""
    renderer = Counting(tmp_path / "work")

    assert render(renderer, FILES) == render(renderer, FILES)

    assert renderer.renders == 2
    renderer.close()


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({**FILES, "web/a.yaml": config_map("a", a="2")}, None),
        ({**FILES, "web/b.yaml": config_map("b")}, None),
        ({**FILES, "web/kustomization.yaml": "resources: [a.yaml]"}, None),
        (FILES, {"directory": {"exclude": ["b.yaml"]}}),
    ],
    ids=["another text", "a new file", "another kind", "another option"],
)
def test_other_inputs_are_rendered_anew(make: Callable[[], Counting], files: dict[str, str], options: Any) -> None:
    renderer = make()
    render(renderer, FILES)

    render(renderer, files, options=options)

    assert renderer.renders == 2


@pytest.mark.parametrize("project", ["shop", "default"], ids=["another project", "the same project"])
def test_a_file_with_the_text_of_a_link_does_not_answer_for_the_link(
    make: Callable[[], Counting], project: str
) -> None:
    """Git gives both one object id: before, a tenant's file was rendered for another tenant, in place of what the link of
    that one leads to."""
    kustomization = {"web/kustomization.yaml": "configMapGenerator:\n- name: settings\n  files: [rules.conf]\n"}
    renderer, link = make(), {"web/rules.conf": "../web/real.conf"}
    own = checkout_of(MemoryTree({**kustomization, "web/real.conf": "deny all"}, links=link), "web")
    copied = checkout_of(MemoryTree({**kustomization, **link}), "web")
    renderer.render(copied, spec().model_copy(update={"project": project}), discovery())

    [found] = renderer.render(own, spec(), discovery())

    assert found.body["data"] == {"rules.conf": "deny all"}


def test_clusters_of_one_project_share_a_render_and_projects_do_not(make: Callable[[], Counting]) -> None:
    renderer, checkout, base = make(), checkout_of(MemoryTree(FILES), "web"), spec()
    other = base.model_copy(update={"cluster": base.cluster.model_copy(update={"name": "us-1"})})

    for one in (base, other, base.model_copy(update={"project": "shop"})):
        renderer.render(checkout, one, discovery())

    assert renderer.renders == 2


def test_a_chart_is_rendered_anew_for_another_version_of_kubernetes(make: Callable[[], Counting]) -> None:
    renderer = make()
    files = {**CHART, "c/templates/a.yaml": config_map("a", v='"{{ .Capabilities.KubeVersion.Version }}"')}
    versions = ["v1.30.0", "v1.31.0", "v1.30.0"]

    found = [render(renderer, files, "c", server_version=one)[0][0][2]["data"]["v"] for one in versions]

    assert (found, renderer.renders) == (versions, 2)


def test_a_flipped_bit_on_disk_is_noticed_and_rendered_anew(make: Callable[[], Counting], tmp_path: Path) -> None:
    fresh = render(make(), FILES)
    (file,) = files_of(tmp_path)
    stored = bytearray(file.read_bytes())
    for place in (0, 40, len(stored) - 1):
        broken = bytearray(stored)
        broken[place] ^= 1
        file.write_bytes(broken)
        renderer = make()

        assert render(renderer, FILES) == fresh
        assert renderer.renders == 1
    file.write_bytes(b"")
    assert render(make(), FILES) == fresh


def test_a_render_that_is_to_be_anew_is_and_stands_for_the_one_before(make: Callable[[], Counting]) -> None:
    """Else the next one would be answered by what the full pass was to get rid of."""
    renderer, checkout = make(), checkout_of(MemoryTree(FILES), "web")
    before = renderer.render(checkout, spec(None), discovery())
    (slot,) = renderer._cache._known
    wrong = before.manifests[0].__class__(before.manifests[0].key, {"data": "wrong"}, "a.yaml")
    renderer._cache.keep(slot[0], type(before)((wrong,), before.closure, ()))
    assert len(renderer._cache._known) == 1
    assert renderer.render(checkout, spec(None), discovery()).manifests == (wrong,)

    anew = renderer.render(checkout, spec(None), discovery(), is_anew=True)

    assert (anew.manifests, renderer.renders) == (before.manifests, 2)
    assert make().render(checkout, spec(None), discovery()).manifests == before.manifests


def test_what_holds_a_secret_is_not_written_to_disk(make: Callable[[], Counting], tmp_path: Path) -> None:
    renderer, files = make(), {**FILES, "web/s.yaml": SECRET}

    assert render(renderer, files) == render(renderer, files)

    assert renderer.renders == 1
    assert files_of(tmp_path) == []


def test_a_folder_that_can_not_be_written_costs_a_render_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file, no folder")
    renderer = Counting(tmp_path / "work", cache=tmp_path / "cache")

    assert render(renderer, FILES) == render(renderer, FILES)
    renderer.close()


def kept(cache: RenderCache, number: int, name: str = "ab" * 16) -> MemoryTree:
    tree = MemoryTree({"web/a.yaml": config_map("a", a=str(number))})
    renderer = Renderer(Path("unused"))
    cache.keep(name, renderer.render(checkout_of(tree, "web"), spec(None), discovery()))
    return tree


def test_the_newest_renders_of_a_name_are_found_and_older_ones_go(tmp_path: Path) -> None:
    cache = RenderCache(tmp_path)

    trees = [kept(cache, number) for number in range(KEPT_EACH + 1)]

    assert [cache.find("ab" * 16, tree, {}) is not None for tree in trees] == [False, *[True] * KEPT_EACH]


def test_memory_and_disk_are_bounded(tmp_path: Path) -> None:
    cache = RenderCache(tmp_path, memory_bytes=1000, disk_bytes=2000)

    for number in range(205):
        kept(cache, number, name=f"{number:032x}")

    assert sum(len(one) for one in cache._known.values()) <= 1000
    files = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert sum(one.stat().st_size for one in files) <= 2000 + 5 * 500
