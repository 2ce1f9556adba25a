"""One file or folder of a fleet costs the leader little, whatever it holds; the others go on, and the problem names it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module

import orjson
import pytest

from reconciler.clock import SystemClock
from reconciler.errors import PathNotFound
from reconciler.fleet import expand, load
from reconciler.ports import TreeEntry
from tests.fleets import application, cluster, documents, fleet, messages, with_values

GOOD = {"a.yaml": documents(cluster("eu-1")), "z/z.yaml": documents(application("web"))}


def test_a_file_that_is_too_large_is_its_own_problem():
    found = fleet({**GOOD, "m.yaml": b"# undrift\n" + b"a: 1\n---\n" * 600_000})

    assert messages(found) == ["m.yaml: has more than 4 MiB and is not read; divide it"]
    assert found.doubtful == ("m.yaml",)
    assert [key.short for key in expand(found).specs] == ["web@eu-1"]


@pytest.mark.parametrize("ref", ["x" * 256, {"branch": "x" * 256}, {"tag": "x" * 256}], ids=["bare", "branch", "tag"])
def test_a_ref_that_no_host_has_is_a_problem_of_its_file(ref: object):
    """What a look-up does with a name costs more than its length."""
    source = {"repo": "https://git.example.com/apps.git", "ref": ref}
    field = f"spec.source.ref.{next(iter(ref)) if isinstance(ref, dict) else 'branch'}"

    found = fleet({**GOOD, "m.yaml": documents(application("long", source=source))})

    [problem] = found.problems
    assert (problem.file, problem.field) == ("m.yaml", field)
    assert problem.message == "expected at most 255 characters, found a longer text"


def test_many_large_files_take_no_room_from_small_ones(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(import_module("reconciler.fleet.load"), "MOST_BYTES_IN_ALL", 3 << 20)
    large = {f"b/{number}.yaml": b"# undrift\n" + b"#" * (1 << 20) for number in range(4)}

    found = fleet({**GOOD, **large})

    assert messages(found) == [
        "b/2.yaml: is not read: all files have over 3 MiB",
        "b/3.yaml: is not read: all files have over 3 MiB",
    ]
    assert [key.short for key in expand(found).specs] == ["web@eu-1"]


BARE = (
    "apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {{name: a{}}}\n"
    "spec: {{source: {{repo: 'https://h/x'}}, clusters: {{all: true}}}}\n"
)


class Bomb:
    """A tree whose folders under `b` each hold ten more, without end, as a few Git objects can say."""

    def __init__(self) -> None:
        self.lists = 0

    def list(self, path: str) -> Sequence[TreeEntry]:
        self.lists += 1
        if path == "":
            return [TreeEntry("b", "folder", "1"), TreeEntry("z.yaml", "file", "2")]
        return [TreeEntry(str(number), "folder", "1") for number in range(1 if path.startswith("deep") else 10)]

    def entry(self, path: str) -> TreeEntry | None:
        return None

    def read(self, path: str) -> bytes:
        if path != "z.yaml":
            raise PathNotFound(path)
        return documents(cluster("eu-1"), application("web")).encode()


def test_folders_that_multiply_are_not_walked_to_their_end():
    tree = Bomb()
    begun = SystemClock().boot_s()

    found = load(tree)

    assert tree.lists < 20_000
    assert SystemClock().boot_s() - begun < 20
    assert [key.short for key in expand(found).specs] == ["web@eu-1"]
    assert "is a folder that is not read" in messages(found)[0]
    assert found.doubtful


def test_a_chain_of_folders_is_not_followed_to_its_end():
    class Chain(Bomb):
        def list(self, path: str) -> Sequence[TreeEntry]:
            return super().list(path)[:1] if path else super().list(path)

    tree = Chain()

    found = load(tree)

    assert tree.lists < 200
    assert len(found.doubtful) == 1
    assert [key.short for key in expand(found).specs] == ["web@eu-1"]


def test_a_document_that_is_too_large_is_its_own_problem():
    """One of 400 bytes with aliases was 700 KB, once for each cluster."""
    rows = "".join(f"      v{number}: *x\n" for number in range(400))
    large = (
        "apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {name: large}\nspec:\n"
        "  source: {repo: https://git.example.com/apps.git}\n  clusters: {all: true}\n"
        f"  render:\n    helm:\n     values:\n      a: &x {'y' * 1000}\n{rows}"
    )

    found = fleet({**GOOD, "m.yaml": large})

    assert messages(found) == [
        "m.yaml:1: has over 256 KiB with what its aliases repeat; put large values into valueFiles"
    ]
    assert [key.short for key in expand(found).specs] == ["web@eu-1"]


def test_a_clusters_value_does_not_multiply_in_an_application():
    long = with_values(cluster("eu-1"), long="x" * 100_000)
    values = {f"v{number}": "${cluster.values.long}" for number in range(100)}
    given = application("large", render={"helm": {"values": values}})

    found = expand(fleet(documents(long, given, application("web"))))

    assert [key.short for key in found.specs] == ["web@eu-1"]
    assert "the values have over 512 KiB once they are filled in" in str(found.problems[0])
    assert found.problems[0].field == "spec.render.helm.values"


@pytest.mark.parametrize(
    ("name", "told"),
    [("\udcff.yaml", "\\udcff.yaml"), ("\x1b[2J.yaml", "\\x1b[2J.yaml"), ("a\nb.yaml", "a\\nb.yaml")],
    ids=["no UTF-8", "obeyed by terminals", "two lines"],
)
@pytest.mark.parametrize("text", ["kind: [ # undrift", "apiVersion: undrift.dev/v1alpha1\nkind: Application\n"])
def test_the_problems_of_a_file_can_be_stored_and_shown_whatever_its_name(name: str, told: str, text: str):
    """The leader stores them at each look: one that it could not store ended it."""
    found = messages(fleet({**GOOD, name: text}))

    assert re.match(re.escape(told) + r":\d: ", found[0])
    assert orjson.dumps(found)


def test_a_name_that_is_defined_often_is_told_with_a_few_places_and_a_count():
    """2 MB of one name made problems of more than a gigabyte."""
    found = messages(fleet({**GOOD, "m.yaml": documents(*[application("a")] * 300)}))

    assert len(found) == 300
    assert "is defined 300 times, here and in m.yaml:12, m.yaml:23, m.yaml:34 and 296 more; " in found[0]
    assert "here and in m.yaml:1, m.yaml:12, m.yaml:23 and 296 more; " in found[-1]
    assert max(map(len, found)) < 200


def test_what_is_kept_while_many_files_are_in_doubt_names_a_few_of_them():
    before = fleet(GOOD)

    found = fleet({f"d{number}.yaml": "# undrift\n- a" for number in range(9)}, previous=before)

    assert "is kept: d0.yaml, d1.yaml, d2.yaml and 6 more can't be read" in str(found.notes[0])


def test_many_names_that_do_not_exist_cost_no_comparison_each():
    """1,000 of them with 1,000 clusters took 9 s."""
    clusters = [cluster(f"prod-{number}") for number in range(1000)]
    wrong = application("web", clusters={"names": [f"prd-{number}" for number in range(1000)]})
    loaded = fleet(documents(*clusters, wrong))
    begun = SystemClock().boot_s()

    found = [str(one) for one in expand(loaded).problems]

    assert SystemClock().boot_s() - begun < 5
    assert len(found) == 1000
    assert sum("; did you mean" in one for one in found) == 10
    assert sum("; the fleet has prod-0, prod-1, " in one for one in found) == 990


def test_a_projects_name_that_does_not_exist_is_told_a_few_that_do():
    projects = [{**application(f"p{number}"), "kind": "Project", "spec": {}} for number in range(30)]
    [problem] = expand(fleet(documents(*projects, cluster("eu-1"), application("web", project="other")))).problems

    assert str(problem).endswith("; the fleet has default, p0, p1, p10, p11, p12, p13, p14, p15, p16")


def test_many_pieces_of_a_broken_file_cost_no_more_than_their_text():
    """Each was read with all the lines above it: 20,000 took half a minute."""
    broken = "---\nx: 'undrift\n" * 20_000
    begun = SystemClock().boot_s()

    found = messages(fleet({**GOOD, "m.yaml": f"{broken}---\na: 1\na: 2\n"}))

    assert SystemClock().boot_s() - begun < 10
    assert len(found) == 20_001
    assert found[-1] == "m.yaml:40003: key 'a' stands twice, first in line 40002"
    assert found[19_999] == (
        "m.yaml:40001: found unexpected end of stream (while scanning a quoted scalar that begins in line 40000)"
    )


def test_a_large_file_whose_documents_all_broke_costs_no_comparison_of_each_with_each():
    """12,000 took a minute and a half."""
    good = "".join(f"---\n{BARE.format(number)}" for number in range(12_000))
    before = fleet({**GOOD, "m.yaml": good})
    begun = SystemClock().boot_s()

    found = fleet({**GOOD, "m.yaml": good.replace("clusters", "cluster")}, previous=before)

    assert SystemClock().boot_s() - begun < 20
    assert len(found.applications) == 12_001
