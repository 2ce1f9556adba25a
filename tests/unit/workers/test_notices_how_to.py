"""The receiver of `docs/how-to/notices.md`, as it is written there."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.notify import SIGNATURE_HEADER, Told, body, signature
from tests.notices import NOW, failed_topic

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "notices.md").read_text()
ENTRY = Told(failed_topic(), "it broke", ("default/web@eu-1",), NOW, NOW)
ENDED = replace(ENTRY, told=ENTRY.instances, has_ended=True, end="it is over")
SECRET = b"a signing secret"
Take = Callable[[dict[str, str], bytes], dict[str, Any] | None]


def make_receiver(secret: bytes) -> Take:
    """The page's receiver."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(source, names)
    made: Take = names["make_receiver"](secret)
    return made


def signed(text: bytes, at_s: float = 0.0, secret: bytes = SECRET) -> dict[str, str]:
    return {SIGNATURE_HEADER: signature(secret, int(at_s or time.time()), text)}


def test_the_receiver_takes_what_is_signed_and_drops_repeats():
    take = make_receiver(SECRET)

    def taken(entry: Told) -> str | None:
        notice = take(signed(body(entry)), body(entry))
        return notice["condition"] if notice else None

    told = [taken(one) for one in (ENTRY, ENTRY, ENDED, ENDED, ENTRY, ENDED)]

    assert told == ["Failed", None, "Recovered", None, "Failed", "Recovered"]


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        pytest.param(signed(body(ENTRY), secret=b"another"), body(ENTRY), id="another secret"),
        pytest.param(signed(body(ENTRY)), body(ENDED), id="another body"),
        pytest.param(signed(body(ENTRY), time.time() - 1000), body(ENTRY), id="an old one"),
    ],
)
def test_the_receiver_refuses_what_is_not_ours(headers: dict[str, str], text: bytes):
    with pytest.raises(ValueError, match="not a notice of ours"):
        make_receiver(SECRET)(headers, text)


def test_the_example_on_the_page_has_the_fields_that_are_sent():
    (example,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)

    assert list(json.loads(example)) == list(json.loads(body(ENTRY)))
