"""Invariant 8 where an engine speaks: it quotes what it refuses, and no secret may be in that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import TemplateFailed
from reconciler.render import Renderer, hiding
from reconciler.testing.trees import MemoryTree, checkout_of
from tests.renders import CHART, discovery, spec

K = "kustomization.yaml"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
REFUSED = {
    "a literal without a key": (
        "",
        {K: "secretGenerator:\n- name: db\n  literals: [user=hunter2-A, hunter2-B]\n"},
        "literal sources [user=(hidden) (hidden)]: invalid literal source (hidden)",
    ),
    "a patch that is none": (
        "",
        {K: "resources: [s.yaml]\npatches:\n- patch: |\n    password: hunter2-A\n", "s.yaml": SECRET},
        "PatchTransformer with config: ` patch: | password: (hidden)",
    ),
    "a patch of an unknown operation": (
        "",
        {
            K: "resources: [s.yaml]\npatches:\n- {path: p.json, target: {kind: Secret}}\n",
            "s.yaml": SECRET,
            "p.json": '[{"op": "put", "path": "/data/a", "value": "hunter2-A"}]',
        },
        "Unexpected kind: put",
    ),
    "a value of a chart that its pattern refuses": (
        "c",
        {**CHART, "c/values.yaml": "p: hunter2-'A\n", "c/values.schema.json": '{"properties":{"p":{"pattern":"^a"}}}'},
        "at '/p': (hidden) does not match pattern '^a'",
    ),
}


@pytest.mark.parametrize(("path", "files", "says"), REFUSED.values(), ids=REFUSED)
def test_what_an_engine_says_holds_no_secret(path: str, files: dict[str, str], says: str, renderer: Renderer) -> None:
    with pytest.raises(TemplateFailed) as caught:
        renderer.render(checkout_of(MemoryTree(files), path), spec(), discovery())

    assert says in caught.value.message
    assert "hunter2" not in caught.value.message


HELD = {
    "a Secret": {"s.yaml": SECRET + "stringData: {a: hunter2-A}\ndata: {b: aHVudGVyMi1C}\n"},
    "a Secret in a list": {"l.json": '{"kind": "List", "items": [{"kind": "Secret", "data": {"a": "aHVudGVyMi1C"}}]}'},
    "a Secret that is no YAML": {"s.yaml": SECRET + "stringData:\n  a: hunter2-A\n   b: aHVudGVyMi1C\n"},
    "a Secret in a template": {"c/templates/s.yaml": SECRET + 'data:\n  {{ .a }}: 1\n  "b": "aHVudGVyMi1C"\n'},
    "a generator's file": {
        f"over/{K}": "secretGenerator: [{name: a, files: [k=../keys/key.pem]}]\n",
        "keys/key.pem": "hunter2-A\nhunter2-B\n",
    },
    "a generator's environment": {
        K: "secretGenerator: [{name: a, envs: [e]}]\n",
        "e": "# no\nA=hunter2-A\nhunter2-B\n",
    },
    "a generator of its own": {"g.yaml": "apiVersion: builtin\nkind: SecretGenerator\nliterals: [a=hunter2-A]\n"},
    "a generator in place": {K: 'generators: ["{kind: SecretGenerator, literals: [a=hunter2-A]}"]\n'},
    "a patch that names no kind": {K: 'patches: [{patch: "[{op: add, path: /a, value: {b: [hunter2-A]}}]"}]\n'},
    "a patch of any kind": {
        K: 'patches: [{target: {kind: "Se.*|X"}, patch: "[{op: add, path: /a, value: hunter2-A}]"}]\n'
    },
    "a merge patch": {
        K: f"patchesStrategicMerge:\n- |\n  {SECRET.replace(chr(10), chr(10) + '  ')}data: {{a: hunter2-A}}\n"
    },
    "a transformer": {"t.yaml": 'kind: PatchTransformer\npatch: "[{op: add, path: /a, value: hunter2-A}]"\n'},
    "a kustomization that is no YAML": {K: "secretGenerator:\n- name: a\n  literals:\n  - a=hunter2-A\n  b: [\n"},
    "literals in one line": {K: "secretGenerator:\n- literals: ['a=hunter2-A', \"hunter2-B\"]\n b: ["},
}
ECHOES = ("hunter2-A", "hunter2-B", "aHVudGVyMi1C")


@pytest.mark.parametrize("files", HELD.values(), ids=HELD)
def test_a_secret_is_hidden_wherever_it_is_written(files: dict[str, str]) -> None:
    held = [one for one in ECHOES if any(one in text for text in files.values())]
    assert held

    said = hiding.safe(f"f.yaml: line 3: cannot use [{' '.join(held)}], nor {held[0][:7]}...", encoded(files))

    assert said.startswith("f.yaml: line 3: cannot use [(hidden)")
    assert not [one for one in held if one in said]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["Secret", "^Secret$", "Deployment|ConfigMap", "(" * 30 + r"\w?" + ")*" * 30 + "x"])
def test_a_kind_that_is_more_than_another_word_may_mean_secrets(kind: str) -> None:
    """Before, it was tried as a pattern, and the last of these took a worker for ever."""
    patch = {"target": {"kind": kind}, "patch": '[{"op": "add", "path": "/a", "value": "hunter2-A"}]'}

    assert hiding.safe("no hunter2-A here", encoded({K: json.dumps({"patches": [patch]})})) == "no (hidden) here"


def encoded(files: dict[str, str]) -> dict[str, bytes]:
    return {path: text.encode() for path, text in files.items()}


def test_what_is_no_secret_stays_readable() -> None:
    files = {
        K: 'patches: [{target: {kind: Deployment}, patch: "[{op: add, path: /spec, value: words}]"}]\n'
        "configMapGenerator: [{name: a, literals: [a=words]}]\n",
        "a.yaml": "kind: ConfigMap\ndata: {a: words}\n",
        "b.yaml": SECRET + "data: {a: no}\n",
    }

    assert hiding.safe("no words here: Secret s", encoded(files)) == "no words here: Secret s"


def test_half_of_a_secret_is_not_left_by_shortening(renderer: Renderer) -> None:
    files = {K: f"secretGenerator:\n- name: a\n  literals: [{'hunter2-' * 400}]\n"}

    with pytest.raises(TemplateFailed) as caught:
        renderer.render(checkout_of(MemoryTree(files)), spec(), discovery())

    assert "hunter2" not in caught.value.message


def test_more_secrets_than_can_be_looked_for_silence_the_engine() -> None:
    many = "".join(f"  k{number}: v-{number}\n" for number in range(hiding.MOST_VALUES + 1))

    assert hiding.safe("v-17", {"s.yaml": f"{SECRET}data:\n{many}".encode()}) == hiding.UNSAID


@given(st.dictionaries(st.text(min_size=1), st.text(st.characters(exclude_categories=["Cs"]), min_size=3)))
def test_a_quoted_secret_is_hidden_whatever_is_in_it(values: dict[str, str]) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": values}

    said = hiding.safe(json.dumps(list(values.values()), ensure_ascii=False), {"s.json": json.dumps(body).encode()})

    assert set(said) <= set('[]", ()hidden')
