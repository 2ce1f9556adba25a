"""YAML documents: lines, merges, doubled keys, aliases, and what is refused."""

from __future__ import annotations

import pytest

from reconciler.errors import InvalidManifest
from reconciler.objects import yaml
from reconciler.objects.budget import MOST_NODES, Budget


def load(text: str | bytes) -> object:
    [(_, value)] = yaml.load_all(text, "f.yaml")
    return value


def test_documents_come_with_the_lines_on_which_they_begin_and_empty_ones_are_left_out():
    text = "---\n---\n# only a comment\n---\na: 1\n...\n---\nnull\n---\n\nb: 2\n"

    assert yaml.load_all(text, "f.yaml") == [(5, {"a": 1}), (11, {"b": 2})]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 3, "c": 2}}, id="one"),
        pytest.param("<<: [{a: 1}, {a: 2, b: 3}]\n", {"a": 1, "b": 3}, id="the first of a list wins"),
        pytest.param('"<<": 1', {"<<": 1}, id="a quoted key merges nothing"),
        pytest.param("? &k a\n: *k\n", {"a": "a"}, id="an anchored key"),
    ],
)
def test_merge_keys_give_what_the_mapping_itself_does_not_say(text, value):
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param('a: "yes"\nb: \'3\'\nc: "~"', {"a": "yes", "b": "3", "c": "~"}, id="quotes"),
        pytest.param("a: |\n  yes\nb: >-\n  3\n", {"a": "yes\n", "b": "3"}, id="blocks"),
        pytest.param("a: !!str 3\nb: !foo 3\n", {"a": "3", "b": "3"}, id="tags for text, and unknown ones"),
        pytest.param('a: !!int "3"\nb: !!float "3"\nc: !!bool "yes"', {"a": 3, "b": 3, "c": True}, id="tags"),
        pytest.param("a: !!binary aGk=\n", {"a": "hi"}, id="binary"),
        pytest.param("1: a\n1.5: b\ny: c\n0x10: d", {"1": "a", "1.5": "b", "true": "c", "16": "d"}, id="keys"),
        pytest.param("\ufeffa: 1", {"a": 1}, id="a byte order mark"),
    ],
)
def test_text_stays_text_and_keys_become_text(text, value):
    assert load(text) == value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: 1\nb: 2\na: 3\n", "line 3: key 'a' stands twice, first in line 1", id="doubled key"),
        pytest.param('1: a\n"1": b\n', "line 2: key '1' stands twice, first in line 1", id="doubled once it is text"),
        pytest.param('{"a": 1,\n "a": 2}', "line 2: key 'a' stands twice, first in line 1", id="doubled in JSON"),
        pytest.param("a:\n  [1, 2]: 3\n", "line 2: a key that is a list or a mapping", id="list as key"),
        pytest.param("a:\n  ~: 3\n", "line 2: an empty key", id="null as key"),
        pytest.param("a: [1\nb: 2\n", "line 2: did not find expected ',' or ']'", id="open bracket"),
        pytest.param("a: b\n\tc: d\n", "line 2: found a tab character that violates indentation", id="tab"),
        pytest.param("a: &x [*x]", "line 1: an alias that contains itself", id="endless alias"),
        pytest.param("a: *nobody", "line 1: found undefined alias", id="unknown alias"),
        pytest.param("a: 1\nb: .inf", "line 2: .inf is a number that JSON can't carry", id="infinity"),
        pytest.param("a: !!int x", "line 1: a text does not fit its tag !!int", id="tag that does not fit"),
        pytest.param("a: !!binary a", "line 1: !!binary text is not base64", id="no base64"),
        pytest.param("a: 1\n<<: 3", "line 2: `<<` takes a mapping", id="merge of a number"),
        pytest.param(b"a: \xc3\x28", "not text: invalid trailing UTF-8 octet at position 4", id="not UTF-8"),
        pytest.param("a: \x00", "not text: control characters are not allowed at position 3", id="control character"),
        pytest.param("\ud800", "not UTF-8 text", id="half a character"),
    ],
)
def test_what_is_wrong_is_named_with_its_file_and_line(text, says):
    with pytest.raises(InvalidManifest) as caught:
        yaml.load_all(text, "f.yaml")

    assert caught.value.message.startswith(f"f.yaml: {says}")


def test_a_document_that_aliases_multiply_is_refused_before_it_grows():
    levels = "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9))

    with pytest.raises(InvalidManifest, match="more than 500000 values once its aliases are followed"):
        yaml.load_all(f"a: &a [x]\n{levels}", "f.yaml")


def test_a_long_text_that_aliases_repeat_is_refused():
    text = f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 50)}]\n"

    with pytest.raises(InvalidManifest, match=r"line 1: more than \d+ characters once its aliases are followed"):
        yaml.load_all(text, "f.yaml")


BOMB = "---\na: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{one}: &{one} [{', '.join([f'*{before}'] * 10)}]\n" for before, one in zip("abcd", "bcde", strict=True)
)
"""111,000 values of 200 characters: one alone is taken."""


def test_documents_that_aliases_multiply_together_are_refused_before_they_grow():
    """Each is within its own bound; 10 KB of them took 12 seconds and 350 MB, and a megabyte would have killed a worker."""
    assert len(yaml.load_all(BOMB * 2, "f.yaml", Budget(nodes=300_000))) == 2

    with pytest.raises(InvalidManifest, match=r"^f\.yaml: line 1\d: more values in all documents together"):
        yaml.load_all(BOMB * 3, "f.yaml", Budget(nodes=300_000))


def test_several_texts_may_share_a_budget():
    budget = Budget(nodes=300_000)
    yaml.load_all(BOMB, "a.yaml", budget)
    yaml.load_all(BOMB, "b.yaml", budget)

    with pytest.raises(InvalidManifest, match=r"^c\.yaml: line \d: more values in all documents together"):
        yaml.load_all(BOMB, "c.yaml", budget)
    with pytest.raises(InvalidManifest, match=r"^d\.json: more values in all documents together"):
        yaml.load_all('{"a": 1}', "d.json", budget)


def test_a_long_text_that_aliases_repeat_in_many_documents_is_refused():
    document = f"---\na: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 25)}]\n"

    with pytest.raises(InvalidManifest, match="more characters in all documents together"):
        yaml.load_all(document * 6, "f.yaml")


@pytest.mark.parametrize("item", ["1,", "[],"], ids=["composed", "looked through for its depth"])
def test_a_document_of_too_many_values_is_refused_while_it_is_read(item):
    with pytest.raises(InvalidManifest, match=r"^f: more than 500000 values in one document"):
        yaml.load_all('{"a": [' + item * MOST_NODES + "1]}", "f")


def test_many_documents_are_not_looked_through_beyond_the_budget():
    with pytest.raises(InvalidManifest, match=r"^f: more values in all documents together"):
        yaml.load_all(("--- [" + "[]," * 200 + "]\n") * 100, "f", Budget(nodes=10_000))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        pytest.param('{"a": "\\ud83d\\ude00"}', [(1, {"a": "😀"})], id="an emoji in two escapes"),
        pytest.param('\n{"a": 1}\n\n{"a":\t2.0}\n', [(2, {"a": 1}), (4, {"a": 2})], id="one after the other"),
        pytest.param("{a: b, c: yes}", [(1, {"a": "b", "c": True})], id="YAML that begins like JSON"),
        pytest.param('{"a": 12345678901234567890123}', [(1, {"a": 1.2345678901234568e22})], id="a long number"),
    ],
)
def test_json_is_taken_as_json(text, values):
    assert yaml.load_all(text, "f.json") == values
    assert yaml.load_all(text.encode(), "f.json") == values


def test_numbers_stay_as_written_for_those_who_compose_first():
    """Fleet files quote a wrong value back to their author."""
    [node] = yaml.compose_all("a: 1.0\nb: 123456789012345678901\nc: .inf", "f.yaml", Budget())

    assert repr(yaml.build(node, "f.yaml", Budget())) == "{'a': 1.0, 'b': 123456789012345678901, 'c': inf}"


def test_each_field_has_its_line():
    [node] = yaml.compose_all("a: 1\nb:\n  - c: 2\n", "f.yaml", Budget())

    assert dict(yaml.lines(node)) == {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 0, "c"): 3}


@pytest.mark.parametrize("text", ["a:\n  - &x {b: 1}\n  - *x\n", '{"a": [1,\n 2]}', "- a\n---\n- b\n"])
def test_a_piece_of_a_file_has_the_lines_of_the_file(text: str):
    [*whole] = yaml.compose_all("\n" * 7 + text, "f.yaml", Budget())

    [*piece] = yaml.compose_all(text, "f.yaml", Budget(), above=7)

    assert [dict(yaml.lines(one)) for one in piece] == [dict(yaml.lines(one)) for one in whole]


@pytest.mark.parametrize(
    "text", ["a: [", "a: 'b\n---\n", "a: 1\n b: 2", "[" * 300], ids=["end", "quote", "indent", "deep"]
)
def test_what_is_wrong_in_a_piece_of_a_file_is_told_by_the_lines_of_the_file(text: str):
    def told(text: str, above: int) -> str:
        with pytest.raises(InvalidManifest) as refused:
            yaml.compose_all(text, "f.yaml", Budget(), above=above)
        return refused.value.message

    assert told(text, above=7) == told("\n" * 7 + text, above=0)
