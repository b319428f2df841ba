"""`kv-node dev`: one node, no cluster."""

import time

from .binaries import binary
from .client import dynamodb
from .process import Process

MARK = "listening on http://"


class Dev:
    """A node that listens on a free port; serves when the constructor returns."""

    def __init__(self, tmp_path, *arguments, data_dir=None, prefix=(), env=None):
        where = ("--data-dir", data_dir) if data_dir else ("--in-memory",)
        command = (binary("kv-node"), "dev", "--listen", "127.0.0.1:0", *where, *arguments)
        log = tmp_path / f"dev-{time.monotonic_ns()}.log"
        begin = time.monotonic()
        self.process = Process(command, log, prefix=prefix, env=env)
        line = self.process.hears(MARK)
        self.start_seconds = time.monotonic() - begin
        self.url = "http://" + line.split(MARK, 1)[1].strip()

    @property
    def address(self):
        return self.url.removeprefix("http://")

    def client(self, **options):
        return dynamodb(self.url, **options)

    def stop(self):
        """SIGTERM; answers the exit status."""
        status = self.process.terminate()
        self.process.close()
        return status

    def kill(self):
        self.process.kill()
        self.process.close()
