"""Which repository URLs are accepted, and which lie below which."""

from __future__ import annotations

import pytest

from reconciler.fleet import urls


@pytest.mark.parametrize(
    "url",
    [
        "ssh://-oProxyCommand=x/repo",
        "ssh://git@-oProxyCommand=x/repo",
        "ssh://-lroot@host/repo",
        "SSH://-F/repo",
        "git+ssh://-F/repo",
        "-Fconfig:repo",
        "-lroot@host:repo",
        "git@-Fconfig:repo",
    ],
)
def test_nothing_is_an_option_of_ssh(url: str) -> None:
    with pytest.raises(ValueError, match="do not begin with"):
        urls.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://user@host/repo",
        "https://host/a/../b",
        "https://host/a%2fb",
        "ssh://git:secret@host/repo",
        "ftp://host/repo",
        "https:///repo",
        "host/repo",
    ],
)
def test_a_url_means_one_place_and_holds_no_secret(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        urls.parse(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "above", "is_below"),
    [
        ("https://host/group/repo.git", "https://host/group", True),
        ("https://host/group", "https://host/group", True),
        ("https://host/group-2/repo", "https://host/group", False),
        ("https://other/group/repo", "https://host/group", False),
        ("https://host:8443/group/repo", "https://host/group", False),
        ("git@host:group/repo", "ssh://git@host/group", True),
        ("ssh://host:22/group/repo", "git@host:group", True),
        ("https://my-host/a-b/-c", "https://my-host/a-b", True),
    ],
)
def test_a_url_is_below_another_by_whole_parts(url: str, above: str, is_below: bool) -> None:
    assert urls.parse(url).is_below(urls.parse(above)) is is_below
