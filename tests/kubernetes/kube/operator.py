"""The operator of a test run: installed by Helm, or by plain manifests."""

import os
import re
import subprocess

from harness.wait import eventually

from .kind import ROOT

NAMESPACE = "ringkv-system"
RELEASE = "ringkv"
CHART = ROOT / "charts/ringkv"


class Operator:
    def __init__(self, kind):
        self.kind = kind

    def install(self, *values):
        """By Helm; ready when this returns. Definitions that plain manifests brought are taken over."""
        options = [option for value in values for option in ("--set", value)]
        command = ("upgrade", "--install", RELEASE, CHART, "-n", NAMESPACE, "--create-namespace", "--take-ownership", "--reset-values")
        self.kind.helm(*command, "--wait", "--timeout", "120s", *options)

    def test(self):
        """What `helm test` says; it fails with the test."""
        return self.kind.helm("test", RELEASE, "-n", NAMESPACE, "--timeout", "280s", "--logs", seconds=300)

    def uninstall(self):
        self.kind.helm("uninstall", RELEASE, "-n", NAMESPACE, "--ignore-not-found", "--wait", "--timeout", "60s")

    def apply(self):
        """By plain manifests."""
        self.kind.kubectl("create", "namespace", NAMESPACE, check=False)
        self.kind.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        manifests = self.kind.helm("template", RELEASE, CHART, "-n", NAMESPACE, "--set", "crds.enabled=false", "--skip-tests")
        self.kind.kubectl("apply", "-n", NAMESPACE, "-f", "-", stdin=manifests)
        self.kind.kubectl("rollout", "status", "deployment/ringkv-operator", "-n", NAMESPACE, "--timeout=120s", seconds=130)

    def remove(self):
        """What `apply` made, but for the definitions."""
        manifests = self.kind.helm("template", RELEASE, CHART, "-n", NAMESPACE, "--set", "crds.enabled=false", "--skip-tests")
        self.kind.kubectl("delete", "-n", NAMESPACE, "--ignore-not-found", "-f", "-", stdin=manifests)

    def pods(self):
        return self.kind.get("pods", NAMESPACE, "app.kubernetes.io/name=ringkv-operator")

    def leader(self):
        """Name of the pod that has the lease; none while nobody renews it."""
        lease = self.kind.find("lease", "ringkv-operator", NAMESPACE)
        return (lease or {}).get("spec", {}).get("holderIdentity")

    def kill(self, name):
        """Kills the process of a pod with -9, and the pod with it: a kubelet would let a container that dies again and again wait for minutes."""
        pod = self.kind.find("pod", name, NAMESPACE)
        for container in (pod or {}).get("status", {}).get("containerStatuses", []):
            if "running" in container["state"]:
                script = f"kill -9 $(ctr -n k8s.io tasks ls | awk '$1==\"{container['containerID'].split('//')[1]}\" {{print $2}}')"
                done = subprocess.run(["docker", "exec", pod["spec"]["nodeName"], "sh", "-c", script], capture_output=True, text=True)
                self.kind.kubectl("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0", check=False)
                return done.returncode == 0
        return False

    def is_up(self):
        deployment = self.kind.find("deployment", "ringkv-operator", NAMESPACE)
        return deployment is not None and deployment["status"].get("availableReplicas", 0) == deployment["spec"]["replicas"]

    def wait_up(self, seconds=120):
        eventually("the operators to be up", self.is_up, seconds, every=0.5)

    def logs(self):
        told = {}
        for pod in self.pods():
            name = pod["metadata"]["name"]
            told[name] = self.kind.kubectl("logs", "-n", NAMESPACE, name, "--tail=200", check=False)
        return told


def images(folder):
    """The archives that `scripts/images --next` wrote."""
    return [os.path.join(folder, f"{name}.tar") for name in ("kv-node", "kv-operator", "kv-node-next")]


def next_image():
    """The image of kv-node that claims to be of the version after this one."""
    version = re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text(), re.M).group(1)
    return f"ringkv/kv-node:{version}-next"
