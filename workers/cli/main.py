"""The command `undrift`. Modules are loaded when one of their commands is called, so that `undrift version` is quick.

Errors of the tree end a command with one line on stderr and the exit code that their kind has: 0 as wanted,
1 differences, 2 usage or input, 3 failed, 4 held, 5 unreachable or timed out.
"""

from __future__ import annotations

import difflib
import os
import sys
from importlib import import_module

from reconciler.errors import FleetError, GitUnreachable, UndriftError, Unreachable
from workers.cli.terminal import guard_terminals

COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("workers.cli.up", "up_app", "Run everything on this machine; Ctrl-C stops all."),
    "scheduler": ("workers.cli.processes", "scheduler_app", "Run a scheduler: makes work due and hands it out."),
    "worker": ("workers.cli.processes", "worker_app", "Run a worker: syncs, scans, looks at repositories."),
    "watcher": ("workers.cli.processes", "watcher_app", "Run a watcher: edits by hand are seen as they happen."),
    "flower": ("workers.cli.processes", "flower_app", "Run Flower: the tasks, live, in a browser."),
    "version": ("workers.cli.processes", "version_app", "Print the version."),
    "fleet": ("workers.cli.fleet", "fleet_app", "Look at fleet files before you push them."),
    "app": ("workers.cli.app", "app_app", "Applications: list, explain, sync, plan, approve, delete."),
    "freeze": ("workers.cli.brakes", "freeze_app", "Stop all writes: of everything, a project or a cluster."),
    "thaw": ("workers.cli.brakes", "thaw_app", "End a freeze."),
    "journal": ("workers.cli.journal", "journal_app", "What was done and decided: list, verify."),
    "cluster": ("workers.cli.cluster", "cluster_app", "Clusters: list, check, activate, take over, forget."),
    "repo": ("workers.cli.repo", "repo_app", "Repositories: list, check, look now."),
    "events": ("workers.cli.events", "events_app", "What happened, newest last."),
    "status": ("workers.cli.status", "status_app", "The whole fleet in one screen."),
    "doctor": ("workers.cli.doctor", "doctor_app", "Check all that must be true for the rest to work."),
    "drill": ("workers.cli.drill", "drill_app", "Rehearse a disaster."),
    "dev-cluster": ("workers.cli.devcluster", "dev_cluster_app", "Real Kubernetes clusters on this machine."),
}
USAGE, FAILED, UNREACHABLE = 2, 3, 5
NOT_HERE = "UNDRIFT_HOME and UNDRIFT_REDIS_URL say where to look"

OVERVIEW = """GitOps for fleets of Kubernetes clusters. Git says what every cluster should run; Undrift makes it so.

usage: undrift COMMAND [...]        undrift COMMAND --help shows its options, with examples

{commands}

Start with `make demo` in a checkout, or: undrift up --fleet DIR --dev-clusters 3"""


def main(words: list[str] | None = None) -> None:
    """Run the command line."""
    words = sys.argv[1:] if words is None else words
    guard_terminals()
    try:
        _run(words)
    except UndriftError as error:
        print(f"undrift: {error.message}", file=sys.stderr)
        for problem in getattr(error, "problems", ()):
            print(f"  {problem}", file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain while it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        print(f"undrift: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except Exception as error:
        if not _is_of_redis(error):
            raise
        print(f"undrift: {_away(error)}; {NOT_HERE}", file=sys.stderr)
        sys.exit(UNREACHABLE)


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return
    name = "version" if words[0] == "--version" else words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`undrift --help` lists them"
        print(f"undrift: no command {name!r}; {hint}", file=sys.stderr)
        sys.exit(USAGE)
    module, attribute, _ = COMMANDS[name]
    command = getattr(import_module(module), attribute)
    command(words[1:], prog_name=f"undrift {name}")


def _is_of_redis(error: Exception) -> bool:
    """Whether it is Redis' error; a command that never loaded its client can't have met one."""
    client = sys.modules.get("redis")
    return client is not None and isinstance(error, client.RedisError)


def _away(error: Exception) -> str:
    """Why Redis does not answer, as far as this machine shows it: where nobody said which is meant, it is that of a home."""
    from workers import settings

    chosen = settings.from_env(os.environ, makes_home=False)
    is_somewhere = os.environ.get("UNDRIFT_REDIS_URL") or chosen.embedded_socket.is_file()
    if (
        is_somewhere or type(error).__name__ != "ConnectionError"
    ):  # one of its kinds is an answer, such as a refused login
        return f"Redis does not answer: {error}; is `undrift up` running?"
    return f"no `undrift up` runs in {chosen.home}, and no other Redis was named"


def overview() -> str:
    """The list of commands."""
    rows = [f"  {name:<12} {summary}" for name, (_, _, summary) in COMMANDS.items()]
    return OVERVIEW.format(commands="\n".join(rows))


def exit_code(error: UndriftError) -> int:
    """The exit code that an error ends a command with."""
    if isinstance(error, (Unreachable, GitUnreachable)):
        return UNREACHABLE
    return USAGE if isinstance(error, FleetError) or error.stage in ("settings", "usage") else FAILED


if __name__ == "__main__":
    main()
