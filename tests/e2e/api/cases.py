"""Requests that are sent to both servers, one after the other: legacy parameters, each operator with each type, and mistakes in pairs."""

KEY = {"p": {"S": "a"}, "r": {"N": "1"}}
TABLE = {
    "TableName": "cases",
    "BillingMode": "PAY_PER_REQUEST",
    "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}, {"AttributeName": "r", "AttributeType": "N"}],
    "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
}
ITEM = KEY | {
    "s": {"S": "xyz"},
    "n": {"N": "5"},
    "ss": {"SS": ["a", "b"]},
    "l": {"L": [{"S": "a"}]},
    "b": {"B": "YWI="},
    "m": {"M": {"x": {"S": "y"}}},
    "t": {"BOOL": True},
    "u": {"NULL": True},
}
OPERATORS = "EQ NE LE LT GE GT CONTAINS NOT_CONTAINS BEGINS_WITH IN BETWEEN NULL NOT_NULL".split()
VALUES = [{"SS": ["a"]}, {"L": []}, {"M": {}}, {"BOOL": True}, {"NULL": True}, {"N": "5"}, {"S": "x"}, {"B": "YWI="}]


def s(text):
    return {"S": text}


def n(text):
    return {"N": text}


def test(operator, *values):
    return {"ComparisonOperator": operator, "AttributeValueList": list(values)}


def arity(operator):
    return 2 if operator == "BETWEEN" else 0 if "NULL" in operator else 1


def expected():
    """`Expected` of PutItem, which leaves the item as it is if it succeeds."""
    for operator in OPERATORS:
        for value in VALUES if arity(operator) else VALUES[:1]:
            for attribute in ("s", "missing", "n", "ss", "l"):
                yield {attribute: test(operator, *[value] * arity(operator))}
        yield {"s": test(operator)}
        yield {"s": test(operator, s("a"), s("a"), s("a"))}
        yield {"s": {"ComparisonOperator": operator}}
        yield {"s": {"ComparisonOperator": operator, "Value": s("xyz")}}
    yield {}
    yield {"s": {}}
    for exists in (True, False):
        yield {"s": {"Exists": exists}}
        yield {"missing": {"Exists": exists}}
        yield {"s": {"Exists": exists, "Value": s("xyz")}}
        yield {"s": {"Exists": exists, "ComparisonOperator": "EQ"}}
        yield {"s": {"Exists": exists, "AttributeValueList": [s("x")]}}
    yield {"s": {"Value": s("xyz")}}
    yield {"s": {"Value": s("q")}}
    yield {"s": {"Value": s("q"), "AttributeValueList": [s("x")]}}
    yield {"s": {"AttributeValueList": [s("x")]}}
    yield {"s": test("IN", s("a"), n("1"))}
    yield {"s": test("IN", s("a"), s("a"), s("xyz"))}
    yield {"s": test("BETWEEN", s("a"), n("1"))}
    yield {"s": test("BETWEEN", s("b"), s("a"))}
    yield {"s": test("EQ", {})}
    yield {"s": {"Value": {}}}
    yield {"": {"Value": s("a")}}


def updates():
    """`AttributeUpdates` of an item that is put anew each time."""
    values = [*VALUES, {"NS": ["1"]}, {"BS": ["YQ=="]}, {"L": [s("z")]}, {"SS": ["a", "b"]}]
    for attribute in ("s", "n", "ss", "l", "new"):
        for action in ("PUT", "ADD", "DELETE"):
            yield {attribute: {"Action": action}}
            for value in values:
                yield {attribute: {"Action": action, "Value": value}}
    yield {}
    yield {"s": {}}
    yield {"s": {"Value": s("1")}, "n": {"Action": "ADD", "Value": n("1")}, "l": {"Action": "DELETE"}}
    yield {"p": {"Value": s("a")}}
    yield {"": {"Value": s("a")}}


def queries():
    hash_key = test("EQ", s("a"))
    yield {"KeyConditions": {}}
    for conditions in (
        {"p": hash_key},
        {"p": test("EQ", n("1"))},
        {"p": test("GT", s("1"))},
        {"p": test("EQ", {"SS": ["a"]})},
        {"p": test("EQ", s(""))},
        {"p": test("EQ")},
        {"p": hash_key, "r": test("EQ", n("1")), "z": test("EQ", n("1"))},
        {"p": hash_key, "r": test("BETWEEN", n("2"), n("1"))},
        {"p": hash_key, "r": test("BETWEEN", n("0"), n("1"))},
    ):
        yield {"KeyConditions": conditions}
    for operator in ("EQ", "LE", "LT", "GE", "GT", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH", "IN"):
        yield {"KeyConditions": {"p": hash_key, "r": test(operator, n("1"))}}
        yield {"KeyConditions": {"p": hash_key, "r": test(operator)}}
    base = {"KeyConditions": {"p": hash_key}}
    for rest in (
        {"QueryFilter": {}},
        {"QueryFilter": {"n": test("EQ", n("5"))}},
        {"QueryFilter": {"n": test("EQ", n("6"))}},
        {"QueryFilter": {"r": test("EQ", n("5"))}},
        {"QueryFilter": {"p": test("EQ", s("5"))}},
        {"QueryFilter": {"n": test("EQ", n("5")), "s": test("EQ", s("g"))}, "ConditionalOperator": "OR"},
        {"QueryFilter": {"n": test("EQ", n("5")), "s": test("EQ", s("g"))}, "ConditionalOperator": "AND"},
        {"ConditionalOperator": "OR"},
        {"QueryFilter": {"n": test("EQ", n("5"))}, "ConditionalOperator": "OR"},
        {"QueryFilter": {"n": test("EQ")}},
        {"FilterExpression": "n = :n", "ExpressionAttributeValues": {":n": n("5")}},
        {"KeyConditionExpression": "p = :n"},
        {"AttributesToGet": ["n"]},
        {"Select": "COUNT", "AttributesToGet": ["n"]},
        {"Select": "SPECIFIC_ATTRIBUTES"},
    ):
        yield base | rest
    yield {"QueryFilter": {"n": test("EQ", n("1"))}}
    yield {"QueryFilter": {"n": test("EQ", n("1"))}, "KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": s("a")}}


def scans():
    for rest in (
        {"ScanFilter": {}},
        {"ScanFilter": {"n": test("EQ", n("5"))}},
        {"ScanFilter": {"n": test("EQ", n("5")), "q": test("EQ", n("5"))}, "ConditionalOperator": "OR"},
        {"ScanFilter": {"n": test("IN", n("5"), s("a"))}},
        {"ScanFilter": {"n": test("EQ", n("5"))}, "ConditionalOperator": "OR"},
        {"ConditionalOperator": "OR"},
        {"ScanFilter": {"n": test("EQ", n("5"))}, "FilterExpression": "a = b"},
        {"ScanFilter": {"n": test("LT", {"SS": ["a"]})}},
        {"ScanFilter": {"n": test("EQ", n("5"))}, "AttributesToGet": ["n"]},
    ):
        yield rest


def cases():
    """Operation and parameters, in order; the item is as `ITEM` says before each."""
    for one in expected():
        yield "PutItem", {"Item": ITEM, "Expected": one}
    two = {"s": {"Value": s("xyz")}, "n": {"Value": n("1")}}
    for operator in ("AND", "OR"):
        for one in (two, {}, {"s": {"Value": s("xyz")}}):
            yield "PutItem", {"Item": ITEM, "Expected": one, "ConditionalOperator": operator}
    yield "PutItem", {"Item": ITEM, "ConditionalOperator": "OR"}
    yield "PutItem", {"Item": ITEM, "Expected": {"s": {}}, "ConditionExpression": "a = b"}
    for one in updates():
        yield "UpdateItem", {"Key": KEY, "AttributeUpdates": one, "ReturnValues": "UPDATED_NEW"}
    for clash in (
        {"AttributeUpdates": {"x": {"Value": s("b")}}, "UpdateExpression": "set a = :a"},
        {"AttributeUpdates": {"x": {"Value": s("b")}}, "ConditionExpression": "a = :a"},
        {"Expected": {"x": {"Value": s("b")}}, "UpdateExpression": "set a = :a", "ExpressionAttributeValues": {":a": s("b")}},
    ):
        yield "UpdateItem", {"Key": KEY} | clash
    for name, action in (("one", {"Action": "DELETE"}), ("two", {"Action": "DELETE", "Value": {"SS": ["a"]}}), ("three", {"Value": s("a")})):
        key = {"p": s(name), "r": n("1")}
        yield "UpdateItem", {"Key": key, "AttributeUpdates": {"x": action}, "ReturnValues": "ALL_NEW"}
        yield "DeleteItem", {"Key": key, "ReturnValues": "ALL_OLD"}
    for one in queries():
        yield "Query", one
    for one in scans():
        yield "Scan", one
