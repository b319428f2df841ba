"""Load that one node can't spread by itself: leaders go to colder nodes, a partition that is too much for its node is split, a key is named."""

import json
import threading
import time

from harness.client import Bare, create_table
from harness.wait import eventually

TABLE = "rides"


class Hammer:
    """Strong reads of some keys through one node, and what came of them."""

    def __init__(self, url, keys, workers=3):
        self.url, self.keys = url, keys
        self.served, self.failed = 0, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(workers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(20)

    def _run(self, turn):
        connection = Bare(self.url)
        while not self.stopping.is_set():
            turn += 1
            try:
                connection.call("GetItem", TableName=TABLE, Key=self.keys[turn * 7 % len(self.keys)], ConsistentRead=True)
                self.served += 1
            except Exception as error:
                self.failed.append(repr(error))
                return


def top(rides, kind):
    status, out, err = rides.run("top", kind, "-o", "json")
    assert status == 0, err
    return json.loads(out)


def leaders(rides):
    return [node["leaders"] for node in rides.status().get("nodes", [])]


def test_leaders_of_idle_partitions_are_spread(cluster, say):
    rides = cluster()
    rides.start()
    for n in range(3):
        create_table(rides.client(), f"{TABLE}-{n}")

    def spread():
        led = leaders(rides)
        return led if len(led) == 3 and sum(led) >= 12 and max(led) - min(led) <= 2 else None

    say(f"leaders a node: {eventually('leaders spread evenly', spread, 60, every=0.5)}")


def test_a_hot_partition_is_split_and_its_parts_are_led_apart(cluster, say):
    rides = cluster()
    rides.start()
    client = rides.client()
    create_table(client, TABLE, "at")
    keys = [{"id": {"S": "hot"}, "at": {"N": str(n)}} for n in range(200)]
    for key in keys:
        client.put_item(TableName=TABLE, Item=key | {"v": {"S": "x" * 50}})
    begin = time.monotonic()
    with Hammer(rides.urls()[0], keys) as hammer:

        def parts():
            busy = [part for part in top(rides, "partitions") if part["readsPerSecond"] > 50]
            return busy if len({part["leader"] for part in busy}) >= 2 and len(busy) >= 2 else None

        busy = eventually("busy parts that are led apart", parts, 60, every=0.2)
        say(f"{len(busy)} busy parts on {len({part['leader'] for part in busy})} nodes after {time.monotonic() - begin:.1f} s: {busy}")
        nodes = top(rides, "nodes")
        assert sum(node["readsPerSecond"] for node in nodes) > 100 and all(node["cpu"] > 0 for node in nodes), nodes
    assert not hammer.failed, hammer.failed[:3]
    found = client.query(TableName=TABLE, KeyConditionExpression="id = :id", ExpressionAttributeValues={":id": {"S": "hot"}}, ConsistentRead=True)
    assert found["Count"] == len(keys)


def test_a_key_that_no_split_helps_is_named(cluster, say):
    rides = cluster()
    rides.start()
    client = rides.client()
    create_table(client, TABLE)
    key = {"id": {"S": "the one"}}
    client.put_item(TableName=TABLE, Item=key)
    with Hammer(rides.urls()[0], [key]) as hammer:
        message = rides.waits_for("HotKey", "True", "KeyTooHot", seconds=60)
        assert "the one" not in message
        keys = top(rides, "keys")
        assert json.loads(keys[0]["key"]) == key and keys[0]["table"] == TABLE and keys[0]["requestsPerSecond"] > 100, keys
        say(f"{hammer.served} reads; {message}")
    assert not hammer.failed, hammer.failed[:3]
    rides.waits_for("HotKey", "False", seconds=60)
