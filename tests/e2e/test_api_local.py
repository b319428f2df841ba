"""The same requests to `kv-node dev` and to DynamoDB Local: answers differ only where `api/differences.json` says so, and why.

Each known difference names one rule, one request, both answers and a source. One that is not listed fails, and so does one that is
no longer seen.
"""

import json
from pathlib import Path

import pytest
from api.cases import ITEM, TABLE, cases
from api.local import Local
from api.random_requests import Requests
from api.statements import ITEMS, STATEMENTS
from harness.client import Bare, Refused
from harness.wait import eventually

KNOWN = Path(__file__).parent / "api" / "differences.json"


def answer(server, operation, parameters):
    try:
        got = server.call(operation, TableName=TABLE["TableName"], **parameters)
    except Refused as refused:
        return [refused.name, refused.message]
    # Local alone tells of capacity that nobody asked for.
    got.pop("ConsumedCapacity", None)
    return ["ok", got]


def plain(value):
    """Without the order of sets, which has no meaning."""
    if isinstance(value, dict):
        return {key: sorted(member) if key in ("SS", "NS", "BS") else plain(member) for key, member in value.items()}
    return [plain(member) for member in value] if isinstance(value, list) else value


@pytest.fixture
def servers(dev, tmp_path):
    both = [Bare(dev().address), Bare(Local(tmp_path).address)]
    for server in both:
        server.call("CreateTable", **TABLE)
        eventually("the table is active", lambda s=server: s.call("DescribeTable", TableName=TABLE["TableName"])["Table"]["TableStatus"] == "ACTIVE")
    yield both
    for server in both:
        server.close()


def test_answers_are_those_of_dynamodb_local(servers, say):
    ours, local = servers
    known = {json.dumps(entry["request"], sort_keys=True): entry for entry in json.loads(KNOWN.read_text())}
    wrong, seen, count = [], set(), 0
    for operation, parameters in cases():
        if operation != "DeleteItem":
            for server in servers:
                server.call("PutItem", TableName=TABLE["TableName"], Item=ITEM)
        mine, theirs = (plain(answer(server, operation, parameters)) for server in (ours, local))
        request = [operation, {name: value for name, value in parameters.items() if name != "Item"}]
        key, count = json.dumps(request, sort_keys=True), count + 1
        if key in known:
            entry = known[key]
            seen.add(key)
            if [entry["ours"], entry["local"]] != [mine, theirs]:
                wrong.append({"request": request, "ours": mine, "local": theirs, "was": entry["rule"]})
        elif mine != theirs:
            wrong.append({"request": request, "ours": mine, "local": theirs})
    gone = [entry["rule"] for key, entry in known.items() if key not in seen]
    report = "\n".join(json.dumps(one) for one in wrong[:20])
    assert not wrong, f"{len(wrong)} of {count} answers differ and are not listed:\n{report}"
    assert not gone, f"differences that are no longer seen: {gone}"
    say(f"{count} requests to both, {len(known)} known differences")


def run(server, statement):
    """The answer to a statement; what no partition key orders is sorted."""
    try:
        got = plain(server.call("ExecuteStatement", Statement=statement))
    except Refused as refused:
        return [refused.name, refused.message]
    got.pop("ConsumedCapacity", None)
    if "p = " not in statement:
        got["Items"].sort(key=lambda item: json.dumps(item, sort_keys=True))
    return ["ok", got]


def test_statements_are_answered_as_dynamodb_local_does(servers, say):
    wrong = []
    for statement in STATEMENTS:
        for server in servers:
            for item in server.call("Scan", TableName=TABLE["TableName"])["Items"]:
                server.call("DeleteItem", TableName=TABLE["TableName"], Key={name: item[name] for name in ("p", "r")})
            for item in ITEMS:
                server.call("PutItem", TableName=TABLE["TableName"], Item=item)
        ours, local = (run(server, statement) for server in servers)
        if ours != local:
            wrong.append({"statement": statement, "ours": ours, "local": local})
    report = "\n".join(json.dumps(one) for one in wrong)
    assert not wrong, f"{len(wrong)} of {len(STATEMENTS)} answers differ:\n{report}"
    say(f"{len(STATEMENTS)} statements to both")


SEEDS, REQUESTS = range(1, 41), 60


def test_random_requests_are_answered_as_dynamodb_local_does(servers, say):
    wrong = []
    for seed in SEEDS:
        requests = Requests(seed)
        for server in servers:
            for item in server.call("Scan", TableName=TABLE["TableName"])["Items"]:
                server.call("DeleteItem", TableName=TABLE["TableName"], Key={name: item[name] for name in ("p", "r")})
        for number in range(REQUESTS):
            operation, parameters = requests.one()
            answers = [plain(answer(server, operation, parameters)) for server in servers]
            if operation == "Scan":
                for _, got in (one for one in answers if one[0] == "ok"):
                    got["Items"].sort(key=lambda item: json.dumps(item, sort_keys=True))
            if answers[0] != answers[1]:
                wrong.append({"seed": seed, "number": number, "request": [operation, parameters], "ours": answers[0], "local": answers[1]})
                break
    report = "\n".join(json.dumps(one) for one in wrong[:10])
    assert not wrong, f"{len(wrong)} of {len(SEEDS)} seeds differ:\n{report}"
    say(f"{len(SEEDS) * REQUESTS} random requests to both")
