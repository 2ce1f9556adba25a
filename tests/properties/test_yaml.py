"""YAML: whatever is JSON means the same as YAML, in every style, and no text brings the parser down."""

from __future__ import annotations

import json

import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import InvalidManifest
from reconciler.objects import yaml

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff\ufffe\uffff"), max_size=12)
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False).filter(
    lambda number: not number.is_integer()
)
leaves = st.none() | st.booleans() | numbers | texts
values = st.recursive(leaves, lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4))
documents = st.dictionaries(texts, values, min_size=1, max_size=4)


@given(documents, st.booleans(), st.integers(0, 3))
def test_json_means_the_same_as_yaml(document, ascii_only, indent):
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent or None)

    assert yaml.load_all(text, "f") == [(1, document)]


@given(st.lists(documents, min_size=1, max_size=3), st.booleans(), st.sampled_from(["'", '"']))
def test_what_is_written_with_quotes_comes_back(found, flow, quote):
    text = pyyaml.dump_all(
        found, default_style=quote, default_flow_style=flow, explicit_start=True, allow_unicode=True, sort_keys=False
    )

    assert [value for _, value in yaml.load_all(text, "f")] == found


@given(st.text(alphabet="ab:-?*&[]{},!|>'\"# \n0\t", max_size=60))
def test_any_text_is_either_taken_or_refused_with_its_file(text):
    try:
        found = yaml.load_all(text, "f.yaml")
    except InvalidManifest as error:
        found = [(1, error.message)]
        assert error.message.startswith("f.yaml: ")  # noqa: PT017  # both ends are right

    assert all(1 <= line <= text.count("\n") + 1 for line, _ in found)
