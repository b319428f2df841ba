"""A `KvCluster` of a test, in a namespace of its own."""

import base64
import json

from harness.client import dynamodb
from harness.wait import eventually

#: From images that are loaded, with all workers idle.
READY_SECONDS = 60


class KvCluster:
    def __init__(self, kind, namespace, name="rides", **spec):
        self.kind, self.namespace, self.name = kind, namespace, name
        self.spec = {"nodes": 3, "zones": ["zone-a", "zone-b", "zone-c"], "storage": {"size": "1Gi"}, "auth": {"mode": "None"}} | spec

    def apply(self, **spec):
        """Applies the spec, changed by `spec`; a field that is None is left out."""
        self.spec = {key: value for key, value in (self.spec | spec).items() if value is not None}
        self.kind.apply(self.object(), namespace=self.namespace)
        return self

    def object(self):
        return {"apiVersion": "ringkv.dev/v1alpha1", "kind": "KvCluster", "metadata": {"name": self.name}, "spec": self.spec}

    def get(self):
        return self.kind.find("kvcluster", self.name, self.namespace)

    def status(self):
        return (self.get() or {}).get("status", {})

    def condition(self, name):
        """(status, reason, message) of a condition, for the newest spec; nothing before it was looked at."""
        found = self.get() or {}
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == name and condition.get("observedGeneration") == found["metadata"]["generation"]:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def wait_ready(self, seconds=READY_SECONDS):
        """Answers after how many seconds it is Ready."""
        import time

        begin = time.monotonic()
        eventually(f"{self.name} to be Ready, {self.told()}", lambda: self.condition("Ready")[0] == "True", seconds, every=0.2)
        return time.monotonic() - begin

    def settle(self, nodes, seconds=240):
        """Waits until there are so many nodes, all up, and nothing more to do."""

        def look():
            status = self.status()
            up = [node for node in status.get("nodes", []) if node["state"] == "Up"]
            return len(up) == nodes == len(status["nodes"]) and self.condition("Progressing")[0] == "False" and self.condition("Ready")[0] == "True"

        eventually(f"{nodes} nodes of {self.name}", look, seconds, every=0.5)

    def told(self):
        return {name: self.condition(name)[1:] for name in ("Ready", "Progressing", "Degraded")}

    def pods(self):
        """The nodes' pods by name."""
        pods = self.kind.get("pods", self.namespace, f"ringkv.dev/cluster={self.name}")
        return {pod["metadata"]["name"]: pod for pod in pods}

    def uids(self):
        return {name: pod["metadata"]["uid"] for name, pod in self.pods().items()}

    def volumes(self):
        volumes = self.kind.get("pvc", self.namespace, f"ringkv.dev/cluster={self.name}")
        return {volume["metadata"]["name"]: volume for volume in volumes}

    def url(self):
        """The client Service, at its own address: names of the cluster are not known outside of it."""
        service = self.kind.find("service", self.name, self.namespace)
        return f"http://{service['spec']['clusterIP']}:8000"

    def credentials(self):
        data = self.kind.find("secret", f"{self.name}-credentials", self.namespace)["data"]
        return [base64.b64decode(data[key]).decode() for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]

    def client(self, **options):
        return dynamodb(self.url(), **options)

    def delete(self, seconds=60):
        """Deletes it, and waits until its pods are gone."""
        self.kind.kubectl("delete", "kvcluster", self.name, "-n", self.namespace, "--ignore-not-found", seconds=seconds)
        eventually(f"the pods of {self.name} to go", lambda: not self.pods(), seconds, every=0.5)

    def events(self):
        events = self.kind.get("events", self.namespace)
        return [event for event in events if event["involvedObject"]["name"] == self.name]

    def scale(self, nodes):
        self.spec["nodes"] = nodes
        self.kind.kubectl("scale", f"kvcluster/{self.name}", f"--replicas={nodes}", "-n", self.namespace)

    def __repr__(self):
        return json.dumps(self.status(), indent=1)
