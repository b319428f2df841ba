"""Limits of the service's quota page, one below, at and one above; and the words in which they are told, compared with DynamoDB Local.

`api/limit_differences.json` has where DynamoDB Local says something else: each entry names one rule, one request, both answers and a
source. One that is not listed fails, and so does one that is no longer seen.
"""

import json
import re
from pathlib import Path

import pytest
from api.limits import ITEM_BYTES, TABLES, cases, pages, sized
from api.local import Local
from harness.client import Bare, Refused
from harness.wait import eventually

KNOWN = Path(__file__).parent / "api" / "limit_differences.json"
SHOWN_MAX = 300


def status(server, table):
    return server.call("DescribeTable", TableName=table)["Table"]["TableStatus"]


def forget(server, table):
    """Deletes a table that was made by a case, as soon as it may be deleted."""

    def gone():
        try:
            server.call("DeleteTable", TableName=table)
        except Refused as refused:
            return refused.name == "ResourceNotFoundException"
        return False

    eventually(f"{table} is gone", gone)


def answer(server, operation, parameters):
    """`ok`, or the exception and its message, with long values cut."""
    try:
        server.call(operation, **parameters)
    except Refused as refused:
        message = refused.message
        if len(message) > SHOWN_MAX:
            message = re.sub(r"Value '.*' at '", "Value … at '", message, flags=re.DOTALL)
        return [refused.name, message]
    if operation == "CreateTable":
        forget(server, parameters["TableName"])
    return ["ok", ""]


@pytest.fixture
def servers(dev, tmp_path):
    both = [Bare(dev().address, seconds=30), Bare(Local(tmp_path).address, seconds=30)]
    for server in both:
        for table in TABLES:
            server.call("CreateTable", **table)
        for table in TABLES:
            eventually("the table is active", lambda s=server, t=table: status(s, t["TableName"]) == "ACTIVE")
    yield both
    for server in both:
        server.close()


def test_limits_are_kept_and_told_of(servers, say):
    ours, local = servers
    known = {tuple(entry["request"]): entry for entry in json.loads(KNOWN.read_text())}
    wrong, seen, count = [], set(), 0
    for name, operation, parameters, fits in cases():
        count += 1
        mine, theirs = (answer(server, operation, parameters) for server in (ours, local))
        request = (operation, name)
        if (mine[0] == "ok") != fits:
            wrong.append({"request": request, "ours": mine, "fits": fits})
        if request in known:
            seen.add(request)
            if [known[request]["ours"], known[request]["local"]] != [mine, theirs]:
                wrong.append({"request": request, "ours": mine, "local": theirs, "was": known[request]["rule"]})
        elif mine != theirs:
            wrong.append({"request": request, "ours": mine, "local": theirs})
    report = "\n".join(json.dumps(one) for one in wrong)
    assert not wrong, f"{len(wrong)} of {count} answers are wrong or differ and are not listed:\n{report}"
    gone = [entry["rule"] for request, entry in known.items() if request not in seen]
    assert not gone, f"differences that are no longer seen: {gone}"
    say(f"{count} requests at limits, {len(known)} known differences")


def counts(server, partition):
    """Items of each page of a query."""
    found, more = [], {}
    while True:
        values = {":p": {"S": partition}}
        page = server.call("Query", TableName="limits", KeyConditionExpression="p = :p", ExpressionAttributeValues=values, **more)
        found.append(page["Count"])
        if "LastEvaluatedKey" not in page:
            return found
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def test_pages_end_where_they_do_in_dynamodb_local(servers):
    for size, count in pages():
        partition = f"p{size}"
        for server in servers:
            for number in range(count):
                item = sized(size, p={"S": partition}, r={"S": f"{number:04}"})
                server.call("PutItem", TableName="limits", Item=item)
        ours, local = (counts(server, partition) for server in servers)
        assert ours == local, f"items of {size} bytes"


def test_a_batch_ends_at_16_mib(servers):
    """What is above is left for another request."""
    keys = [{"p": {"S": "batch"}, "r": {"S": f"{number:04}"}} for number in range(45)]
    found = []
    for server in servers:
        for key in keys:
            server.call("PutItem", TableName="limits", Item=sized(ITEM_BYTES, **key))
        got = server.call("BatchGetItem", RequestItems={"limits": {"Keys": keys}})
        left = got["UnprocessedKeys"].get("limits", {}).get("Keys", [])
        items = len(got["Responses"]["limits"])
        assert items + len(left) == len(keys)
        found.append(items)
    assert found[0] == found[1]
