"""HTTP as odd clients speak it: compressed bodies both ways."""

import gzip
import http.client
import json
import zlib

import pytest
from harness.client import SIGNED, create_table


@pytest.fixture
def call(dev):
    """Sends a body as it is; answers status, headers and the body as it came."""
    node = dev()
    create_table(node.client(), "things")
    connection = http.client.HTTPConnection(node.address, timeout=15)

    def send(operation, body, **headers):
        fixed = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810." + operation,
            "X-Amz-Date": "20260101T000000Z",
            "Authorization": SIGNED,
        }
        connection.request("POST", "/", body, fixed | {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()

    yield send
    connection.close()


def test_bodies_are_compressed_both_ways(call):
    item = {"id": {"S": "a"}, "text": {"S": "x" * 5000}}
    put = json.dumps({"TableName": "things", "Item": item}).encode()
    status, _, _ = call("PutItem", gzip.compress(put), Content_Encoding="gzip")
    assert status == 200
    get = json.dumps({"TableName": "things", "Key": {"id": {"S": "a"}}, "ConsistentRead": True})
    status, headers, body = call("GetItem", get, Accept_Encoding="gzip")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert int(headers["x-amz-crc32"]) == zlib.crc32(body), "the checksum is of what is on the wire"
    assert json.loads(gzip.decompress(body)) == {"Item": item}
    _, headers, body = call("GetItem", get)
    assert headers["Content-Encoding"] is None
    assert json.loads(body) == {"Item": item}
    _, headers, _ = call("ListTables", "{}", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] is None, "a small answer goes as it is"


def test_a_body_that_is_no_gzip_is_refused(call):
    status, _, body = call("ListTables", b"{}", Content_Encoding="gzip")
    assert status == 400
    assert json.loads(body)["__type"].endswith("#SerializationException")


def test_a_small_body_that_grows_beyond_the_bound_is_refused(call):
    status, _, body = call("ListTables", gzip.compress(b" " * (17 * 1024 * 1024)), Content_Encoding="gzip")
    assert status == 400
    assert json.loads(body)["__type"].endswith("#SerializationException")
