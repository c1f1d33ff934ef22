"""Processes that are killed at their n-th file operation."""

import os
import sys
from collections.abc import Callable

import pytest

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
"""Audit events of Python before a file operation."""


class Killed:
    """Run a function in a child process that is killed at each of its file operations in turn.

    `at(n, function)` is true while there was an n-th operation to be killed at. What writes is cut
    in half at its own operation, as a full buffer would be.
    """

    def at(self, number: int, function: Callable[[], None]) -> bool:
        child = os.fork()
        if child == 0:
            self._count(number)
            try:
                function()
                os._exit(0)
            except BaseException:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the function failed"
        return os.WIFSIGNALED(status)

    def _count(self, number: int) -> None:
        left = number

        def step() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)

        def hook(event: str, args: tuple) -> None:
            if event in OPERATIONS and not str(args[0]).startswith(("/dev", "/proc", "/etc")):
                step()

        fsync, write = os.fsync, os.write

        def synced(descriptor: int) -> None:
            step()
            fsync(descriptor)

        def written(descriptor: int, data: bytes) -> int:
            step()
            return write(descriptor, data)

        os.fsync, os.write = synced, written
        sys.addaudithook(hook)


@pytest.fixture
def killed() -> Killed:
    return Killed()
