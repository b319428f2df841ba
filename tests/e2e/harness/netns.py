"""A network namespace with nothing but loopback, and a firewall in it that cuts nodes off each other. Needs root."""

import ctypes
import os
import uuid

from .binaries import run, system
from .process import STARTED
from .shim import source_address

CLONE_NEWNET = 0x40000000


class Namespace:
    def __init__(self):
        self.name = f"ringkv-{uuid.uuid4().hex[:8]}"
        system("ip", "netns", "add", self.name)
        STARTED.append(self)
        self.path = f"/run/netns/{self.name}"
        self.prefix = ("nsenter", f"--net={self.path}")
        self.inside("ip", "link", "set", "lo", "up")

    def inside(self, *command, **options):
        return system(*self.prefix, *command, **options)

    def enter(self):
        """Moves the calling thread, and only it, into the namespace: its sockets from now on are there."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(fd)

    def cut(self, cluster, *pairs):
        """Packets between the two nodes of each pair vanish, of new connections and of those that are there."""
        drops = []
        for one, other in pairs:
            for client, server in ((one, other), (other, one)):
                address, port = source_address(client), cluster.config(server)["listen"]["peer"].rpartition(":")[2]
                drops += [f"ip saddr {address} tcp dport {port} counter drop", f"ip daddr {address} tcp sport {port} counter drop"]
        rules = "\n    ".join(drops)
        table = f"table ip ringkv {{\n  chain cut {{\n    type filter hook output priority 0\n    {rules}\n  }}\n}}\n"
        file = cluster.root / "cut.nft"
        file.write_text(table)
        self.inside("nft", "-f", file)

    def dropped(self):
        """Number of packets that vanished since the cut."""
        words = self.inside("nft", "list", "table", "ip", "ringkv").split()
        return sum(int(words[at + 1]) for at, word in enumerate(words) if word == "packets")

    def heal(self):
        self.inside("nft", "delete", "table", "ip", "ringkv")

    def close(self):
        run("ip", "netns", "del", self.name)
        if self in STARTED:
            STARTED.remove(self)

    def logs(self):
        return {}
