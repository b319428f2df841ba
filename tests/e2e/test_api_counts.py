"""`ItemCount` and the sizes of DescribeTable: exact here, also for indexes. DynamoDB Local counts items as exactly; of an index it counts the
bytes of the whole items, though, not of what is projected."""

import random

import pytest
from api.local import Local
from harness.client import Bare
from harness.wait import eventually

TABLE = {
    "TableName": "counted",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in "prgl"],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
    "GlobalSecondaryIndexes": [
        {"IndexName": "global", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}},
        {"IndexName": "keys", "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}], "Projection": {"ProjectionType": "KEYS_ONLY"}},
    ],
    "LocalSecondaryIndexes": [
        {
            "IndexName": "local",
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "l", "KeyType": "RANGE"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]},
        }
    ],
}


def described(server):
    return server.call("DescribeTable", TableName="counted")["Table"]


def counts(server):
    """(items, bytes) of the table and of each index."""
    table = described(server)
    found = {"": (table["ItemCount"], table["TableSizeBytes"])}
    for index in table["GlobalSecondaryIndexes"] + table["LocalSecondaryIndexes"]:
        found[index["IndexName"]] = (index["ItemCount"], index["IndexSizeBytes"])
    return found


def size(item):
    """Bytes of an item of strings and of numbers of five digits, by the service's rules."""
    return sum(len(name) + (len(value["S"]) if "S" in value else 4) for name, value in item.items())


def scanned(server, index):
    """(items, bytes) that are in an index."""
    items = server.call("Scan", TableName="counted", IndexName=index)["Items"]
    return len(items), sum(size(item) for item in items)


@pytest.fixture
def servers(dev, tmp_path):
    both = [Bare(dev().address), Bare(Local(tmp_path).address)]
    for server in both:
        server.call("CreateTable", **TABLE)
        eventually("the table is active", lambda s=server: described(s)["TableStatus"] == "ACTIVE")
    yield both
    for server in both:
        server.close()


def requests(seed):
    choose = random.Random(seed)
    for _ in range(120):
        key = {"p": {"S": choose.choice("ab")}, "r": {"S": str(choose.randrange(6))}}
        item = {name: {"S": choose.choice("uvw") * choose.randrange(1, 9)} for name in "glx" if choose.random() < 0.6}
        kind = choose.randrange(4)
        if kind == 0:
            yield "DeleteItem", {"Key": key}
        elif kind == 1:
            yield "UpdateItem", {"Key": key, "UpdateExpression": "SET n = :n REMOVE g, x", "ExpressionAttributeValues": {":n": {"N": "12345"}}}
        else:
            yield "PutItem", {"Item": key | item}


def test_counts_are_those_of_dynamodb_local(servers):
    ours, local = servers
    assert counts(ours) == counts(local) == {"": (0, 0), "global": (0, 0), "keys": (0, 0), "local": (0, 0)}
    for seed in (1, 2):
        for operation, parameters in requests(seed):
            for server in servers:
                server.call(operation, TableName="counted", **parameters)
        right = counts(local)
        items = {name: count for name, (count, _) in right.items()}

        # Global indexes follow the table.
        def agree(right=right, items=items):
            found = counts(ours)
            whole = all(found[name] == right[name] for name in ("", "global"))
            return whole and {name: count for name, (count, _) in found.items()} == items

        eventually(f"the counts are {right}", agree, seconds=20)
        for index in ("global", "keys", "local"):
            assert counts(ours)[index] == scanned(ours, index), index


def test_counts_survive_a_restart(dev, tmp_path):
    where = {"data_dir": str(tmp_path / "data")}
    node = dev(**where)
    server = Bare(node.address)
    server.call("CreateTable", **TABLE)
    eventually("the table is active", lambda: described(server)["TableStatus"] == "ACTIVE")
    for number in range(10):
        server.call("PutItem", TableName="counted", Item={"p": {"S": "a"}, "r": {"S": str(number)}})
    before = counts(server)
    assert before[""] == (10, 40)
    server.close()
    node.kill()
    server = Bare(dev(**where).address)
    # A partition without a leader is left out.
    eventually(f"the counts are {before}", lambda: counts(server) == before, seconds=20)
    server.close()
