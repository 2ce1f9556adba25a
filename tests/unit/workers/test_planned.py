"""How a plan for many clusters is told: equal results together, and the exit code of the worst."""

from __future__ import annotations

import pytest

from reconciler.errors import TemplateFailed, Unreachable
from reconciler.model.instance import InstanceKey
from reconciler.objects.diff import Difference
from workers.cli import planned
from workers.cli.planning import Changed, Held, Outcome

ONE = Changed("Apply", "ConfigMap web/one", (Difference(".data.a", "1", "2"), Difference(".data.b", None, "3")))
NEW = Changed("Create", "ConfigMap web/new")
REFUSED = Changed("Apply", "ConfigMap web/one", refused="a webhook said no")
HELD = Held("DeletesEverything", ("ConfigMap web/one",))


def on(cluster: str, *changes: Changed, application: str = "web", holds: tuple[Held, ...] = ()) -> Outcome:
    return Outcome(InstanceKey("default", application, cluster), changes, holds)


def away(cluster: str) -> Outcome:
    return Outcome(InstanceKey("default", "web", cluster), error=Unreachable(f"cluster {cluster}: no route"))


def broken(cluster: str) -> Outcome:
    return Outcome(InstanceKey("default", "web", cluster), error=TemplateFailed("no such value"))


def many(count: int, *changes: Changed) -> list[Outcome]:
    return [on(f"c-{number:03}", *changes) for number in range(count)]


@pytest.mark.parametrize(
    ("outcomes", "heading"),
    [
        (
            [*many(397, ONE, NEW), on("x-1", NEW), on("x-2"), away("x-3")],
            "397 clusters: the same 3 lines; 2 differ; 1 unreachable",
        ),
        (many(400), "400 clusters: no changes"),
        ([*many(3), on("x", NEW)], "3 clusters: no changes; 1 differs"),
        (many(1, ONE), "1 cluster: 2 lines"),
        (many(1, NEW), "1 cluster: 1 line"),
        ([away("a"), away("b")], "2 unreachable"),
        ([on("a"), broken("b")], "1 cluster: no changes; 1 failed"),
        ([on("a", NEW, holds=(HELD,))], "1 cluster: 2 lines; 1 held"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_application_is_told_in_one_line(outcomes: list[Outcome], heading: str) -> None:
    (told,) = planned.tell(outcomes)

    assert told.heading == heading


def test_equal_results_are_shown_once_with_some_of_their_clusters(capsys: pytest.CaptureFixture[str]) -> None:
    planned.show(planned.tell([*many(5, ONE), on("x", NEW), on("y"), away("z"), on("a", application="api")]))

    assert capsys.readouterr().out == (
        "api: 1 cluster: no changes\n"
        "web: 5 clusters: the same 2 lines; 2 differ; 1 unreachable\n"
        "  c-000, c-001, c-002 and 2 more:\n"
        '    Apply ConfigMap web/one .data.a: "1" -> "2"\n'
        '    Apply ConfigMap web/one .data.b: (none) -> "3"\n'
        "  x:\n"
        "    Create ConfigMap web/new\n"
        "  y: no changes\n"
        "  z: unreachable: cluster z: no route\n"
    )


def test_one_error_on_many_clusters_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    planned.show(planned.tell([broken("a"), broken("b"), on("c", REFUSED, holds=(HELD,))]))

    shown = capsys.readouterr().out.splitlines()
    assert "  a, b: failed: no such value" in shown
    assert "    Apply ConfigMap web/one: refused: a webhook said no" in shown
    assert "    HELD DeletesEverything: ConfigMap web/one" in shown


def test_a_long_value_is_cut_for_people_and_whole_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    long = Changed("Apply", "ConfigMap web/one", (Difference(".data.a", None, "x" * 5000),))
    told = planned.tell([on("a", long)])

    planned.show(told)

    assert len(capsys.readouterr().out) < 500
    change = planned.document(told, [])["applications"][0]["groups"][0]["changes"][0]
    assert change["differences"][0]["after"] == "x" * 5000


def test_a_document_names_every_cluster() -> None:
    found = planned.document(planned.tell([*many(30, NEW), away("z"), broken("b")]), ["fleet.yaml:1: wrong"])

    (application,) = found["applications"]
    assert (found["kind"], found["problems"], application["application"]) == (
        "FleetPlan",
        ["fleet.yaml:1: wrong"],
        "default/web",
    )
    assert len(application["groups"][0]["clusters"]) == 30
    assert application["unreachable"] == [{"cluster": "z", "reason": "Unreachable", "message": "cluster z: no route"}]
    assert [one["cluster"] for one in application["failed"]] == ["b"]


@pytest.mark.parametrize(
    ("outcomes", "is_whole", "code"),
    [
        (many(3), True, 0),
        (many(3, NEW), True, 1),
        ([on("a", NEW, holds=(HELD,)), on("b", NEW)], True, 4),
        ([on("a", NEW, holds=(HELD,)), away("b")], True, 5),
        ([broken("a"), away("b")], True, 3),
        ([on("a", REFUSED)], True, 3),
        (many(3), False, 2),
        ([broken("a"), away("b")], False, 2),
        ([], True, 0),
    ],
    ids=["nothing", "changes", "held", "unreachable", "failed", "refused", "problems", "problems and more", "empty"],
)
def test_the_exit_code_is_that_of_the_worst(outcomes: list[Outcome], is_whole: bool, code: int) -> None:
    assert planned.exit_code(outcomes, is_whole=is_whole) == code
