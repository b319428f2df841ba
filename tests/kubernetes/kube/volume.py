"""A node's volume as its worker has it mounted: filled there, since the image of nodes has no shell."""

import subprocess

MOUNT = "/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~csi/{volume}/mount"
#: Allocates until nothing is left, whoever else writes at the same time.
FILL = """
cd "$0" && step=67108864 n=0
while [ $step -ge 4096 ]; do
  if fallocate -l $step filler-$n 2>/dev/null; then n=$((n + 1)); else rm -f filler-$n; step=$((step / 2)); fi
done
"""


class Volume:
    def __init__(self, cluster, node):
        """Of a driver whose volumes are file systems of their own (kind/csi-loop)."""
        self.cluster, self.node, self.claim = cluster, node, f"data-{node}"
        pod = cluster.pods()[f"{node}-0"]
        self.worker = pod["spec"]["nodeName"]
        volume = cluster.volumes()[self.claim]["spec"]["volumeName"]
        self.path = MOUNT.format(uid=pod["metadata"]["uid"], volume=volume)

    def _on_worker(self, *command):
        done = subprocess.run(["docker", "exec", self.worker, *command], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command} on {self.worker}: {done.stdout}{done.stderr}"
        return done.stdout

    def sizes(self):
        """(bytes of the file system, bytes free)."""
        told = self._on_worker("df", "-B1", "--output=target,size,avail", self.path).splitlines()[1].split()
        assert told[0] != "/" and "csi" in told[0], f"{self.path} is no volume's mount: {told}"
        return int(told[1]), int(told[2])

    def fill_to(self, percent, name="filler"):
        """Takes space until so much is used."""
        total, free = self.sizes()
        more = free - total * (100 - percent) // 100
        assert more > 0, f"{self.node} is fuller than {percent} %: {free} of {total} are free"
        self._on_worker("fallocate", "-l", str(more), f"{self.path}/{name}")

    def fill(self):
        """Takes all there is."""
        self._on_worker("sh", "-c", FILL, self.path)

    def take(self, leave):
        """Takes space until so many bytes are free."""
        free = self.sizes()[1]
        assert free > leave, f"{free} bytes are free on {self.node}"
        self._on_worker("fallocate", "-l", str(free - leave), f"{self.path}/filler-but")

    def capacity(self):
        """What the claim says is there, a quantity."""
        return self.cluster.volumes()[self.claim]["status"].get("capacity", {}).get("storage")
