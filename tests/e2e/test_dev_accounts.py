"""Whose tables a client of `kv-node dev` sees: those of its access key and region, as in DynamoDB Local, or with `--shared-db` all."""

import pytest
from harness.client import create_table, dynamodb


def tables(node, access_key="one", region="us-east-1"):
    return dynamodb(node.url, access_key=access_key, region=region).list_tables()["TableNames"]


def test_each_key_and_region_has_its_own_tables(dev):
    node = dev()
    one = dynamodb(node.url, access_key="one")
    made = create_table(one, "things")
    assert made["TableArn"] == "arn:aws:dynamodb:us-east-1:000000000000:table/things"
    one.put_item(TableName="things", Item={"id": {"S": "a"}})
    assert tables(node) == ["things"]
    assert tables(node, access_key="two") == []
    assert tables(node, region="eu-west-1") == []
    two = dynamodb(node.url, access_key="two")
    with pytest.raises(two.exceptions.ResourceNotFoundException):
        two.get_item(TableName="things", Key={"id": {"S": "a"}})
    # The same name again is another table.
    create_table(two, "things")
    assert "Item" not in two.get_item(TableName="things", Key={"id": {"S": "a"}})
    two.delete_table(TableName="things")
    assert one.get_item(TableName=made["TableArn"], Key={"id": {"S": "a"}})["Item"] == {"id": {"S": "a"}}


def test_a_shared_database_is_one_for_all(dev):
    node = dev("--shared-db")
    create_table(dynamodb(node.url, access_key="one"), "things")
    assert tables(node, access_key="two", region="eu-west-1") == ["things"]


def test_a_key_that_is_too_long_is_refused(dev):
    client = dynamodb(dev().url, access_key="x" * 129)
    with pytest.raises(client.exceptions.ClientError) as refused:
        client.list_tables()
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"
