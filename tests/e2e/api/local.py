"""DynamoDB Local, started for a test: a live reference. It is fetched into the cache and never shipped."""

import shutil
import socket
import subprocess

from harness.binaries import REPOSITORY
from harness.process import Process
from harness.wait import eventually


def folder():
    """Where its jars are; fetched by Maven the first time."""
    done = subprocess.run([REPOSITORY / "scripts" / "rivals", "dynamodb-local"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"DynamoDB Local can't be had: {done.stderr}"
    return done.stdout.strip()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Local:
    """A server in memory; listens when the constructor returns."""

    def __init__(self, tmp_path):
        java = shutil.which("java")
        assert java, "Java 17 is missing: it runs DynamoDB Local"
        jars, port = folder(), free_port()
        main = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
        command = (java, f"-Djava.library.path={jars}", "-cp", f"{jars}/*", main, "-inMemory", "-port", str(port))
        self.process = Process(command, tmp_path / "dynamodb-local.log", cwd=tmp_path)
        self.process.hears("CorsParams")
        self.address = f"127.0.0.1:{port}"
        eventually("DynamoDB Local listens", lambda: listens(port))
