"""`undrift fleet render`: what of a fleet's files it means, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.testing.git import Repo
from tests.fleets import application, cluster, documents, with_values
from tests.integration.workers.conftest import forget
from workers.cli import main as cli

Said = tuple[int, str, str]
Render = Callable[..., Said]


@pytest.fixture
def render(
    git_repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Render]:
    """Runs the command in a fleet's folder; its exit code, stdout and stderr."""
    config_map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\n"
    git_repo.commit({f"web/{name}/one.yaml": config_map % f"of-{name}" for name in ("eu", "us")})
    source = {"repo": git_repo.url, "path": "web/${cluster.values.region}"}
    (tmp_path / "fleet").mkdir()
    (tmp_path / "fleet" / "fleet.yaml").write_text(
        documents(
            application("web", source=source),
            application("api", source={"repo": git_repo.url, "path": "api"}, clusters={"names": ["eu-1"]}),
            with_values(cluster("eu-1"), region="eu"),
            with_values(cluster("us-1"), region="us"),
            cluster("bare"),
        )
    )
    monkeypatch.setenv("UNDRIFT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "fleet")
    forget()

    def run(*words: str) -> Said:
        forget()
        with pytest.raises(SystemExit) as ended:
            cli.main(["fleet", "render", *words])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield run
    forget()


def test_one_instance_is_rendered_with_its_placeholders_filled_in(render: Render) -> None:
    code, out, err = render("web", "--cluster", "eu-1")

    assert (code, err) == (0, "")
    assert out.startswith("--- # web@eu-1 web/eu/one.yaml#1\n")
    assert "name: of-eu" in out
    assert "of-us" not in out


@pytest.mark.parametrize(
    "words",
    [
        ["web@us-1"],
        ["default/web", "--cluster", "us-1"],
        ["--instance", "web@us-1"],
        [".", "--instance", "web@us-1"],
        ["web", "--cluster", "us-1", "--fleet", "."],
        ["../fleet", "--cluster", "us-1", "--instance", "web"],
    ],
    ids=" ".join,
)
def test_an_instance_may_be_named_in_these_ways(render: Render, words: list[str]) -> None:
    code, out, err = render(*words)

    assert (code, err) == (0, "")
    assert out.count("--- # ") == 1
    assert "--- # web@us-1" in out


def test_an_application_is_rendered_where_it_can_be_and_its_problems_are_told(render: Render) -> None:
    code, out, err = render("web")

    assert code == 2
    assert out.count("--- # web@") == 2
    assert "fleet.yaml:8: spec.source.path: on bare: there is no ${cluster.values.region}" in err


def test_an_instance_that_can_not_be_is_told_with_its_reason(render: Render) -> None:
    code, out, err = render("web", "--cluster", "bare")

    assert (code, out) == (2, "")
    assert "on bare: there is no ${cluster.values.region}; it has cluster.name" in err
    assert "application 'web' does not run on cluster 'bare'; there are eu-1, us-1" in err


def test_what_does_not_render_is_told_and_the_others_are_shown(render: Render) -> None:
    code, out, err = render("api", "--cluster", "eu-1")

    assert (code, out) == (3, "")
    assert "undrift: api@eu-1: PathNotFound" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["wbe", "--cluster", "eu-1"], "the fleet here has no instance of 'wbe'; did you mean web?"),
        (["wbe"], "wbe: no such folder or application; the fleet here"),
        (["fleet.yaml"], "fleet.yaml: it is a file; the fleet here"),
        (["wbe", "--fleet", "../fleet"], "undrift: the fleet has no instance of 'wbe'; did you mean web?"),
        (["wbe", "--fleet", "../git"], "../git: no fleet file; --fleet says where the fleet is"),
        (["web", "--cluster", "eu-2"], "does not run on cluster 'eu-2'; did you mean eu-1?"),
        (["--cluster", "mars"], "nothing in the fleet runs on cluster 'mars'"),
        (["../git"], "../git: no fleet file; --fleet says where the fleet is"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_named_with_a_guess(render: Render, words: list[str], says: str) -> None:
    code, out, err = render(*words)

    assert (code, out) == (2, "")
    assert says in err
