"""Clients: boto3 as anyone uses it, and a bare HTTP client for load, where boto3 would be the bottleneck."""

import http.client
import json
import socket

import boto3
from botocore.config import Config

REGION = "us-east-1"
#: Without configured keys a node checks the form of a signature, not the signature.
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=" + "0" * 64
)


def _options(url, access_key="any", secret_key="any", region=REGION, retries=0, seconds=15, **config):
    config = Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, connect_timeout=5, read_timeout=seconds, **config)
    return {"endpoint_url": url, "region_name": region, "aws_access_key_id": access_key, "aws_secret_access_key": secret_key, "config": config}


def dynamodb(url, **options):
    """The client of boto3; no retries unless asked for, so that a test sees every answer."""
    return boto3.session.Session().client("dynamodb", **_options(url, **options))


def dynamodb_streams(url, **options):
    return boto3.session.Session().client("dynamodbstreams", **_options(url, **options))


def resource(url, **options):
    return boto3.session.Session().resource("dynamodb", **_options(url, **options))


def create_table(client, name, sort_key=None):
    """A table with hash key `id` (a string) and maybe a numeric sort key; Active when this returns."""
    attributes = [{"AttributeName": "id", "AttributeType": "S"}]
    keys = [{"AttributeName": "id", "KeyType": "HASH"}]
    if sort_key:
        attributes.append({"AttributeName": sort_key, "AttributeType": "N"})
        keys.append({"AttributeName": sort_key, "KeyType": "RANGE"})
    answer = client.create_table(TableName=name, AttributeDefinitions=attributes, KeySchema=keys, BillingMode="PAY_PER_REQUEST")
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    return answer["TableDescription"]


class Refused(Exception):
    """An error that the service answered: its type, status and message."""

    def __init__(self, status, name, message):
        super().__init__(f"{status} {name}: {message}")
        self.status, self.name, self.message = status, name, message

    @property
    def outcome_is_known(self):
        """Whether the request certainly had no effect: refused (4xx), or not proposed (503)."""
        return self.status < 500 or self.status == 503


class Bare:
    """One keep-alive connection to one node. Raises `Refused`, or OSError/HTTPException if the connection breaks."""

    def __init__(self, address, seconds=12, service="dynamodb"):
        host, port = address.removeprefix("http://").rsplit(":", 1)
        self.connection = http.client.HTTPConnection(host, int(port), timeout=seconds)
        self.address = address
        self.target = {"dynamodb": "DynamoDB_20120810.", "dynamodbstreams": "DynamoDBStreams_20120810."}[service]

    def call(self, operation, **parameters):
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": self.target + operation,
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": SIGNED,
        }
        try:
            if self.connection.sock is None:
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connection.request("POST", "/", json.dumps(parameters), headers)
            response = self.connection.getresponse()
            body = response.read()
        except BaseException:
            self.connection.close()
            raise
        if response.status == 200:
            return json.loads(body or "{}")
        try:
            answer = json.loads(body)
        except ValueError:
            answer = {}
        name = answer.get("__type", "").rpartition("#")[2]
        raise Refused(response.status, name, answer.get("message", answer.get("Message", "")))

    def was_told_to_go(self):
        """Whether the node said with its last answer that it takes no further request on this connection."""
        return self.connection.sock is None

    def put(self, table, key, value, **parameters):
        return self.call("PutItem", TableName=table, Item={"id": {"S": key}, "v": {"N": str(value)}, **parameters})

    def get(self, table, key):
        """The value of a key by a strong read; None if there is no item."""
        item = self.call("GetItem", TableName=table, Key={"id": {"S": key}}, ConsistentRead=True).get("Item")
        return None if item is None else int(item["v"]["N"])

    def close(self):
        self.connection.close()
