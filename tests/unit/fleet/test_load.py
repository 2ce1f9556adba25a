"""What is in force after a load: good definitions, and the last good ones of what is broken or in doubt."""

from __future__ import annotations

import pytest

from reconciler.errors import PathNotFound, SourceTooLarge
from reconciler.fleet import Fleet, load, with_dev_clusters
from tests.fleets import MemoryTree, application, cluster, documents, fleet, messages

GOOD = documents(application("web", "old"))
BROKEN = documents(application("web", "new", rollouts={}))
NO_YAML = "apiVersion: undrift.dev/v1alpha1\nkind: Application\nspec: [\n"


def path_of(found: Fleet, name: str) -> str:
    return found.applications[name].spec.the_source.path


def team(name: str, path: str = "web", **spec: object) -> dict[str, object]:
    return application(name, path, project="team", **spec)


def test_projects_have_their_own_names():
    """Another tenant's application of the same name stops nobody's updates."""
    old = fleet({"a.yaml": documents(application("web", "old"))})

    found = fleet({"a.yaml": documents(application("web", "new")), "b.yaml": documents(team("web", "b"))}, previous=old)

    assert (found.problems, found.broken) == ((), frozenset())
    assert (path_of(found, "web"), path_of(found, "team/web")) == ("new", "b")


@pytest.mark.parametrize(
    "theirs",
    [
        documents(team("web", rollouts={})),
        documents(team("web"), team("web")),
        documents(team("web")) + "oops: [\n",
        "apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {name: web}\nspec:\n  project: 'team' # us\n  a: [",
    ],
    ids=["an unknown field", "twice", "no YAML", "no YAML, in quotes"],
)
def test_what_is_wrong_with_another_projects_document_is_its_own(theirs):
    found = fleet({"a.yaml": GOOD, "b.yaml": theirs})

    assert (found.broken, found.doubtful) == ({("Application", "team/web")}, ())
    assert list(found.applications) == ["web"]
    assert {one.subject for one in found.problems} == {("Application", "team/web")}


@pytest.mark.parametrize(
    ("field", "meant"),
    [("cluster", "spec.clusters"), ("name", "metadata.name"), ("createNamespace", "spec.sync.createNamespace")],
)
def test_a_field_of_the_same_place_is_meant_before_one_elsewhere_when_it_is_much_alike(field: str, meant: str):
    made = application("web")

    (problem,) = fleet(documents({**made, "spec": {**made["spec"], field: "x"}})).problems

    assert problem.message == f"unknown field; did you mean {meant!r}?"


@pytest.mark.parametrize(
    "spec",
    ["spec: {project: team, a: [", "spec:\n  project: team\n  project: us\n  a: [", "spec:\n  project: [team\n  a: ["],
    ids=["in braces", "twice", "as a list"],
)
def test_text_that_hides_its_project_hides_its_name(spec):
    text = f"apiVersion: undrift.dev/v1alpha1\nkind: Application\nmetadata: {{name: web}}\n{spec}"

    assert fleet({"b.yaml": text}).doubtful == ("b.yaml",)


@pytest.mark.parametrize("project", ["No Label", ["team"], None], ids=["no name", "a list", "nothing"])
def test_a_project_that_is_mistyped_keeps_what_the_file_defined(project):
    before = fleet({"a.yaml": documents(team("web")), "b.yaml": documents(application("web"))})

    found = fleet(
        {"a.yaml": documents(application("web", project=project)), "b.yaml": documents(application("web", "new"))},
        previous=before,
    )

    assert ("Application", "team/web") in found.broken
    assert (path_of(found, "team/web"), path_of(found, "web")) == ("web", "new")


def test_files_of_all_names_and_lists_are_read():
    listed = {"apiVersion": "v1", "kind": "List", "items": [cluster("c"), {"kind": "List", "items": [cluster("d")]}]}
    files = {"a.yaml": documents(cluster("a")), "b/c/x.yml": documents(cluster("b")), "y.json": documents(listed)}

    assert list(fleet(files).clusters) == ["a", "b", "c", "d"]


def test_only_the_given_folder_is_read_without_hidden_folders():
    files = {"x.yaml": "not: [ours", "in/a.yaml": GOOD, "in/.github/b.yaml": BROKEN, "in/note.txt": BROKEN}

    found = load(MemoryTree(files), "in")

    assert (list(found.entries), found.problems) == ([("Application", "web")], ())


def test_aliases_do_not_multiply_one_file_of_many_documents():
    """Nor do they where the file is read in pieces, since one of them is broken."""
    levels = [f"{y}: &{y} [{', '.join([f'*{x}'] * 10)}]" for x, y in zip("abcd", "bcde", strict=True)]
    bomb = "\n".join(["---", "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", *levels, ""])

    found = fleet({"a.yaml": GOOD, "b.yaml": bomb * 20 + "---\nundrift: [\n", "c.yaml": documents(cluster("a"))})

    assert sum("more values in all documents together" in one for one in messages(found)) >= 10
    assert (list(found.applications), list(found.clusters)) == (["web"], ["a"])


def test_a_folder_that_is_missing_is_no_empty_fleet():
    with pytest.raises(PathNotFound):
        load(MemoryTree({"a.yaml": GOOD}), "fleet")


@pytest.mark.parametrize("now", [BROKEN, NO_YAML, "just words", "- a list", "\xff", "a: {b: &a [*a]}"])
def test_a_broken_file_leaves_what_was_read_from_it_as_it_was(now):
    before = fleet({"a.yaml": GOOD, "b.yaml": documents(cluster("eu-1"))})

    after = fleet({"a.yaml": now, "b.yaml": documents(cluster("eu-1"), cluster("eu-2"))}, previous=before)

    assert path_of(after, "web") == "old"
    assert ("Application", "web") in after.broken
    assert list(after.clusters) == ["eu-1", "eu-2"]
    assert after.problems != ()


def test_a_broken_file_is_remembered_over_any_number_of_loads_and_then_mended():
    found = fleet({"a.yaml": GOOD})
    for _ in range(3):
        found = fleet({"a.yaml": NO_YAML}, previous=found)
    assert path_of(found, "web") == "old"

    mended = fleet({"a.yaml": documents(application("web", "new"))}, previous=found)

    assert path_of(mended, "web") == "new"
    assert (mended.broken, mended.doubtful) == (frozenset(), ())


def test_a_broken_document_stops_only_itself():
    text = BROKEN + "---\n" + documents(application("api")) + "---\n" + NO_YAML + "---\n" + documents(cluster("eu-1"))

    found = fleet(text)

    assert list(found.entries) == [("Application", "api"), ("Cluster", "eu-1")]


def test_a_name_that_moved_into_a_file_that_can_not_be_read_is_kept():
    before = fleet({"a.yaml": GOOD})

    after = fleet({"b.yaml": NO_YAML}, previous=before)

    assert path_of(after, "web") == "old"
    assert "is kept: b.yaml can't be read and may define it" in str(after.notes[0])


def test_a_name_that_is_gone_from_files_that_all_load_is_gone():
    before = fleet({"a.yaml": GOOD, "b.yaml": documents(cluster("eu-1"))})

    assert fleet({"b.yaml": documents(cluster("eu-1"))}, previous=before).applications == {}


def test_a_name_whose_document_is_broken_says_nothing_about_others():
    """The broken document tells its name, so another one that is gone is gone by intent."""
    before = fleet({"a.yaml": GOOD, "b.yaml": documents(application("api"))})

    after = fleet({"a.yaml": BROKEN}, previous=before)

    assert list(after.applications) == ["web"]


MISREAD = """
apiVersion: undrift.dev/v1alpha1
kind: Application
metadata:
  # name: comment
  labels:
    name: other
  nme: web
spec: [
"""


@pytest.mark.parametrize("text", [MISREAD, MISREAD.replace("nme: web", "name: other")], ids=["label", "another"])
def test_a_name_that_is_misread_in_broken_text_does_not_lose_the_one_that_stood_there(text):
    after = fleet({"a.yaml": text}, previous=fleet({"a.yaml": GOOD}))

    assert path_of(after, "web") == "old"


def test_a_name_defined_twice_names_both_places_and_keeps_what_it_was():
    before = fleet({"a.yaml": GOOD})

    after = fleet({"a.yaml": GOOD, "b.yaml": documents(application("web", "new"))}, previous=before)

    assert path_of(after, "web") == "old"
    assert messages(after) == [
        "a.yaml:1: metadata.name: Application 'web' is defined twice, here and in b.yaml:1; "
        "nothing is changed, remove one",
        "b.yaml:1: metadata.name: Application 'web' is defined twice, here and in a.yaml:1; "
        "nothing is changed, remove one",
    ]


def test_a_name_defined_twice_from_the_start_is_in_force_nowhere():
    assert fleet({"a.yaml": GOOD, "b.yaml": GOOD}).applications == {}


def test_a_good_definition_beside_a_broken_one_of_the_same_name_changes_nothing():
    before = fleet({"a.yaml": GOOD})

    after = fleet({"a.yaml": BROKEN, "b.yaml": documents(application("web", "new"))}, previous=before)

    assert path_of(after, "web") == "old"


def test_a_definition_in_another_file_waits_while_the_first_file_can_not_be_read():
    before = fleet({"a.yaml": GOOD})

    after = fleet({"a.yaml": NO_YAML, "b.yaml": documents(application("web", "new"))}, previous=before)

    assert path_of(after, "web") == "old"
    assert "b.yaml:1: metadata.name: Application 'web' was defined in a.yaml, which can't be read now" in str(
        after.problems[1]
    )


def test_one_name_may_stand_for_an_application_and_a_cluster():
    assert fleet(documents(application("eu"), cluster("eu"))).problems == ()


def test_a_document_whose_api_version_was_mistyped_is_broken_not_gone():
    before = fleet({"a.yaml": GOOD})
    mistyped = {**application("web", "new"), "apiVersion": "undrift.de/v1alpha1"}

    after = fleet({"a.yaml": documents(mistyped)}, previous=before)

    assert path_of(after, "web") == "old"
    assert messages(after) == ["a.yaml:1: apiVersion: found 'undrift.de/v1alpha1', expected 'undrift.dev/v1alpha1'"]


def test_other_tools_objects_of_the_same_name_in_one_file_are_left_alone_at_every_load():
    argo = {**application("web"), "apiVersion": "argoproj.io/v1alpha1"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}}
    text = documents(application("web"), argo, config)

    found = fleet({"a.yaml": text})

    assert (list(found.entries), found.problems) == ([("Application", "web")], ())
    assert fleet({"a.yaml": text}, previous=found) == found


def test_text_without_a_word_of_ours_is_left_alone_however_broken():
    found = fleet({"chart.yaml": "kind: {{ .Values.kind }}", "words.yaml": "words", "list.yaml": "- a", "b.yaml": GOOD})

    assert (list(found.entries), found.problems, len(found.notes)) == ([("Application", "web")], (), 3)


def test_a_symbolic_link_is_named_and_keeps_what_was_read_there():
    before = fleet({"a.yaml": GOOD})

    after = load(MemoryTree({"a.yaml": "b.yaml"}, links=["a.yaml"]), previous=before)

    assert path_of(after, "web") == "old"
    assert messages(after) == ["a.yaml: is a symbolic link, which is not followed; put the file itself here"]


def test_a_file_that_can_not_be_read_now_keeps_what_was_read_from_it():
    class Failing(MemoryTree):
        def read(self, path: str) -> bytes:
            raise SourceTooLarge("a.yaml is larger than 64 MiB", subject=path)

    after = load(Failing({"a.yaml": GOOD}), previous=fleet({"a.yaml": GOOD}))

    assert path_of(after, "web") == "old"
    assert messages(after) == ["a.yaml: can't be read: a.yaml is larger than 64 MiB"]


HOSTILE = {
    "brackets": "undrift: " + "[" * 100_000,
    "braces": "{" * 300,
    "alias": "a: &a [" + "*a," * 10 + "]",
    "white": "undrift: [\nmetadata:\n" + " \t \n" * 20_000,
    "names": "undrift: [\nmetadata: {" + "a, name" * 20_000,
    "kinds": "undrift: [\n" + "kind: " * 20_000,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_neither_ends_nor_holds_the_process(text):
    assert fleet({"a.yaml": text, "b.yaml": GOOD}).applications.keys() == {"web"}


def test_a_list_kept_by_an_alias_or_a_merge_is_read_too():
    text = """
    x: &x
      items: [{apiVersion: undrift.dev/v1alpha1, kind: Project, metadata: {name: a}}]
    apiVersion: v1
    kind: List
    <<: *x
    """

    assert list(fleet(text).projects) == ["a"]


def test_dev_clusters_are_added_beside_those_of_the_files():
    found = with_dev_clusters(fleet(documents(cluster("eu-1"))), {"dev-1": "dev-1/kubeconfig"})

    assert list(found.clusters) == ["dev-1", "eu-1"]
    dev = found.clusters["dev-1"]
    assert dev.metadata.labels == {"env": "dev", "undrift.dev/dev-cluster": "dev-1"}
    assert dev.spec.access.kubeconfig is not None
    assert dev.spec.access.kubeconfig.file == "local:dev-1/kubeconfig"


def test_a_dev_cluster_of_the_files_keeps_its_labels_and_is_reached_locally():
    written = cluster("dev-1", ring="canary", env="prod")

    dev = with_dev_clusters(fleet(documents(written)), {"dev-1": "dev-1/kubeconfig"}).clusters["dev-1"]

    assert dev.metadata.labels == {"ring": "canary", "env": "dev", "undrift.dev/dev-cluster": "dev-1"}
    assert dev.spec.access.kubeconfig is not None
    assert dev.spec.access.kubeconfig.file == "local:dev-1/kubeconfig"
