"""A `KvTable` of a test."""

from harness.wait import eventually


class KvTable:
    def __init__(self, cluster, name, **spec):
        self.kind, self.namespace, self.name = cluster.kind, cluster.namespace, name
        self.spec = {"clusterName": cluster.name, "keys": {"partition": {"name": "id", "type": "String"}}} | spec

    def apply(self, **spec):
        """Applies the spec, changed by `spec`; a field that is None is left out."""
        self.spec = {key: value for key, value in (self.spec | spec).items() if value is not None}
        self.kind.apply(self.object(), namespace=self.namespace)
        return self

    def object(self):
        return {"apiVersion": "ringkv.dev/v1alpha1", "kind": "KvTable", "metadata": {"name": self.name}, "spec": self.spec}

    def get(self):
        return self.kind.find("kvtable", self.name, self.namespace)

    def status(self):
        return (self.get() or {}).get("status", {})

    def finalizers(self):
        return (self.get() or {"metadata": {}})["metadata"].get("finalizers", [])

    def condition(self, name):
        """(status, reason, message) of a condition, for the newest spec; nothing before it was looked at."""
        found = self.get() or {}
        for condition in found.get("status", {}).get("conditions", []):
            if condition["type"] == name and condition.get("observedGeneration") == found["metadata"]["generation"]:
                return condition["status"], condition["reason"], condition["message"]
        return "", "", ""

    def wait(self, name, reason, seconds=60):
        """Waits until a condition has this reason; its message."""
        eventually(f"{name} of {self.name} to be {reason}, {self.status()}", lambda: self.condition(name)[1] == reason, seconds, every=0.2)
        return self.condition(name)[2]

    def wait_ready(self, seconds=60):
        self.wait("Ready", "TableActive", seconds)
        return self

    def delete(self, seconds=60):
        """Deletes it, and waits until it is gone."""
        self.kind.kubectl("delete", "kvtable", self.name, "-n", self.namespace, "--wait=false", seconds=seconds)
        eventually(f"{self.name} to go, {self.status()}", lambda: self.get() is None, seconds, every=0.2)

    def events(self):
        """Reasons of its events."""
        events = self.kind.get("events", self.namespace)
        return [event["reason"] for event in events if event["involvedObject"]["name"] == self.name and event["involvedObject"]["kind"] == "KvTable"]

    def wait_event(self, reason):
        eventually(f"an event {reason} of {self.name}", lambda: reason in self.events(), 30, every=0.5)
