"""One attempt at a real receiver over HTTP: what counts as arrived, and what an error tells."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from tests.notices import Receiver, receiving
from workers import webhook
from workers.webhook import Letter, NotDelivered

LETTER = Letter(b'{"kind": "Notice"}', "abc123", 1_700_000_000)
SECRET = b"s3cret-key"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def refused(url: str, timeout_s: float = 5.0) -> str:
    """Why an attempt failed; it never tells the path, the query or the secret."""
    with pytest.raises(NotDelivered) as error:
        webhook.post(url, SECRET, LETTER, timeout_s=timeout_s)
    assert "s3cret" not in error.value.message
    return error.value.message


def test_a_notice_is_posted_with_its_key_and_its_signature(receiver: Receiver):
    webhook.post(receiver.url, SECRET, LETTER)

    ((headers, body),) = receiver.got
    assert body == LETTER.body
    assert (headers["Idempotency-Key"], headers["Content-Type"]) == ("abc123", "application/json")
    expected = hmac.new(SECRET, b"1700000000." + body, hashlib.sha256).hexdigest()
    assert headers["Undrift-Signature"] == f"t=1700000000,v1={expected}"


@pytest.mark.parametrize("code", [400, 404, 410, 429, 500, 503])
def test_an_answer_that_is_no_success_is_none(receiver: Receiver, code: int):
    receiver.answer = code

    assert refused(receiver.url).endswith(f"answered {code}")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, code: int):
    with receiving() as elsewhere:
        receiver.answer, receiver.location = code, elsewhere.url

        assert "which is not followed" in refused(receiver.url)
        assert elsewhere.got == []


def test_a_receiver_that_never_answers_ends_with_the_time(receiver: Receiver):
    hang = threading.Event()
    receiver.answer = lambda _: hang.wait(20)
    begun = time.monotonic()

    assert "did not answer" in refused(receiver.url, timeout_s=0.3)
    assert time.monotonic() - begun < 5
    hang.set()


def test_a_receiver_that_drips_does_not_outlast_the_time(receiver: Receiver):
    """A limit of the socket alone would begin anew with each byte."""
    ended = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        try:
            for _ in range(200):
                handler.wfile.write(b"H")
                if ended.wait(0.1):
                    return
        except OSError:
            ended.set()

    receiver.answer = drip
    begun = time.monotonic()

    assert "did not answer within 0.5 s" in refused(receiver.url, timeout_s=0.5)
    assert time.monotonic() - begun < 5
    assert ended.wait(10), "the connection was given up"


def test_a_body_without_end_is_not_read(receiver: Receiver):
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()

    receiver.answer = endless
    webhook.post(receiver.url, SECRET, LETTER, timeout_s=5)

    assert len(receiver.got) == 1


def test_what_is_no_http_is_said_without_the_url():
    def answer(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            peer.recv(65536)
            peer.sendall(b"SSH-2.0-s3cret\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        assert "did not answer as HTTP" in refused(f"http://127.0.0.1:{listener.getsockname()[1]}/s3cret")
        thread.join()


def test_nobody_there_is_said():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    assert refused(f"http://127.0.0.1:{port}/s3cret") == f"http://127.0.0.1:{port} refuses connections"


def test_a_name_that_nobody_has_is_said():
    assert "its name is not known" in refused("http://nobody.invalid/s3cret")


def test_a_plain_receiver_is_no_https_one(receiver: Receiver):
    assert "did not answer as HTTP (SSLError)" in refused(receiver.url.replace("http://", "https://"))
