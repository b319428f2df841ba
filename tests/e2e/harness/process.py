"""A child process whose output goes to a file. Whatever was started is in `STARTED`, so that the end of a test stops it."""

import os
import signal
import subprocess

from .binaries import clean_environment
from .wait import eventually

#: What has been started and not closed; newest last. Each has `close()` and `logs()`.
STARTED = []
LOG_TAIL_BYTES = 8_000


def tail(path):
    """The end of a file, or None if there is none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return None


def is_alive(pid):
    """Whether a process runs: one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZXx"
    except OSError:
        return False


def is_running(pid, argument):
    """Whether a process runs that was given `argument`: a pid alone may be someone else's by now."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return is_alive(pid) and str(argument).encode() in file.read().split(b"\0")
    except OSError:
        return False


def send(pid, number):
    """Sends a signal; a process that has ended needs none."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Process:
    """A program, its output in `<log>`. `prefix` is a command that runs another one (nsenter, setpriv)."""

    def __init__(self, arguments, log, env=None, cwd=None, prefix=()):
        self.log = log
        self.command = [str(a) for a in (*prefix, *arguments)]
        with open(log, "ab") as out:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean_environment(**(env or {})), cwd=cwd, start_new_session=True
            )
        STARTED.append(self)

    @property
    def pid(self):
        return self.child.pid

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def hears(self, part, seconds=60):
        """Waits for a line that contains `part`; fails at once if the process ends without it."""

        def look():
            ended = self.child.poll() is not None
            for line in self.said().splitlines():
                if part in line:
                    return line
            assert not ended, f"{self.command} ended with {self.child.returncode} before it said {part!r}: {self.said()}"
            return None

        return eventually(f"{part!r} from {self.command}", look, seconds, every=0.002)

    def send(self, number):
        if self.child.poll() is None:
            self.child.send_signal(number)

    def wait(self, seconds=30):
        return self.child.wait(seconds)

    def terminate(self, seconds=30):
        """SIGTERM; answers the exit status."""
        self.send(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        """SIGKILL, and waits for the end."""
        self.send(signal.SIGKILL)
        return self.wait()

    def close(self):
        self.kill()
        if self in STARTED:
            STARTED.remove(self)

    def logs(self):
        return {" ".join(self.command): tail(self.log)}
