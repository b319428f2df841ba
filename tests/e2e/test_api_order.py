"""Two mistakes in one request: the answer tells of the one that `api.pairs.ORDER` has first, in the words that it has alone.

DynamoDB Local keeps another order where it is a program of its own (it looks for the table first, and answers broken shapes itself):
`api/order_differences.json` has the lines of the order that it has the other way round. Each entry names one rule, one request that shows
it and one source; a difference that is not listed fails, and so does one that is no longer seen.
"""

import json
from pathlib import Path

import pytest
from api.cases import ITEM, TABLE
from api.local import Local
from api.pairs import ORDER, pairs, singles, stage
from harness.client import Bare, Refused
from harness.wait import eventually

KNOWN = Path(__file__).parent / "api" / "order_differences.json"


def answer(server, operation, parameters):
    try:
        server.call(operation, **parameters)
    except Refused as refused:
        return [refused.name, refused.message]
    return ["ok", ""]


@pytest.fixture
def servers(dev, tmp_path):
    both = [Bare(dev().address), Bare(Local(tmp_path).address)]
    for server in both:
        server.call("CreateTable", **TABLE)
        eventually("the table is active", lambda s=server: s.call("DescribeTable", TableName=TABLE["TableName"])["Table"]["TableStatus"] == "ACTIVE")
        server.call("PutItem", TableName=TABLE["TableName"], Item=ITEM)
    yield both
    for server in both:
        server.close()


def test_every_mistake_has_its_place_in_the_order():
    named = {(operation, mistake) for operation, lines in ORDER.items() for line in lines for mistake in line}
    assert named == {(operation, mistake) for operation, mistake, _ in singles()}


def is_about(told, alone, parameters):
    """Whether an answer is that of a mistake alone; parameters that exclude each other are told of together."""
    both = "Can not use both expression and non-expression parameters in the same request"
    return told == alone or alone[1].startswith(both) and told[1].startswith(both)


def test_of_two_mistakes_the_first_of_the_order_is_told(servers, say):
    ours, local = servers
    alone = {(id(server), operation, name): answer(server, operation, parameters) for operation, name, parameters in singles() for server in servers}
    fine = [key[1:] for key, told in alone.items() if told[0] == "ok"]
    assert not fine, f"no mistakes: {fine}"
    wrong, other_way, count = [], {}, 0
    for operation, first, second, parameters in pairs():
        count += 1
        told = answer(ours, operation, parameters)
        several = "validation errors detected" in told[1]
        if not is_about(told, alone[id(ours), operation, first], parameters) and not several:
            wrong.append({"operation": operation, "first": first, "second": second, "told": told})
        told = answer(local, operation, parameters)
        expected, unexpected = (alone[id(local), operation, name] for name in (first, second))
        if told == unexpected != expected:
            line = (operation, stage(operation, first), stage(operation, second))
            other_way.setdefault(line, [operation, first, second])
    report = "\n".join(json.dumps(one) for one in wrong[:20])
    assert not wrong, f"{len(wrong)} of {count} pairs are answered in another order:\n{report}"
    known = {tuple(entry["request"]): entry["rule"] for entry in json.loads(KNOWN.read_text())}
    seen = {tuple(request) for request in other_way.values()}
    report = "\n".join(json.dumps(one) for one in sorted(seen - set(known)))
    assert not report, f"DynamoDB Local has these the other way round, which is not listed:\n{report}"
    assert not set(known) - seen, f"differences that are no longer seen: {set(known) - seen}"
    say(f"{count} pairs of mistakes, {len(known)} lines that DynamoDB Local has the other way round")
