"""`kv-operator local`: a cluster in a directory, the operator as a child process, its nodes as processes of their own."""

import json
import os
import signal
import time

from .binaries import binary, run
from .client import dynamodb
from .disk import Disk
from .process import STARTED, Process, is_alive, is_running, send, tail
from .wait import eventually

NAME = "rides"


class Cluster:
    """A cluster named rides below `root`. Closing it ends the operator and every node, whatever state they are in.

    `prefix` runs all commands elsewhere (a network namespace); `env` and `node_binary` reach the nodes."""

    def __init__(self, root, nodes=3, prefix=(), env=None, node_binary=None):
        self.root, self.prefix, self.env = root, tuple(prefix), env or {}
        self.node_binary = node_binary
        self.file, self.dir, self.log = root / "cluster.yaml", root / "dir", root / "operator.log"
        self.names = [f"{NAME}-{id}" for id in range(1, nodes + 1)]
        self.operator = None
        self.disks, self.clients = {}, {}
        self.write(f"spec:\n  nodes: {nodes}\n")
        STARTED.append(self)

    def write(self, spec):
        """Saves the file at once, as editors do."""
        head = f"apiVersion: ringkv.dev/v1alpha1\nkind: KvCluster\nmetadata:\n  name: {NAME}\n"
        aside = self.file.with_suffix(".new")
        aside.write_text(head + spec)
        os.replace(aside, self.file)

    # The operator

    def start(self, wait=True):
        """Starts the operator; answers the seconds until the cluster was Ready."""
        assert self.operator is None, "one operator at a time"
        if self.log.exists():
            os.replace(self.log, self.root / f"operator-{time.monotonic_ns()}.log")
        begin = time.monotonic()
        self.operator = Process(self.command(), self.log, env=self.env, prefix=self.prefix)
        if wait:
            self.ready()
        return time.monotonic() - begin

    def command(self):
        more = ("--node-binary", self.node_binary) if self.node_binary else ()
        return (binary("kv-operator"), "local", "-f", self.file, "--dir", self.dir, "--any-ports", *more)

    def kill_operator(self):
        self.operator.kill()
        self.operator.close()
        self.operator = None

    def run(self, *arguments, seconds=60):
        """Runs `kv-operator local <arguments> --dir DIR`; answers (status, stdout, stderr)."""
        command, *rest = arguments
        return run(*self.prefix, binary("kv-operator"), "local", command, "--dir", self.dir, *rest, seconds=seconds)

    def stop(self):
        """`kv-operator local stop`; all nodes have ended when this returns."""
        status, out, err = self.run("stop")
        assert status == 0, f"stop ended with {status}: {err or out}"
        if self.operator:
            assert self.operator.wait() == 0, self.operator.said()
            self.operator.close()
            self.operator = None
        assert not any(self.is_running(name) for name in self.names)

    # What it says

    def object(self):
        """The KvCluster with its status, as `status -o json` prints it; None while there is none."""
        status, out, err = self.run("status", "-o", "json")
        if status == 66:
            return None
        assert status == 0, f"status ended with {status}: {err}"
        return json.loads(out)

    def status(self):
        return (self.object() or {}).get("status") or {}

    def condition(self, kind):
        """(status, reason, message) of a condition."""
        for condition in self.status().get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"], condition["message"]
        return None, None, None

    def waits_for(self, kind, status, reason=None, seconds=60):
        """Waits for a condition; answers its message."""

        def look():
            now = self.condition(kind)
            if now[0] == status and reason in (None, now[1]):
                return now
            if self.operator and self.operator.child.poll() is not None:
                raise AssertionError(f"the operator ended with {self.operator.child.returncode}: {self.operator.said()}")
            return None

        return eventually(f"{kind} {status} {reason or ''}, last {self.condition(kind)}", look, seconds)[2]

    def ready(self, seconds=60):
        self.waits_for("Ready", "True", seconds=seconds)

    def most_leading(self):
        """The node that leads most partitions, once one leads any."""

        def look():
            nodes = self.status().get("nodes", [])
            most = max(nodes, key=lambda node: node.get("leaders") or 0, default=None)
            return most and most.get("leaders") and most["name"]

        return eventually("a node leads something", look, 60, every=0.2)

    # The nodes

    def node_dir(self, name):
        return self.dir / "nodes" / name

    def config(self, name):
        return json.loads((self.node_dir(name) / "node.json").read_text())

    def url(self, name):
        return "http://" + self.config(name)["listen"]["dynamo"]

    def urls(self):
        return [self.url(name) for name in self.names]

    def client(self, name=None, **options):
        """A client of one node, made once: boto3 takes long to make one."""
        key = (self.url(name or self.names[0]), *sorted(options.items()))
        if key not in self.clients:
            self.clients[key] = dynamodb(key[0], **options)
        return self.clients[key]

    def pid(self, name):
        """The pid that the node's pid file names; None if there is none."""
        try:
            return json.loads((self.node_dir(name) / "pid").read_text())["pid"]
        except (OSError, ValueError, KeyError):
            return None

    def pids(self):
        return {name: self.pid(name) for name in self.names}

    def is_running(self, name):
        pid = self.pid(name)
        return pid is not None and is_running(pid, self.node_dir(name) / "node.json")

    def send(self, name, number):
        """Sends a signal to a node; answers its pid, or None if it does not run."""
        pid = self.pid(name)
        if not self.is_running(name):
            return None
        send(pid, number)
        return pid

    def kill_node(self, name):
        """SIGKILL, and waits for the end."""
        pid = self.send(name, signal.SIGKILL)
        if pid:
            eventually(f"the end of {name}", lambda: not is_alive(pid), 20)
        return pid

    def kill_all(self):
        """The operator and then every node, those that came since among them, as a machine that dies takes them."""
        if self.operator:
            self.kill_operator()
        names = sorted({*self.names, *(path.name for path in (self.dir / "nodes").glob(f"{NAME}-*"))})
        pids = [self.send(name, signal.SIGKILL) for name in names]
        for pid in filter(None, pids):
            eventually(f"the end of {pid}", lambda pid=pid: not is_alive(pid), 20)

    # Disks of their own

    def give_disks(self, mebibytes, names=None):
        """Mounts a file system of its own for each node, before the first start."""
        for name in names or self.names:
            self.disks[name] = Disk(self.node_dir(name), self.root / f"{name}.ext4", mebibytes)

    def cut_power(self):
        """Nothing reaches any disk any more; then the processes go, and the disks come back as they were at the cut."""
        for disk in self.disks.values():
            disk.cut_power()
        self.kill_all()
        for disk in self.disks.values():
            disk.unmount()
        for disk in self.disks.values():
            disk.mount()

    def close(self):
        self.kill_all()
        for disk in self.disks.values():
            disk.close()
        if self in STARTED:
            STARTED.remove(self)

    def logs(self):
        logs = {"operator": tail(self.log)}
        for name in self.names:
            logs[name] = tail(self.node_dir(name) / "log")
        return logs

