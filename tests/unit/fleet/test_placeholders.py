"""What a text with placeholders becomes, and what is said when it can't become anything."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.fleet import placeholders, values
from reconciler.fleet.placeholders import Unfilled

NAMES = values.names(
    "eu-1",
    {"env": "prod", "example.com/zone": "a", "none": "", "dots": ".."},
    {
        "region": "eu",
        "count": 3,
        "share": 0.5,
        "on": True,
        "own": "${cluster.name}",
        "up": "../..",
        "deep": "team/web",
        "root": "/etc",
        "db": {"host": "db.eu", "ports": {"main": 5432}},
        "node": {"kubernetes.io/os": "linux"},
    },
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${cluster.name}", "eu-1"),
        ("a-${cluster.name}-b-${cluster.labels.env}", "a-eu-1-b-prod"),
        ("${cluster.labels.example.com/zone}", "a"),
        ("${cluster.values.db.host}", "db.eu"),
        ("${cluster.values.node.kubernetes.io/os}", "linux"),
        ("x${cluster.labels.none}y", "xy"),
        ("$${cluster.name}", "${cluster.name}"),
        ("$${HOME}/${cluster.name}", "${HOME}/eu-1"),
        ("$$${cluster.name}", "$${cluster.name}"),
        ("$HOME $$ $", "$HOME $$ $"),
        ("{cluster.name}", "{cluster.name}"),
        ("${cluster.name}}", "eu-1}"),
        ("{{ .Values.x }} ${cluster.values.region}", "{{ .Values.x }} eu"),
        ("n=${cluster.values.count}", "n=3"),
        ("n=${cluster.values.share}", "n=0.5"),
        ("n=${cluster.values.on}", "n=true"),
        ("x${cluster.values.own}", "x${cluster.name}"),
        ("", ""),
    ],
)
def test_a_text_becomes(text, expected):
    assert placeholders.fill(text, NAMES) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${cluster.values.count}", 3),
        ("${cluster.values.share}", 0.5),
        ("${cluster.values.on}", True),
        ("${cluster.values.db}", {"host": "db.eu", "ports": {"main": 5432}}),
        ("${cluster.values.db.ports.main}", 5432),
        ("${cluster.values.count} ", "3 "),
    ],
)
def test_a_text_that_is_one_placeholder_keeps_the_type_of_the_value(text, expected):
    found = placeholders.fill(text, NAMES)

    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("${cluster.values.regoin}", "did you mean ${cluster.values.region}?"),
        ("${cluster.labels.evn}", "did you mean ${cluster.labels.env}? It has cluster.labels.env"),
        ("${cluster.values.db.hots}", "did you mean ${cluster.values.db.host}?"),
        (
            "${cluster.values.db}!",
            "is a map, expected text; it has cluster.values.db.host, cluster.values.db.ports.main",
        ),
        ("${cluster.values}", "found ${cluster.values}, expected ${cluster.name}, ${cluster.labels.…}"),
        ("${cluster.labels.}", "found ${cluster.labels.}, expected"),
        ("${cluster.nmae}", "did you mean ${cluster.name}?"),
        ("${cluster.value.region}", "did you mean ${cluster.values.region}?"),
        ("${values.region}", "did you mean ${cluster.values.region}?"),
        ("${ cluster.name }", "did you mean ${cluster.name}?"),
        ("${HOME}", "found ${HOME}, expected"),
        ("${HOME}", "a literal ${ is written $${"),
        ("${}", "found ${}, expected"),
        ("${cluster.name", "without a `}` behind it"),
        ("${cluster.values.${cluster.name}}", "there is no ${cluster.values.…}"),
    ],
)
def test_what_can_not_be_filled_in_is_told(text, says):
    with pytest.raises(Unfilled) as refused:
        placeholders.fill(text, NAMES)

    assert says in str(refused.value)


@pytest.mark.parametrize("text", ["${cluster.values.region:-hunter2!}", "${PASSWORD:=hunter2!}"])
def test_a_default_is_no_part_of_a_name_and_is_not_repeated(text):
    with pytest.raises(Unfilled) as refused:
        placeholders.fill(text, NAMES)

    assert "hunter2" not in str(refused.value)


def test_of_many_names_ten_are_listed():
    many = values.names("eu-1", {}, {f"name-{number:02}": 1 for number in range(14)})

    with pytest.raises(Unfilled, match=r"cluster\.values\.name-09 and 4 more$"):
        placeholders.fill("${cluster.values.x}", many)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("web/${cluster.name}", "web/eu-1"),
        ("web/${cluster.values.deep}/x", "web/team/web/x"),
        ("./web-${cluster.labels.none}/", "./web-/"),
        ("${cluster.labels.example.com/zone}/..a", "a/..a"),
        ("a..${cluster.name}", "a..eu-1"),
    ],
)
def test_a_path_becomes(path, expected):
    assert placeholders.fill_path(path, NAMES) == expected


@pytest.mark.parametrize(
    "path",
    [
        "web/${cluster.labels.none}",
        "${cluster.labels.none}/etc",
        "web/${cluster.labels.dots}",
        "web/.${cluster.labels.none}",
        "web/.${cluster.labels.none}./x",
        "${cluster.values.up}/x",
        "${cluster.values.root}",
        "web/${cluster.values.root}",
        "${cluster.values.db}",
    ],
)
def test_a_placeholder_never_leads_a_path_elsewhere(path):
    with pytest.raises(Unfilled):
        placeholders.fill_path(path, NAMES)


def test_what_came_of_values_is_not_repeated_and_what_came_of_labels_is():
    said: dict[str, Any] = {}
    for path in ("${cluster.labels.dots}", "${cluster.values.up}"):
        with pytest.raises(Unfilled) as refused:
            placeholders.fill_path(path, NAMES)
        said[path] = refused.value.found

    assert list(said.values()) == ["'..'", ""]


def test_a_tree_is_filled_in_and_shared_where_nothing_is():
    plain = {"big": [1, 2, {"x": None}]}
    tree = {"a": [plain, "${cluster.values.count}", {"b": "x-${cluster.name}"}], "plain": plain}
    wrong: list[Any] = []

    found = placeholders.fill_tree(tree, placeholders.sketch(tree), NAMES, wrong)

    assert found == {"a": [plain, 3, {"b": "x-eu-1"}], "plain": plain}
    assert found["plain"] is plain
    assert wrong == []
    assert tree["a"][1] == "${cluster.values.count}"


def test_everything_that_is_wrong_in_a_tree_is_found_with_its_place():
    tree = {"a": ["x", "${cluster.values.x}"], "b": {"c": "${HOME}"}, "d": "${cluster.name}"}
    wrong: list[Any] = []

    placeholders.fill_tree(tree, placeholders.sketch(tree), NAMES, wrong)

    assert [(path, error.is_everywhere) for path, error in wrong] == [(("a", 1), False), (("b", "c"), True)]
