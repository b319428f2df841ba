"""Random requests on items, valid and nearly so, from a seed: the same seed makes the same requests.

Left out is where DynamoDB Local is known not to be the service, or where two mistakes meet whose order nobody promises: keys that don't
fit the schema, numbers that are not in their shortest form, updates of a new item that set nothing, paths that overlap, `ADD` beside
`DELETE`, and bounds of `BETWEEN` that are binary.
"""

import random

HASHES = ["a", "b", "c"]
ATTRIBUTES = ["n", "s", "l", "m", "ss", "ns", "flag", "none"]
PATHS = [*ATTRIBUTES, "m.x", "m.y", "l[0]", "l[1]", "m.x.z"]
COMPARISONS = ["=", "<>", "<", "<=", ">", ">="]


class Requests:
    """Yields (operation, parameters) on the table of `api.cases`."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.names, self.values = {}, {}

    def chance(self, percent):
        return self.random.randrange(100) < percent

    def key(self):
        return {"p": {"S": self.random.choice(HASHES)}, "r": {"N": str(self.random.randrange(4))}}

    def number(self):
        return self.random.choice(["0", "-1", "2", "3.5", "100", "-0.001", "12345678901234567890", str(self.random.randrange(10))])

    def value(self, depth=0):
        """Any of the ten types but the set of binaries."""
        kinds = ["S", "N", "BOOL", "NULL", "SS", "NS", "B"] + (["L", "M"] if depth < 2 else [])
        kind = self.random.choice(kinds)
        if kind == "S":
            return {"S": self.random.choice(["", "x", "xyz", "abc", "é"])}
        if kind == "N":
            return {"N": self.number()}
        if kind == "BOOL":
            return {"BOOL": self.chance(50)}
        if kind == "NULL":
            return {"NULL": True}
        if kind == "B":
            return {"B": self.random.choice(["YQ==", "YWI=", ""])}
        if kind == "SS":
            return {"SS": self.random.sample(["a", "b", "x", "xyz"], self.random.randrange(1, 4))}
        if kind == "NS":
            return {"NS": self.random.sample(["1", "2", "3.5", "-4"], self.random.randrange(1, 4))}
        if kind == "L":
            return {"L": [self.value(depth + 1) for _ in range(self.random.randrange(3))]}
        return {"M": {name: self.value(depth + 1) for name in self.random.sample(["x", "y", "z"], self.random.randrange(3))}}

    def item(self):
        item = self.key()
        for name in self.random.sample(ATTRIBUTES, self.random.randrange(len(ATTRIBUTES))):
            item[name] = self.value()
        if self.chance(60):
            item["n"] = {"N": self.number()}
        return item

    # Expressions

    def path(self):
        path = self.random.choice(PATHS)
        head, dot, rest = path.partition(".")
        head, bracket, index = head.partition("[")
        return self.attribute(head) + bracket + index + dot + rest

    def placeholder(self, value):
        name = f":v{len(self.values)}"
        self.values[name] = value
        return name

    def literal(self):
        return self.placeholder(self.value())

    def bound(self):
        return self.placeholder(self.random.choice([{"N": self.random.choice("259")}, {"S": self.random.choice(["a", "x"])}]))

    def operand(self):
        if self.chance(60):
            return self.literal()
        return f"size({self.path()})" if self.chance(20) else self.path()

    def condition(self, depth=0):
        kind = self.random.randrange(10 if depth < 2 else 7)
        if kind < 3:
            return f"{self.path()} {self.random.choice(COMPARISONS)} {self.operand()}"
        if kind == 3:
            return f"{self.random.choice(['attribute_exists', 'attribute_not_exists'])}({self.path()})"
        if kind == 4:
            return f"{self.random.choice(['begins_with', 'contains'])}({self.path()}, {self.literal()})"
        if kind == 5:
            return f"{self.path()} IN ({self.operand()}, {self.operand()})"
        if kind == 6:
            return f"{self.path()} BETWEEN {self.bound()} AND {self.bound()}"
        if kind == 7:
            return f"NOT ({self.condition(depth + 1)})"
        joiner = "AND" if kind == 8 else "OR"
        return f"({self.condition(depth + 1)} {joiner} {self.condition(depth + 1)})"

    def attribute(self, name):
        self.names[f"#{name}"] = name
        return f"#{name}"

    def update(self):
        """Attributes are each named once on the left, and one is always set, for a new item too."""
        first, second, third, fourth, fifth = self.random.sample(ATTRIBUTES, 5)
        clauses = [f"SET {self.attribute(first)} = {self.literal()}"]
        if self.chance(60):
            clauses[0] += f", {self.assignment(self.attribute(second))}"
        if self.chance(30):
            clauses.append(f"REMOVE {self.attribute(third)}")
        if self.chance(25):
            clauses.append(f"ADD {self.attribute(fourth)} {self.literal()}")
        elif self.chance(20):
            clauses.append(f"DELETE {self.attribute(fifth)} {self.literal()}")
        return " ".join(clauses)

    def assignment(self, path):
        kind = self.random.randrange(4)
        if kind == 0:
            return f"{path} = {path} {self.random.choice('+-')} {self.literal()}"
        if kind == 1:
            return f"{path} = if_not_exists({self.path()}, {self.literal()})"
        if kind == 2:
            return f"{path} = list_append({path}, {self.literal()})"
        return f"{path} = {self.path()}"

    def placeholders(self, parameters):
        if self.names:
            parameters["ExpressionAttributeNames"] = self.names
        if self.values:
            parameters["ExpressionAttributeValues"] = self.values
        self.names, self.values = {}, {}
        return parameters

    def one(self):
        operation = self.random.choice("PutItem PutItem UpdateItem UpdateItem UpdateItem DeleteItem GetItem Query Query Scan".split())
        parameters = {}
        if operation == "PutItem":
            parameters["Item"] = self.item()
        elif operation in ("UpdateItem", "DeleteItem", "GetItem"):
            parameters["Key"] = self.key()
        if operation == "UpdateItem":
            parameters["UpdateExpression"] = self.update()
            parameters["ReturnValues"] = self.random.choice("NONE ALL_OLD ALL_NEW UPDATED_OLD UPDATED_NEW".split())
        if operation in ("PutItem", "DeleteItem"):
            parameters["ReturnValues"] = self.random.choice(["NONE", "ALL_OLD"])
        if operation in ("PutItem", "UpdateItem", "DeleteItem") and self.chance(40):
            parameters["ConditionExpression"] = self.condition()
            if self.chance(50):
                parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if operation in ("GetItem", "Query", "Scan"):
            parameters["ConsistentRead"] = True
            if self.chance(30):
                # Paths that overlap are told of in an order that nobody promises.
                names = self.random.sample(ATTRIBUTES, 2)
                self.names |= {f"#{name}": name for name in names}
                parameters["ProjectionExpression"] = ", ".join(f"#{name}" for name in names)
        if operation == "Query":
            self.values[":p"] = {"S": self.random.choice(HASHES)}
            condition = "p = :p"
            if self.chance(40):
                self.values[":r"] = {"N": str(self.random.randrange(4))}
                condition += f" AND r {self.random.choice(['=', '<', '<=', '>', '>='])} :r"
            else:
                # With a bound Local tells of no last key where the limit and the bound meet; the service always does at a limit.
                parameters |= {"Limit": self.random.randrange(1, 4)} if self.chance(50) else {}
            parameters["KeyConditionExpression"] = condition
            parameters["ScanIndexForward"] = self.chance(50)
        if operation in ("Query", "Scan") and self.chance(50):
            parameters["FilterExpression"] = self.condition()
        return operation, self.placeholders(parameters)
