"""Brings up kind with five workers in three zones, and takes it away again."""

import json
import os
import shlex
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
ROOT = HERE.parent.parent
SERVICES = "10.96.0.0/16"


def versions():
    """The variables of `kind/versions`."""
    names = "work kube_bin kind_bin helm_bin node_image"
    script = f". {shlex.quote(str(HERE / 'kind/versions'))}; for name in {names}; do echo \"$name=${{!name}}\"; done"
    told = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    return dict(line.split("=", 1) for line in told.splitlines())


def run(*command, check=True, seconds=120, stdin=None, env=None):
    """Runs a command; its output, or an AssertionError with what it said."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, input=stdin, env=env)
    assert not check or done.returncode == 0, f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


class Kind:
    """One cluster. This process must run in dockerd's network namespace (`kind/dockerd run`), with DOCKER_HOST set."""

    def __init__(self, folder, name="ringkv"):
        self.versions, self.name = versions(), name
        self.kubeconfig = Path(folder) / "kubeconfig"
        self.env = os.environ | {"KUBECONFIG": str(self.kubeconfig)}
        self.kind = f"{self.versions['kind_bin']}/kind"
        self.kubectl_bin = f"{self.versions['kube_bin']}/kubectl"
        self.helm_bin = f"{self.versions['helm_bin']}/helm"

    @staticmethod
    def missing():
        """Why docker can't be used from here; None if it can."""
        if "DOCKER_HOST" not in os.environ:
            return "these tests run below tests/kubernetes/kind/dockerd: start them with scripts/kind"
        done = subprocess.run(["docker", "info", "--format", "{{.ServerVersion}}"], capture_output=True, text=True)
        return None if done.returncode == 0 else f"dockerd does not answer: {done.stderr.strip()}"

    def exists(self):
        return self.name in run(self.kind, "get", "clusters", seconds=30).split()

    def create(self):
        command = ("create", "cluster", "--name", self.name, "--config", HERE / "kind/cluster.yaml", "--image", self.versions["node_image"])
        run(self.kind, *command, "--kubeconfig", self.kubeconfig, "--wait", "180s", seconds=400)
        self.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s", seconds=130)
        self.attach()

    def attach(self):
        """Takes over a cluster that is there, and makes its pods and Services reachable from here."""
        self.kubeconfig.write_text(run(self.kind, "get", "kubeconfig", "--name", self.name))
        for node in self.get("nodes"):
            address = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
            run("ip", "route", "replace", node["spec"]["podCIDR"], "via", address)
            if "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]:
                run("ip", "route", "replace", SERVICES, "via", address)

    def delete(self):
        run(self.kind, "delete", "cluster", "--name", self.name, "--kubeconfig", self.kubeconfig, seconds=120)

    def load(self, archive):
        run(self.kind, "load", "image-archive", archive, "--name", self.name, seconds=120)

    # kubectl

    def kubectl(self, *arguments, stdin=None, check=True, seconds=60):
        return run(self.kubectl_bin, *map(str, arguments), check=check, seconds=seconds, stdin=stdin, env=self.env)

    def helm(self, *arguments, seconds=180, check=True):
        return run(self.helm_bin, *map(str, arguments), seconds=seconds, env=self.env, check=check)

    def get(self, kind, namespace=None, selector=None):
        """All objects of a kind."""
        where = ["-n", namespace] if namespace else ["-A"]
        told = self.kubectl("get", kind, *where, *(["-l", selector] if selector else []), "-o", "json")
        return json.loads(told)["items"]

    def find(self, kind, name, namespace):
        """One object; None if it is not there."""
        told = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(told) if told.strip() else None

    def apply(self, *objects, namespace=None):
        where = ["-n", namespace] if namespace else []
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        return self.kubectl("apply", "--server-side", "--force-conflicts", *where, "-f", "-", stdin=json.dumps(listed))
