"""A real Git server and a way to write repositories, for tests, the demo and trying things out. No git program is needed.

`Repo` writes commits straight into a bare repository on disk. `GitServer` serves repositories over smart HTTP on
127.0.0.1, with logins and with faults to switch on; `python -m reconciler.testing.git FOLDER [--port N]` serves every
repository below a folder until it is stopped. `SshGitServer` (needs asyncssh) serves the same over SSH.
"""

from reconciler.testing.git.http import GitServer
from reconciler.testing.git.repo import Repo
from reconciler.testing.git.ssh import SshGitServer

__all__ = ["GitServer", "Repo", "SshGitServer"]
