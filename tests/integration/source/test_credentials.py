"""Credentials that are none: what was referenced by mistake, or by somebody who wants to see it."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from reconciler.clock import SystemClock
from reconciler.credentials import CredentialMissing, Credentials
from reconciler.errors import UndriftError
from reconciler.model.spec import CredentialRef, RepositoryCredentials
from reconciler.source import SourceRoom
from reconciler.testing.git import GitServer, Repo
from tests.integration.source.test_room import access

KUBECONFIG = "apiVersion: v1\nkind: Config\nusers: [{name: a, user: {token: hunter2-ADMIN}}]\n"
FILE = CredentialRef(file="eu-1.yaml")


@pytest.mark.parametrize(
    "value",
    [KUBECONFIG, "hunter2\rX-Header: y", "hunter2\x00", "hunter2\u2028and more", b"\xffhunter2", "", "\n"],
    ids=["many lines", "carriage return", "null", "line separator", "no text", "nothing", "an empty line"],
)
@pytest.mark.parametrize(
    "credentials",
    [RepositoryCredentials(token=FILE), RepositoryCredentials(username="x", password=FILE)],
    ids=["token", "password"],
)
def test_what_is_not_one_line_is_neither_sent_nor_shown(
    tmp_path: Path, git_server: GitServer, git_repo: Repo, credentials: RepositoryCredentials, value: str | bytes
) -> None:
    """Before, a kubeconfig as a token came back whole in the error: `Invalid header value b'Bearer …'`."""
    (tmp_path / "eu-1.yaml").write_bytes(value.encode() if isinstance(value, str) else value)
    room = SourceRoom(tmp_path / "mirrors", Credentials({}, tmp_path), SystemClock())

    with pytest.raises(CredentialMissing, match=r"eu-1\.yaml is (not one line|no text)") as refused:
        room.refs(access(git_server.url("apps.git"), credentials=credentials))

    assert git_server.requests == 0
    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "value",
    ["hunter2 \u00e9", "hunter2", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "hunter2\x00"],
    ids=["not ASCII", "no PEM", "no certificate", "null"],
)
def test_what_is_no_ca_is_the_credentials_fault(tmp_path: Path, git_repo: Repo, value: str) -> None:
    """Before, text that is not ASCII was a mistake of Undrift itself, and other text one of the host."""
    room = SourceRoom(tmp_path / "mirrors", Credentials({"UNDRIFT_CRED_CA": value}, None), SystemClock())
    credentials = RepositoryCredentials(ca=CredentialRef(env="UNDRIFT_CRED_CA"))

    with pytest.raises(CredentialMissing, match="UNDRIFT_CRED_CA is no CA certificate in PEM form") as refused:
        room.refs(access("https://127.0.0.1:1/apps.git", credentials=credentials))

    assert "hunter2" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("name", ["h\nost", "user\x00"])
def test_a_username_is_one_line_too(tmp_path: Path, git_server: GitServer, git_repo: Repo, name: str) -> None:
    room = SourceRoom(tmp_path / "mirrors", Credentials({}, tmp_path), SystemClock())
    with pytest.raises(CredentialMissing, match="username"):
        room.refs(access(git_server.url("apps.git"), credentials=RepositoryCredentials(username=name)))


def test_what_a_header_can_not_hold_is_not_shown(tmp_path: Path, git_server: GitServer, git_repo: Repo) -> None:
    """Printable, and yet no header: the library's words would hold it."""
    room = SourceRoom(
        tmp_path / "mirrors", Credentials({"UNDRIFT_CRED_A": "hunter2-\u4f60\u597d"}, None), SystemClock()
    )
    credentials = RepositoryCredentials(token=CredentialRef(env="UNDRIFT_CRED_A"))

    with pytest.raises(UndriftError) as refused:
        room.refs(access(git_server.url("apps.git"), credentials=credentials))

    assert "hunter2" not in refused.value.message
    assert "\u4f60" not in refused.value.message
