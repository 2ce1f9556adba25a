"""`make demo`: three real clusters converge on a Git repository, live, told step by step.

Sets everything up, serves the example repository from a local Git server, runs `undrift up` with three clusters, waits
until all is synced, and then shows a commit rolling out, an edit by hand healed, and a revert undoing the commit. Leaves
all running until Ctrl-C. With CI=true it ends by itself: 0 when each step held, 1 when one did not. `make up` is the same
without the story: `python examples/demo.py up`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import example_fleet

from reconciler import process
from reconciler.testing.git import GitServer, Repo

IN_CI = os.environ.get("CI") == "true"
COLOUR = sys.stdout.isatty()
CLUSTERS = ("dev-1", "dev-2", "dev-3")
SETUP_WITHIN_S, STEP_WITHIN_S = 1800.0, 120.0
UNDRIFT = [sys.executable, "-m", "workers.cli.main"]
GREETING_FILE = "guestbook/config.yaml"
OLD, NEW = "Welcome", "Hello from the second commit"


class StepFailed(Exception):
    """A step did not hold within its time."""


class Demo:
    """One run: its home, its Git server, and the `undrift up` that it started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {**os.environ, "UNDRIFT_HOME": str(home / "home")}
        self.repo = Repo(home / "git" / example_fleet.REPOSITORY)
        self.server = GitServer(home / "git")
        self.up: subprocess.Popen[bytes] | None = None

    def run(self, *, narrated: bool) -> None:
        """All steps, or only the set-up. Raises StepFailed."""
        self.repo.commit(example_fleet.app_files(), "The example applications")
        with self.server:
            fleet = example_fleet.write_fleet(self.home / "fleet", self.server.url(""))
            say(f"Git server at {self.server.url(example_fleet.REPOSITORY)}, fleet files in {fleet}")
            self.start_up(fleet)
            if narrated:
                self.await_synced()
                self.show_commit()
                self.show_heal()
                self.show_revert()
            self.leave_running()

    def start_up(self, fleet: Path) -> None:
        step("1", "Three real Kubernetes clusters, Valkey, a scheduler, two workers and Flower")
        say("(the first time, programs are downloaded or built: a few minutes; later it takes seconds)")
        command = [*UNDRIFT, "up", "--fleet", str(fleet), "--dev-clusters", str(len(CLUSTERS)), "--port", "0"]
        self.up = process.spawn(command, env=self.env, stdout=subprocess.PIPE)
        assert self.up.stdout is not None  # a pipe, as asked for
        for line in iter(self.up.stdout.readline, b""):
            text = line.decode().rstrip()
            if text == "ready":
                return
            say(text)
        raise StepFailed("`undrift up` ended before it was ready; its words are above")

    def await_synced(self) -> None:
        step("2", "Every application reaches every cluster it is meant for")
        begun = time.monotonic()
        self.undrift("app", "wait", "--all", "--timeout", str(int(STEP_WITHIN_S)))
        say(f"all in sync and healthy {time.monotonic() - begun:.1f} s after everything was ready")
        self.undrift("app", "list")

    def show_commit(self) -> None:
        step("3", "A commit rolls out")
        before = example_fleet.app_files()[GREETING_FILE].decode()
        commit = self.repo.commit(
            {GREETING_FILE: before.replace(f"greeting: {OLD}", f"greeting: {NEW}")}, "Greet differently"
        )
        say(f"committed {commit[:7]}: {GREETING_FILE} now says {NEW!r}")
        took = until(lambda: self.greetings() == [NEW] * 3, "the new greeting on all three clusters")
        say(f"on all three clusters {took:.1f} s after the commit; only guestbook was synced:")
        self.undrift("events", "-n", "3")

    def show_heal(self) -> None:
        step("4", "An edit by hand is healed, and its writer named")
        self.kubectl("dev-2", "-n", "guestbook", "scale", "deployment", "frontend", "--replicas=5")
        say("kubectl scaled guestbook's frontend on dev-2 to 5")
        took = until(lambda: self.replicas("dev-2") == 2, "the replicas put back")
        say(f"put back {took:.1f} s later:")
        until(lambda: "kubectl" in self.explain("guestbook@dev-2"), "the writer named")
        self.undrift("app", "explain", "guestbook@dev-2")

    def show_revert(self) -> None:
        step("5", "A revert undoes the commit everywhere")
        commit = self.repo.revert()
        say(f"git revert: {commit[:7]}")
        took = until(lambda: self.greetings() == [OLD] * 3, "the old greeting on all three clusters")
        say(f"undone on all three clusters {took:.1f} s later")
        self.undrift("app", "wait", "--all", "--timeout", str(int(STEP_WITHIN_S)))
        self.undrift("status")

    def leave_running(self) -> None:
        if IN_CI:
            say("CI=true: every step held; ending")
            return
        home = self.env["UNDRIFT_HOME"]
        step("6", "Yours now; Ctrl-C ends everything")
        say(f"  export UNDRIFT_HOME={home}")
        say(f"  git clone {self.server.url(example_fleet.REPOSITORY)}   # commit, push, and look what it does")
        say("  .venv/bin/undrift app list -o wide")
        say("  .venv/bin/undrift app explain web")
        say("  .venv/bin/undrift events -f")
        say(f"  .venv/bin/kubectl --kubeconfig {home}/dev-clusters/dev-1/kubeconfig get pods -A")
        say(f"  Flower: {self.flower()}, login in {home}/flower-login")
        assert self.up is not None  # started above
        self.up.wait()

    def stop(self) -> None:
        """End what was started."""
        if self.up is not None:
            process.stop(self.up, grace_s=15.0)
            assert self.up.stdout is not None
            self.up.stdout.close()

    def undrift(self, *words: str) -> str:
        """Run a command as a user would, and show it with what it prints."""
        say(f"$ undrift {' '.join(words)}")
        done = subprocess.run([*UNDRIFT, *words], env=self.env, capture_output=True, text=True, check=False)
        print("".join(f"    {line}\n" for line in (done.stdout + done.stderr).splitlines()), end="", flush=True)
        if done.returncode:
            raise StepFailed(f"undrift {' '.join(words)} ended with {done.returncode}")
        return done.stdout

    def explain(self, instance: str) -> str:
        done = subprocess.run(
            [*UNDRIFT, "app", "explain", instance], env=self.env, capture_output=True, text=True, check=False
        )
        return done.stdout

    def kubectl(self, cluster: str, *words: str) -> str:
        kubeconfig = Path(self.env["UNDRIFT_HOME"]) / "dev-clusters" / cluster / "kubeconfig"
        command = [str(Path(sys.executable).parent / "kubectl"), "--kubeconfig", str(kubeconfig), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout if done.returncode == 0 else ""

    def greetings(self) -> list[str]:
        """The greeting that each cluster has."""
        maps = [self.object(name, "configmap", "guestbook") for name in CLUSTERS]
        return [str((found.get("data") or {}).get("greeting", "")) for found in maps]

    def replicas(self, cluster: str) -> int:
        return int((self.object(cluster, "deployment", "frontend").get("spec") or {}).get("replicas", 0))

    def object(self, cluster: str, kind: str, name: str) -> Mapping[str, Any]:
        text = self.kubectl(cluster, "-n", "guestbook", "get", kind, name, "-o", "json")
        return dict(json.loads(text)) if text else {}

    def flower(self) -> str:
        return str(json.loads((Path(self.env["UNDRIFT_HOME"]) / "up.json").read_text())["flower"])


def until(is_true: Callable[[], bool], what: str) -> float:
    """Seconds until something became true; kubectl has to be asked again and again for it."""
    begun = time.monotonic()
    while not is_true():
        if time.monotonic() - begun > STEP_WITHIN_S:
            raise StepFailed(f"{what}: not within {STEP_WITHIN_S:.0f} s")
        time.sleep(0.3)
    return time.monotonic() - begun


def step(number: str, title: str) -> None:
    say("")
    say(f"\033[1m{number}. {title}\033[0m" if COLOUR else f"{number}. {title}")


def say(text: str) -> None:
    print(text, flush=True)


def interrupted(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def main(words: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, interrupted)
    with tempfile.TemporaryDirectory(prefix="undrift-demo-") as folder:
        demo = Demo(Path(folder))
        try:
            demo.run(narrated="up" not in words)
        except StepFailed as error:
            say(f"FAILED: {error}")
            return 1
        except KeyboardInterrupt:
            say("ending everything")
        finally:
            demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
