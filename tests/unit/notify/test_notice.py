"""The text of a notice and its signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace

from reconciler.notify import Told, body, signature
from reconciler.notify.notice import LONGEST_MESSAGE
from tests.notices import NOW, failed_topic

ENTRY = Told(failed_topic(), "it broke", tuple(f"default/web@c-{n}" for n in range(400)), NOW, NOW)


def test_a_notice_has_every_field_and_at_most_50_instances():
    notice = json.loads(body(ENTRY))

    assert notice.pop("instances") == [f"default/web@c-{n}" for n in range(50)]
    assert notice == {
        "apiVersion": "undrift.dev/v1alpha1",
        "kind": "Notice",
        "key": failed_topic().key,
        "ends": "",
        "condition": "Failed",
        "reason": "TemplateFailed",
        "project": "default",
        "application": "web",
        "cluster": "",
        "repository": "",
        "scope": "",
        "revision": "a1",
        "count": 400,
        "message": "it broke",
        "at": "2026-11-23T12:00:00+00:00",
    }


def test_a_recovered_names_the_key_that_it_ends_and_has_one_of_its_own():
    notice = json.loads(body(replace(ENTRY, told=(), has_ended=True, end="it is over")))

    assert (notice["condition"], notice["ends"]) == ("Recovered", failed_topic().key)
    assert notice["key"] not in ("", notice["ends"])
    assert notice["message"] == "it is over"


def test_a_long_message_is_cut():
    assert len(json.loads(body(replace(ENTRY, message="x" * 9000)))["message"]) == LONGEST_MESSAGE


def test_the_signature_is_over_the_time_and_the_body():
    expected = hmac.new(b"secret", b'1700000000.{"a": 1}', hashlib.sha256).hexdigest()

    assert signature(b"secret", 1_700_000_000, b'{"a": 1}') == f"t=1700000000,v1={expected}"
