"""Random templates on random clusters, beside a model that joins strings: what comes of them, and when they are refused.

The model knows a template as the list of pieces that it was written from, so it never parses; and it looks values up by
walking the cluster's maps, so it never makes flat names.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.fleet import expand, placeholders, values
from reconciler.fleet.placeholders import Unfilled
from reconciler.model.spec import InstanceSpec
from tests.fleets import application, cluster, documents, fleet, with_values

KEYS = ["a", "b", "c-d", "x_y"]
LITERALS = st.text("ab/.-{}: \né", max_size=4) | st.sampled_from(["$ ", "$a", "$$ ", "..", "/", "./"])
SCALARS = st.sampled_from(["", ".", "..", "/", "eu", "a/b", "${cluster.name}", "$${", "{}"]) | st.integers(-9, 9)
LEAVES = SCALARS | st.booleans() | st.floats(-1, 1)
VALUES = st.dictionaries(
    st.sampled_from(KEYS),
    st.recursive(LEAVES, lambda below: st.dictionaries(st.sampled_from(KEYS), below, max_size=3), max_leaves=6),
    max_size=4,
)
LABELS = st.dictionaries(st.sampled_from(["env", "ring", "example.com/zone"]), st.sampled_from(["", "x", "y.z"]))


@dataclass(frozen=True)
class Escape:
    """A literal `${`."""


@dataclass(frozen=True)
class Ask:
    """A placeholder, as the way to what it names: ("name",), ("labels", key) or ("values", key, …)."""

    way: tuple[str, ...]


Piece = str | Escape | Ask


@dataclass(frozen=True)
class Place:
    """A cluster, as the model sees it."""

    labels: Mapping[str, str]
    values: Mapping[str, Any]

    @property
    def names(self) -> Mapping[str, Any]:
        return values.names("eu-1", self.labels, self.values)

    def find(self, way: tuple[str, ...]) -> Any:
        """What a way leads to. Raises KeyError."""
        found: Any = {"name": "eu-1", "labels": self.labels, "values": self.values}
        for key in way:
            if not isinstance(found, Mapping):
                raise KeyError(key)
            found = found[key]
        return found

    def ways(self) -> list[tuple[str, ...]]:
        """Everything that the cluster has, and a little that it may lack."""
        found: list[tuple[str, ...]] = [("name",), ("labels", "none"), ("values", "a"), ("values", "b", "a")]
        todo: list[tuple[tuple[str, ...], Any]] = [(("labels",), self.labels), (("values",), self.values)]
        while todo:
            way, below = todo.pop()
            found += [(*way, key) for key in below]
            todo += [((*way, key), one) for key, one in below.items() if isinstance(one, Mapping)]
        return found

    def text(self, piece: Piece) -> str:
        if isinstance(piece, Escape):
            return "${"
        if isinstance(piece, str):
            return piece
        found = self.find(piece.way)
        if isinstance(found, Mapping):
            raise KeyError(piece.way)
        return found if isinstance(found, str) else json.dumps(found)

    def whole(self, pieces: list[Piece]) -> Any:
        written = [piece for piece in pieces if piece != ""]
        if len(written) == 1 and isinstance(written[0], Ask):
            return self.find(written[0].way)
        return "".join(map(self.text, written))


PLACES = st.builds(Place, LABELS, VALUES)


def template(pieces: list[Piece]) -> str:
    return "".join(
        piece
        if isinstance(piece, str)
        else "$${"
        if isinstance(piece, Escape)
        else f"${{cluster.{'.'.join(piece.way)}}}"
        for piece in pieces
    )


def is_written_clearly(pieces: list[Piece]) -> bool:
    """Whether no `$` of a literal touches what comes after it: `$` and `${…}` together are an escape."""
    return not any(
        isinstance(one, str) and one.endswith("$") and not isinstance(after, str)
        for one, after in itertools.pairwise(pieces)
    )


def pieces_on(place: Place) -> st.SearchStrategy[list[Piece]]:
    """Templates that mostly ask for what a cluster has."""
    asks = st.builds(Ask, st.sampled_from(place.ways()))
    one = st.one_of(LITERALS, asks, asks, st.just(Escape()))
    return st.lists(one, max_size=4).filter(is_written_clearly)


ON_A_PLACE = PLACES.flatmap(lambda place: st.tuples(st.just(place), pieces_on(place)))


@given(ON_A_PLACE)
def test_a_template_becomes_what_the_model_says(given: tuple[Place, list[Piece]]) -> None:
    place, pieces = given
    text = template(pieces)
    try:
        expected = place.whole(pieces)
    except KeyError:
        with pytest.raises(Unfilled):
            placeholders.fill(text, place.names)
        return

    found = placeholders.fill(text, place.names)

    assert (found, type(found)) == (expected, type(expected))


def leads_elsewhere(pieces: list[Piece], place: Place) -> bool:
    """Whether a placeholder makes an empty part, `.` or `..`: what it fills in is marked, its slashes too."""
    marked = "".join(
        f"\x01{place.text(one).replace('/', chr(2))}" if isinstance(one, Ask) else place.text(one) for one in pieces
    )
    parts = (part.replace("\x01", "").split("\x02") for part in marked.split("/") if "\x01" in part)
    return any(not {"", ".", ".."}.isdisjoint(found) for found in parts)


PATH_PLACES = st.builds(
    Place, st.just({}), st.dictionaries(st.sampled_from(KEYS), st.sampled_from(["", ".", "..", "/", "eu", "a/b"]))
)
PATHS = PATH_PLACES.flatmap(
    lambda place: st.tuples(
        st.just(place),
        st.lists(
            st.one_of(st.sampled_from(["web", "/", ".", "a/"]), st.builds(Ask, st.sampled_from(place.ways()))),
            max_size=4,
        ),
    )
)


@given(PATHS)
def test_a_path_is_what_the_model_says_unless_a_placeholder_leads_it_elsewhere(
    given: tuple[Place, list[Piece]],
) -> None:
    place, pieces = given
    text = template(pieces)
    try:
        is_refused = leads_elsewhere(pieces, place)
    except KeyError:
        is_refused = True
    if is_refused:
        with pytest.raises(Unfilled):
            placeholders.fill_path(text, place.names)
        return

    assert placeholders.fill_path(text, place.names) == "".join(map(place.text, pieces))


def trees_on(place: Place) -> st.SearchStrategy[Any]:
    """Values of a chart. Lists are pieces of a text, tuples are lists."""
    leaves = pieces_on(place) | LEAVES.filter(lambda leaf: not isinstance(leaf, str)) | st.none()
    return st.recursive(
        leaves,
        lambda below: st.one_of(
            st.lists(below, max_size=3).map(tuple), st.dictionaries(st.sampled_from(KEYS), below, max_size=3)
        ),
        max_leaves=6,
    )


def written(tree: Any) -> Any:
    """A tree of the model as a person writes it: lists of pieces as text, tuples as lists."""
    if isinstance(tree, Mapping):
        return {key: written(below) for key, below in tree.items()}
    if isinstance(tree, tuple):
        return [written(below) for below in tree]
    return template(tree) if isinstance(tree, list) else tree


def wanted(tree: Any, place: Place) -> Any:
    """What becomes of a tree, by the model. Raises KeyError."""
    if isinstance(tree, Mapping):
        return {key: wanted(below, place) for key, below in tree.items()}
    if isinstance(tree, tuple):
        return [wanted(below, place) for below in tree]
    return place.whole(tree) if isinstance(tree, list) else tree


TREE_ON_A_PLACE = PLACES.flatmap(
    lambda place: st.tuples(st.just(place), st.dictionaries(st.sampled_from(KEYS), trees_on(place), max_size=3))
)


@given(TREE_ON_A_PLACE)
def test_a_fleet_is_expanded_as_the_model_says(given: tuple[Place, Mapping[str, Any]]) -> None:
    """Through YAML, loading and expansion: the values of a chart, or no instance and a problem with its line."""
    place, tree = given
    made = with_values(cluster("eu-1", **place.labels), **place.values)
    text = documents(application("web", render={"helm": {"values": written(tree)}}), made)
    loaded = fleet({"fleet.yaml": text.replace("\r", "")})
    try:
        expected = wanted(tree, place)
    except KeyError:
        expected = None

    found = expand(loaded)

    if loaded.broken:  # such as `${cluster.name}` in a cluster's own values, which nobody fills in
        assert "${cluster.name}" in json.dumps(place.values)
    elif expected is None:
        assert found.specs == {}
        assert all(one.line > 1 and one.field.startswith("spec.render.helm.values") for one in found.problems)
        assert found.problems != ()
    else:
        assert [one.render.helm.values for one in found.specs.values()] == [expected]


@given(ON_A_PLACE, PLACES)
def test_a_digest_is_another_exactly_when_the_own_result_is_another(
    given: tuple[Place, list[Piece]], other: Place
) -> None:
    place, pieces = given
    web = application("web", render={"helm": {"values": {"x": template(pieces)}}})

    def spec(of: Place) -> InstanceSpec | None:
        loaded = fleet(documents(web, with_values(cluster("eu-1", **of.labels), **of.values)))
        return next(iter(expand(loaded).specs.values()), None)

    before, after = spec(place), spec(other)

    if before is not None and after is not None:
        are_same = json.dumps(before.render.helm.values) == json.dumps(after.render.helm.values)
        assert (before.digest == after.digest) == are_same
