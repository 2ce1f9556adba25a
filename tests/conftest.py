"""Fixtures of every tier: real servers on 127.0.0.1, started once per session and stopped at its end."""

pytest_plugins = [
    "tests.fixtures.clusters",
    "tests.fixtures.git",
    "tests.fixtures.valkey",
    "tests.fixtures.installation",
    "tests.fixtures.terminal",
]
