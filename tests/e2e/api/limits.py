"""Each limit of the service's quota page ("Quotas in Amazon DynamoDB", developer guide), one below, at and one above.

A case is (name, operation, parameters, whether it is within the limit). The tables of `TABLES` exist before, empty.
"""

import base64 as encoding

KEY = {"p": {"S": "a"}, "r": {"S": "b"}}
ITEM_BYTES = 400 * 1024


def attributes(**types):
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def keys(*names):
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)]


def table(name, types, key, **more):
    return {"TableName": name, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": attributes(**types), "KeySchema": keys(*key)} | more


def index(name, *key, projection=None):
    return {"IndexName": name, "KeySchema": keys(*key), "Projection": projection or {"ProjectionType": "KEYS_ONLY"}}


TABLES = [
    table(
        "limits",
        {"p": "S", "r": "S", "g": "S", "h": "S", "l": "S"},
        ("p", "r"),
        GlobalSecondaryIndexes=[index("global", "g", "h")],
        LocalSecondaryIndexes=[index("local", "p", "l")],
    ),
    table("binary", {"p": "B", "r": "B"}, ("p", "r")),
    table("numbers", {"p": "N", "r": "N"}, ("p", "r")),
    table("single", {"p": "S"}, ("p",)),
    *(table(f"ttl{length}", {"p": "S"}, ("p",)) for length in (254, 255, 256)),
]


def around(limit):
    """(length, whether it is within, words) of one below, at and above."""
    return [(limit - 1, True, f"{limit - 1}"), (limit, True, f"{limit}"), (limit + 1, False, f"{limit + 1}")]


def put(item, name="limits"):
    return "PutItem", {"TableName": name, "Item": item}


def sized(total, **attributes):
    """An item of `limits` of so many bytes: names and values of strings count by their length."""
    item = KEY | attributes
    used = sum(len(name) + len(value["S"]) for name, value in item.items())
    return item | {"x": {"S": "x" * (total - used - 1)}}


def items():
    for size, fits, words in around(ITEM_BYTES):
        yield f"an item of {words} bytes", *put(sized(size)), fits
        whole = {"TableName": "limits", "Key": KEY, "UpdateExpression": "SET x = :x", "ExpressionAttributeValues": {":x": sized(size)["x"]}}
        yield f"an update to {words} bytes", "UpdateItem", whole, fits
        batch = {"RequestItems": {"limits": [{"PutRequest": {"Item": sized(size)}}]}}
        yield f"an item of {words} bytes in a batch", "BatchWriteItem", batch, fits
        # Numbers take a byte for each two digits and one more; maps and lists 3 and one for each element.
        filler = KEY | {"n": {"N": "12345"}, "m": {"M": {"k": {"BOOL": True}}}, "l2": {"L": [{"NULL": True}, {"NS": ["1", "-20"]}]}}
        fixed = 4 + (1 + 4) + (1 + 3 + 1 + 1 + 1) + (2 + 3 + 2 + 1 + 2 + 2 + 1) + 1
        yield f"an item of many types of {words} bytes", *put(filler | {"x": {"S": "x" * (size - fixed)}}), fits
    for length, fits, words in around(2048):
        yield f"a partition key of {words} bytes", *put({"p": {"S": "x" * length}, "r": {"S": "b"}}), fits
        yield f"a partition key of {words} bytes in accents", *put({"p": {"S": "é" * (length // 2) + "x" * (length % 2)}, "r": {"S": "b"}}), fits
        yield f"a binary partition key of {words} bytes", *put({"p": {"B": base64(length)}, "r": {"B": "AA=="}}, "binary"), fits
        yield f"a partition key of {words} bytes to get", "GetItem", {"TableName": "limits", "Key": {"p": {"S": "x" * length}, "r": {"S": "b"}}}, fits
        yield f"a partition key of {words} bytes to delete", "DeleteItem", {"TableName": "limits", "Key": {"p": {"S": "x" * length}, "r": {"S": "b"}}}, fits
        condition = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "x" * length}}}
        yield f"a partition key of {words} bytes to query", "Query", {"TableName": "limits"} | condition, fits
        yield f"an index's partition key of {words} bytes", *put(KEY | {"g": {"S": "x" * length}, "h": {"S": "x"}}), fits
    for length, fits, words in around(1024):
        yield f"a sort key of {words} bytes", *put({"p": {"S": "a"}, "r": {"S": "x" * length}}), fits
        yield f"a binary sort key of {words} bytes", *put({"p": {"B": "AA=="}, "r": {"B": base64(length)}}, "binary"), fits
        yield f"a sort key of {words} bytes to get", "GetItem", {"TableName": "limits", "Key": {"p": {"S": "a"}, "r": {"S": "x" * length}}}, fits
        condition = {"KeyConditionExpression": "p = :p AND r = :r", "ExpressionAttributeValues": {":p": {"S": "a"}, ":r": {"S": "x" * length}}}
        yield f"a sort key of {words} bytes to query", "Query", {"TableName": "limits"} | condition, fits
        yield f"a global index's sort key of {words} bytes", *put(KEY | {"g": {"S": "x"}, "h": {"S": "x" * length}}), fits
        yield f"a local index's sort key of {words} bytes", *put(KEY | {"l": {"S": "x" * length}}), fits
    for name, empty in (("limits", {"S": ""}), ("binary", {"B": ""})):
        for part in ("p", "r"):
            other = {"S": "b"} if name == "limits" else {"B": "AA=="}
            yield f"an empty {part} of {name}", *put({"p": other, "r": other} | {part: empty}, name), False
    for length, fits, words in around(65535):
        yield f"an attribute's name of {words} bytes", *put(KEY | {"x" * length: {"S": ""}}), fits
        yield f"a name in a map of {words} bytes", *put(KEY | {"m": {"M": {"x" * length: {"S": ""}}}}), fits
    for depth, fits, words in around(32):
        for kind in "LM":
            value = {"S": "x"}
            for _ in range(depth - 1):
                value = {"L": [value]} if kind == "L" else {"M": {"a": value}}
            yield f"{kind} nested {words} deep", *put(KEY | {"x": value}), fits


def base64(length):
    return encoding.b64encode(b"x" * length).decode()


def numbers():
    for digits, fits, words in around(38):
        for sign in ("", "-"):
            for text in ("1" * digits, "1" * digits + "0" * 40, "0." + "0" * 60 + "1" * digits, "1." + "1" * (digits - 1)):
                yield f"{sign}{text}", *put(KEY | {"x": {"N": sign + text}}), fits
                if len(text) < 60:
                    yield f"the key {sign}{text}", *put({"p": {"N": sign + text}, "r": {"N": "1"}}, "numbers"), fits
        yield f"a set with {words} digits", *put(KEY | {"x": {"NS": ["1", "2" * digits]}}), fits
    for text, fits in (
        ("9.9999999999999999999999999999999999999E+125", True),
        ("1E+126", False),
        ("10E+125", False),
        ("-9.9999999999999999999999999999999999999E+125", True),
        ("-1E+126", False),
        ("1E-130", True),
        ("1E-131", False),
        ("0.1E-129", True),
        ("-1E-130", True),
        ("-9E-131", False),
        # A zero is judged by the place of its last digit.
        ("0E+500", False),
        ("0E+125", True),
        ("-0", True),
        ("1E+9999999999", False),
        ("1E-9999999999", False),
        ("+1", True),
        (".5", True),
        ("5.", True),
        ("1e5", True),
        (" 1", False),
        ("1_0", False),
        ("0x1", False),
        ("NaN", False),
        ("Infinity", False),
        ("", False),
        ("-", False),
        ("1E", False),
        ("٣", False),
    ):
        yield f"the number {text!r}", *put(KEY | {"x": {"N": text}}), fits
        plus = {"UpdateExpression": "SET y = :x + :x", "ExpressionAttributeValues": {":x": {"N": text}}}
        if fits and "E" not in text:
            yield f"the sum of twice {text!r}", "UpdateItem", {"TableName": "limits", "Key": KEY} | plus, True


def batches():
    def get(count):
        return {"RequestItems": {"single": {"Keys": [{"p": {"S": str(i)}} for i in range(count)]}}}

    def write(count):
        return {"RequestItems": {"single": [{"PutRequest": {"Item": {"p": {"S": str(i)}}}} for i in range(count)]}}

    def delete(count):
        return {"RequestItems": {"single": [{"DeleteRequest": {"Key": {"p": {"S": str(i)}}}} for i in range(count)]}}

    for count, fits, words in around(100):
        yield f"a batch of {words} reads", "BatchGetItem", get(count), fits
    for count, fits, words in around(25):
        yield f"a batch of {words} writes", "BatchWriteItem", write(count), fits
        yield f"a batch of {words} deletes", "BatchWriteItem", delete(count), fits
        two = write(count - 1)["RequestItems"] | {"numbers": [{"PutRequest": {"Item": {"p": {"N": "1"}, "r": {"N": "1"}}}}]}
        yield f"a batch of {words} writes to two tables", "BatchWriteItem", {"RequestItems": two}, fits
        statements = [{"Statement": f"SELECT * FROM single WHERE p = '{i}'"} for i in range(count)]
        yield f"a batch of {words} statements", "BatchExecuteStatement", {"Statements": statements}, fits


def expressions():
    value = {"ExpressionAttributeValues": {":v": {"S": "v"}}}

    def padded(text, length):
        return text + " " * (length - len(text))

    for length, fits, words in around(4096):
        yield f"a condition of {words} bytes", "PutItem", {"TableName": "limits", "Item": KEY, "ConditionExpression": padded("attribute_not_exists(y) OR y <> :v", length)} | value, fits
        update = {"UpdateExpression": padded("SET x = :v", length)}
        yield f"an update of {words} bytes", "UpdateItem", {"TableName": "limits", "Key": KEY} | update | value, fits
        yield f"a filter of {words} bytes", "Scan", {"TableName": "single", "FilterExpression": padded("x = :v", length)} | value, fits
        yield f"a projection of {words} bytes", "Scan", {"TableName": "single", "ProjectionExpression": padded("p", length)}, fits
        yield f"a key condition of {words} bytes", "Query", {"TableName": "single", "KeyConditionExpression": padded("p = :v", length)} | value, fits
    for count, fits, words in around(300):
        # So many comparisons, and one less ANDs between them.
        halves = (count + 1) // 2
        text = " AND ".join(["a<b"] * halves) if count % 2 else "NOT " + " AND ".join(["a<b"] * (halves))
        operators = 2 * halves - 1 + (0 if count % 2 else 1)
        assert operators == count
        yield f"a filter of {words} operators", "Scan", {"TableName": "single", "FilterExpression": text}, fits
    for count, fits, words in around(100):
        text = "x IN (" + ",".join([":v"] * count) + ")"
        yield f"IN of {words} operands", "Scan", {"TableName": "single", "FilterExpression": text} | value, fits
        statement = "SELECT * FROM single WHERE x IN [" + ",".join(["1"] * count) + "]"
        yield f"PartiQL's IN of {words} operands", "ExecuteStatement", {"Statement": statement}, fits
    for length, fits, words in around(255):
        name = "#" + "n" * (length - 1)
        yield f"a placeholder of a name of {words} characters", "Scan", {
            "TableName": "single",
            "ProjectionExpression": name,
            "ExpressionAttributeNames": {name: "p"},
        }, fits
        name = ":" + "v" * (length - 1)
        yield f"a placeholder of a value of {words} characters", "Scan", {
            "TableName": "single",
            "FilterExpression": f"x = {name}",
            "ExpressionAttributeValues": {name: {"S": "v"}},
        }, fits
    for length, fits, words in around(8192):
        statement = "SELECT * FROM single"
        yield f"a statement of {words} characters", "ExecuteStatement", {"Statement": padded(statement, length)}, fits


def tables():
    for length, fits, words in [(2, False, "2"), (3, True, "3"), (4, True, "4"), *around(255)]:
        yield f"a table's name of {words} characters", "CreateTable", table("t" * length, {"p": "S"}, ("p",)), fits
        more = {"GlobalSecondaryIndexes": [index("i" * length, "q")]}
        yield f"an index's name of {words} characters", "CreateTable", table(f"name{words}", {"p": "S", "q": "S"}, ("p",), **more), fits
    for length, fits, words in around(255):
        name = "k" * length
        yield f"a key's name of {words} characters", "CreateTable", table(f"key{words}", {name: "S"}, (name,)), fits
        more = {"GlobalSecondaryIndexes": [index("global", name)]}
        yield f"an index key's name of {words} characters", "CreateTable", table(f"ikey{words}", {"p": "S", name: "S"}, ("p",), **more), fits
        included = {"ProjectionType": "INCLUDE", "NonKeyAttributes": [name]}
        more = {"GlobalSecondaryIndexes": [index("global", "q", projection=included)]}
        yield f"a projected name of {words} characters", "CreateTable", table(f"proj{words}", {"p": "S", "q": "S"}, ("p",), **more), fits
    for count, fits, words in around(20):
        more = {"GlobalSecondaryIndexes": [index(f"global{i}", "q") for i in range(count)]}
        yield f"{words} global indexes", "CreateTable", table(f"globals{words}", {"p": "S", "q": "S"}, ("p",), **more), fits
        included = {"ProjectionType": "INCLUDE", "NonKeyAttributes": [f"a{i}" for i in range(count)]}
        more = {"GlobalSecondaryIndexes": [index("global", "q", projection=included)]}
        yield f"an index with {words} projected attributes", "CreateTable", table(f"included{words}", {"p": "S", "q": "S"}, ("p",), **more), fits
    for count, fits, words in around(5):
        more = {"LocalSecondaryIndexes": [index(f"local{i}", "p", "q") for i in range(count)]}
        yield f"{words} local indexes", "CreateTable", table(f"locals{words}", {"p": "S", "r": "S", "q": "S"}, ("p", "r"), **more), fits
    for count, fits, words in around(100):
        # At most 20 an index, so that only the sum of all is at its limit.
        names = [f"a{i}" for i in range(count)]
        parts = [names[i : i + 20] for i in range(0, count, 20)]
        indexes = [index(f"global{i}", "q", projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": part}) for i, part in enumerate(parts)]
        yield f"{words} projected attributes in all", "CreateTable", table(f"sum{words}", {"p": "S", "q": "S"}, ("p",), GlobalSecondaryIndexes=indexes), fits
    for count, fits, words in around(50):
        tags = [{"Key": f"k{i}", "Value": ""} for i in range(count)]
        yield f"a table with {words} tags", "CreateTable", table(f"tags{words}", {"p": "S"}, ("p",), Tags=tags), fits
    # The service raises its quota of 40,000 units on request; here there is none.
    for units, fits, words in ((0, False, "0"), (1, True, "1"), *((units, True, words) for units, _, words in around(40_000))):
        throughput = {"ReadCapacityUnits": units, "WriteCapacityUnits": 1}
        one = table(f"units{words}", {"p": "S"}, ("p",), ProvisionedThroughput=throughput) | {"BillingMode": "PROVISIONED"}
        yield f"{words} read units", "CreateTable", one, fits
    for length, fits, words in around(255):
        specification = {"AttributeName": "t" * length, "Enabled": True}
        yield f"an attribute of TTL of {words} characters", "UpdateTimeToLive", {"TableName": f"ttl{words}", "TimeToLiveSpecification": specification}, fits
    for limit, fits, words in [(0, False, "0"), (1, True, "1"), *around(100)]:
        yield f"a list of {words} tables", "ListTables", {"Limit": limit}, fits
    for segments, fits, words in [(0, False, "0"), (1, True, "1"), *around(1_000_000)]:
        yield f"{words} segments", "Scan", {"TableName": "single", "TotalSegments": segments, "Segment": 0}, fits
    for limit, fits in ((0, False), (1, True)):
        yield f"a limit of {limit}", "Scan", {"TableName": "single", "Limit": limit}, fits


def cases():
    for group in (items, numbers, batches, expressions, tables):
        yield from group()


def pages():
    """(bytes of an item, how many of them): a query's page ends with the item that reaches 1 MiB."""
    yield from ((ITEM_BYTES, 8), (104_857, 21), (104_858, 21), (131_072, 20), (10_000, 120))
