"""The helper process: its limits, its end, and that nothing is left of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from reconciler.errors import RenderLimit, TemplateFailed
from reconciler.render import Renderer, RenderLimits
from reconciler.render.helper_process import HelperProcess
from reconciler.render.workplace import Workplace
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, config_map, discovery, spec

MIB = 1024**2
OVER = {"base/kustomization.yaml": "resources: [x.yaml]", "base/x.yaml": config_map("x")}
EATS = {"ints": "{{ range until 1000000000 }}{{ end }}", "text": '{{ repeat 2000000000 "x" }}'}

Make = Callable[..., Renderer]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Renderers with limits of the test's choice, ended with it."""
    made: list[Renderer] = []

    def one(**limits: float) -> Renderer:
        made.append(Renderer(tmp_path / f"work-{len(made)}", RenderLimits(**limits)))  # type: ignore[arg-type]
        return made[-1]

    yield one
    for renderer in made:
        renderer.close()


def helper(renderer: Renderer) -> HelperProcess:
    return renderer._helper


def chart(template: str) -> MemoryTree:
    return MemoryTree({**CHART, "c/templates/a.yaml": template})


def names(renderer: Renderer, tree: MemoryTree, path: str) -> list[str]:
    return [one.key.name for one in renderer.render(checkout_of(tree, path), spec(), discovery())]


@pytest.mark.parametrize("template", EATS.values(), ids=EATS)
def test_a_chart_that_eats_memory_is_stopped_and_the_next_one_renders(template, make):
    renderer = make(memory_bytes=512 * MIB, timeout_s=60)

    with pytest.raises(RenderLimit, match="needed more memory than its limit of 512 MiB and was stopped"):
        names(renderer, chart(template), "c")
    assert names(renderer, chart(config_map("{{ .Release.Name }}")), "c") == ["app"]


def test_a_chart_that_never_ends_is_stopped_and_the_next_one_renders(make):
    renderer = make(timeout_s=1)
    endless = chart("{{ range until 1000000 }}{{ range until 1000000 }}{{ end }}{{ end }}")

    with pytest.raises(RenderLimit, match="took longer than its limit of 1 s") as caught:
        names(renderer, endless, "c")
    assert caught.value.retry == 600.0
    assert helper(renderer).pid is None
    assert names(renderer, MemoryTree(OVER), "base") == ["x"]


@pytest.mark.parametrize(
    ("tree", "path"),
    [
        pytest.param(chart('a: {{ repeat 3000000 "x" }}'), "c", id="Helm"),
        pytest.param(MemoryTree({**OVER, "base/x.yaml": config_map("x", a="y" * 3_000_000)}), "base", id="Kustomize"),
    ],
)
def test_a_render_that_gives_too_much_is_refused(tree, path, make):
    with pytest.raises(RenderLimit, match="gave more than its limit of 2 MiB"):
        names(make(output_bytes=2 * MIB), tree, path)


def test_kustomize_has_the_same_limit_of_memory(make):
    with pytest.raises(RenderLimit, match="needed more memory"):
        names(make(memory_bytes=24 * MIB), MemoryTree(OVER), "base")


def test_one_process_renders_everything_and_goes_with_its_renderer(make):
    renderer = make()

    assert helper(renderer).pid is None
    names(renderer, chart(config_map("a")), "c")
    first = helper(renderer).pid
    names(renderer, MemoryTree(OVER), "base")
    assert first is not None
    assert helper(renderer).pid == first
    renderer.close()
    assert not psutil.pid_exists(first)


def test_a_helper_that_died_between_two_renders_is_replaced(make):
    renderer = make()
    names(renderer, chart(config_map("a")), "c")
    pid = helper(renderer).pid
    assert pid is not None

    os.kill(pid, signal.SIGKILL)

    assert names(renderer, chart(config_map("b")), "c") == ["b"]
    assert helper(renderer).pid != pid


DIES = """
import os, signal, sys
from pathlib import Path
from reconciler.render import Renderer
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, discovery, spec
renderer = Renderer(Path(sys.argv[1]))
renderer.render(checkout_of(MemoryTree(CHART), "c"), spec(), discovery())
print(renderer._helper.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_helper_ends_with_a_worker_that_is_killed(tmp_path):
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path / "work")], cwd=root, capture_output=True, check=False
    )

    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(timeout=10)


def test_plain_folders_need_no_helper(make):
    renderer = make()

    names(renderer, MemoryTree({"a.yaml": config_map("a")}), "")

    assert helper(renderer).pid is None


def test_a_worker_loads_no_go_library(make):
    """A Go runtime does not survive the fork by which Celery makes its children."""
    names(make(), chart(config_map("a")), "c")

    assert not [one.path for one in psutil.Process().memory_maps() if "helm" in one.path]


def test_what_engines_print_does_not_get_into_the_answer(make):
    deprecated = {"over/kustomization.yaml": "bases: [../base]\ncommonLabels: {a: b}\n", **OVER}

    assert names(make(), MemoryTree(deprecated), "over") == ["x"]


def test_the_helper_gets_nothing_of_our_environment(make, monkeypatch):
    monkeypatch.setenv("UNDRIFT_CRED_GIT", "hush")
    renderer = make()
    names(renderer, chart(config_map("a")), "c")

    environment = psutil.Process(helper(renderer).pid).environ()

    assert not [name for name in environment if name.startswith("UNDRIFT")]


def test_a_chart_sees_no_network_and_no_environment(make):
    template = config_map("a", host='{{ getHostByName "localhost" | quote }}')

    found = make().render(checkout_of(chart(template), "c"), spec(), discovery())

    assert [one.body["data"]["host"] for one in found] == [""]
    with pytest.raises(TemplateFailed, match='function "env" not defined'):
        names(make(), chart('{{ env "HOME" }}'), "c")


def test_the_folder_of_a_render_is_private_and_gone_afterwards(tmp_path):
    workplace = Workplace(tmp_path / "work")

    with workplace.folder({"a/b.yaml": b"x"}, {"c/d": "a/b.yaml", "e": "a"}) as folder:
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "work").stat().st_mode & 0o777 == 0o700
        assert (folder / "c/d").read_bytes() == (folder / "e/b.yaml").read_bytes() == b"x"
        assert (folder / "c/d").resolve().is_relative_to(folder)
    assert not folder.exists()
    workplace.close()
    assert not (tmp_path / "work").exists()


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    ours, living, dead = (Workplace(tmp_path / name) for name in ("ours", "living", "dead"))
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    living.opened()
    (dead.opened() / "render-x").mkdir()
    assert dead._lock is not None
    os.close(dead._lock)  # what the kernel does when a process is killed
    dead._lock = None

    ours.opened()

    assert sorted(path.name for path in tmp_path.iterdir()) == ["living", "ours", "stranger"]
    living.close()
    ours.close()
