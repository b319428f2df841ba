"""Secondary indexes, streams and expiry of `kv-node dev` as boto3 sees them."""

import time

import pytest
from botocore.exceptions import ClientError

from harness.client import dynamodb
from harness.wait import eventually

ACTIVE_SECONDS = 20


def until(look, seconds):
    eventually("what the test wants to see", look, seconds)


def keys(hash_key, range_key=None):
    schema = [{"AttributeName": hash_key, "KeyType": "HASH"}]
    return schema + ([{"AttributeName": range_key, "KeyType": "RANGE"}] if range_key else [])


def index(name, hash_key, range_key=None, projection="ALL", more=()):
    kept = {"ProjectionType": projection} | ({"NonKeyAttributes": list(more)} if more else {})
    return {"IndexName": name, "KeySchema": keys(hash_key, range_key), "Projection": kept}


def make(client, name, attributes, hash_key, range_key=None, **options):
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in attributes],
        KeySchema=keys(hash_key, range_key),
        BillingMode="PAY_PER_REQUEST",
        **options,
    )
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": ACTIVE_SECONDS})


def strings(**values):
    return {name: {"S": value} for name, value in values.items()}


def query(client, table, name, key, value, **options):
    return client.query(
        TableName=table,
        IndexName=name,
        KeyConditionExpression=f"{key} = :v",
        ExpressionAttributeValues={":v": {"S": value}},
        **options,
    )


def found(client, table, name, key, value, column="a"):
    return sorted(item[column]["S"] for item in query(client, table, name, key, value)["Items"])


@pytest.fixture
def client(dev):
    return dynamodb(dev().url)


def test_local_indexes_are_read_strongly(client):
    make(client, "locals", "abc", "a", "b", LocalSecondaryIndexes=[index("by_c", "a", "c", "KEYS_ONLY")])
    for b, c in [("1", "z"), ("2", "y"), ("3", "x")]:
        client.put_item(TableName="locals", Item=strings(a="k", b=b, c=c, d="more"))
    read = query(client, "locals", "by_c", "a", "k", ConsistentRead=True)
    assert [item["b"]["S"] for item in read["Items"]] == ["3", "2", "1"]
    assert "d" not in read["Items"][0]
    client.update_item(
        TableName="locals",
        Key=strings(a="k", b="1"),
        UpdateExpression="SET c = :c",
        ExpressionAttributeValues={":c": {"S": "a"}},
    )
    client.delete_item(TableName="locals", Key=strings(a="k", b="2"))
    read = query(client, "locals", "by_c", "a", "k", ConsistentRead=True, Select="ALL_ATTRIBUTES")
    assert [(item["b"]["S"], item["d"]["S"]) for item in read["Items"]] == [("1", "more"), ("3", "more")]
    with pytest.raises(ClientError, match="secondary index key to unsupported type"):
        client.update_item(
            TableName="locals",
            Key=strings(a="k", b="1"),
            UpdateExpression="SET c = :c",
            ExpressionAttributeValues={":c": {"N": "1"}},
        )


def test_global_indexes_follow_their_table(client):
    make(client, "globals", "ac", "a", GlobalSecondaryIndexes=[index("of_c", "c", None, "INCLUDE", ["d"])])
    for a in "123":
        client.put_item(TableName="globals", Item=strings(a=a, c="x", d="kept", e="left"))
    until(lambda: found(client, "globals", "of_c", "c", "x") == ["1", "2", "3"], ACTIVE_SECONDS)
    assert set(query(client, "globals", "of_c", "c", "x")["Items"][0]) == {"a", "c", "d"}
    client.put_item(TableName="globals", Item=strings(a="1", c="y"))
    client.put_item(TableName="globals", Item=strings(a="2"))
    client.delete_item(TableName="globals", Key=strings(a="3"))
    until(lambda: found(client, "globals", "of_c", "c", "x") == [], ACTIVE_SECONDS)
    until(lambda: found(client, "globals", "of_c", "c", "y") == ["1"], ACTIVE_SECONDS)
    used = client.put_item(TableName="globals", Item=strings(a="1", c="z"), ReturnConsumedCapacity="INDEXES")
    used = used["ConsumedCapacity"]
    assert used["CapacityUnits"] == 3 and used["GlobalSecondaryIndexes"] == {"of_c": {"CapacityUnits": 2.0}}


def test_an_index_is_made_and_deleted_on_a_live_table(client):
    make(client, "live", "a", "a")
    for i in range(300):
        client.put_item(TableName="live", Item=strings(a=f"{i:03}", c=f"c{i % 3}"))
    client.update_table(
        TableName="live",
        AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in "ac"],
        GlobalSecondaryIndexUpdates=[{"Create": index("of_c", "c", "a")}],
    )

    def status():
        return client.describe_table(TableName="live")["Table"]

    described = status()["GlobalSecondaryIndexes"][0]
    assert described["IndexStatus"] in ("CREATING", "ACTIVE")
    client.put_item(TableName="live", Item=strings(a="new", c="c0"))
    until(lambda: status()["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE", ACTIVE_SECONDS)
    until(lambda: status()["TableStatus"] == "ACTIVE", ACTIVE_SECONDS)
    expected = sorted([f"{i:03}" for i in range(0, 300, 3)] + ["new"])
    until(lambda: found(client, "live", "of_c", "c", "c0") == expected, ACTIVE_SECONDS)
    client.update_table(TableName="live", GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "of_c"}}])
    until(lambda: "GlobalSecondaryIndexes" not in status(), ACTIVE_SECONDS)
    with pytest.raises(ClientError, match="does not have the specified index"):
        query(client, "live", "of_c", "c", "c0")


def test_expired_items_vanish(dev):
    client = dynamodb(dev("--ttl-interval", "1").url)
    make(client, "mortal", "a", "a")
    client.update_time_to_live(TableName="mortal", TimeToLiveSpecification={"AttributeName": "at", "Enabled": True})
    described = client.describe_time_to_live(TableName="mortal")["TimeToLiveDescription"]
    assert described == {"TimeToLiveStatus": "ENABLED", "AttributeName": "at"}
    now = int(time.time())
    for a, at in [("past", now - 60), ("future", now + 3600), ("ancient", now - 6 * 365 * 86400)]:
        client.put_item(TableName="mortal", Item={"a": {"S": a}, "at": {"N": str(at)}})

    def left():
        return sorted(item["a"]["S"] for item in client.scan(TableName="mortal")["Items"])

    until(lambda: left() == ["ancient", "future"], ACTIVE_SECONDS)
