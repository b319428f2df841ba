//! The native API over real gRPC, on a whole node in memory.

mod support;
mod tables;

use std::time::Duration;

use kv_node::kv::{MESSAGE_BYTES_MAX, authorization};
use kv_proto::kv::*;
use prost::Message;
use support::{IntoValue as _, Server, detail, item, key, number, reason, strong, text};
use tonic::{Code, Request};

fn put(id: &str, n: &str) -> PutRequest {
    PutRequest {
        table: "hash".into(),
        item: Some(item(&[("a", text(id)), ("n", number(n))])),
        ..Default::default()
    }
}

fn get(id: &str) -> GetRequest {
    GetRequest {
        table: "hash".into(),
        key: Some(key(id)),
        consistency: Some(strong()),
        ..Default::default()
    }
}

fn values(pairs: &[(&str, Value)]) -> Placeholders {
    Placeholders {
        values: item(pairs).attributes,
        ..Default::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items_come_back_as_they_went() {
    let mut server = Server::start(&[]).await;
    let all = item(&[
        ("a", text("k")),
        ("n", number("12.5")),
        ("b", value::Kind::B(vec![0, 255].into()).into_value()),
        ("t", value::Kind::Bool(true).into_value()),
        ("z", value::Kind::Null(true).into_value()),
        (
            "m",
            value::Kind::M(item(&[("x\"\n", text("é"))])).into_value(),
        ),
        (
            "l",
            value::Kind::L(List {
                values: vec![text("1"), number("2")],
            })
            .into_value(),
        ),
        (
            "ss",
            value::Kind::Ss(Strings {
                values: vec!["p".into(), "q".into()],
            })
            .into_value(),
        ),
        (
            "ns",
            value::Kind::Ns(Strings {
                values: vec!["1".into(), "2".into()],
            })
            .into_value(),
        ),
        (
            "bs",
            value::Kind::Bs(Binaries {
                values: vec![vec![1].into()],
            })
            .into_value(),
        ),
    ]);
    let sent = PutRequest {
        item: Some(all.clone()),
        ..put("k", "1")
    };
    let written = server.kv.put(sent).await.expect("put");
    assert_eq!(
        written.metadata().get("x-request-id").expect("an id").len(),
        52
    );
    let got = server.kv.get(get("k")).await.expect("got").into_inner();
    assert_eq!(got.item, Some(all));
    let none = server
        .kv
        .get(get("other"))
        .await
        .expect("answered")
        .into_inner();
    assert_eq!(none.item, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_conditions_and_returns_work_as_over_http() {
    let mut server = Server::start(&[]).await;
    server.kv.put(put("k", "1")).await.expect("put");
    let update = UpdateRequest {
        table: "hash".into(),
        key: Some(key("k")),
        update: "ADD n :d".into(),
        condition: "n = :old".into(),
        placeholders: Some(values(&[(":d", number("2")), (":old", number("1"))])),
        return_values: ReturnValues::UpdatedNew.into(),
        return_on_failure: true,
        return_consumed: true,
        ..Default::default()
    };
    let updated = server
        .kv
        .update(update.clone())
        .await
        .expect("updated")
        .into_inner();
    assert_eq!(updated.attributes, Some(item(&[("n", number("3"))])));
    let consumed = updated.consumed.expect("asked for");
    assert_eq!((consumed.table.as_str(), consumed.units), ("hash", 1.0));

    let refused = server.kv.update(update).await.expect_err("n is 3 now");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason(&refused), "ConditionalCheckFailedException");
    let failed = detail(&refused, "ringkv.kv.v1.ConditionFailed").expect("asked for");
    let failed = ConditionFailed::decode(&failed[..]).expect("a message");
    assert_eq!(
        failed.item,
        Some(item(&[("a", text("k")), ("n", number("3"))]))
    );

    let delete = DeleteRequest {
        table: "hash".into(),
        key: Some(key("k")),
        return_values: ReturnValues::AllOld.into(),
        ..Default::default()
    };
    let deleted = server
        .kv
        .delete(delete)
        .await
        .expect("deleted")
        .into_inner();
    assert_eq!(deleted.attributes, failed.item);
    assert_eq!(
        server
            .kv
            .get(get("k"))
            .await
            .expect("got")
            .into_inner()
            .item,
        None
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_invalid_is_refused_in_the_same_words() {
    let mut server = Server::start(&[]).await;
    let cases = [
        (
            PutRequest {
                item: None,
                ..put("k", "1")
            },
            "1 validation error detected: Value null at 'item' failed to satisfy constraint: Member must not be null",
        ),
        (
            PutRequest {
                item: Some(item(&[("a", number("1"))])),
                ..put("k", "1")
            },
            "One or more parameter values were invalid: Type mismatch for key a expected: S actual: N",
        ),
        (
            PutRequest {
                item: Some(item(&[("a", Value { kind: None })])),
                ..put("k", "1")
            },
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        ),
        (
            PutRequest {
                return_values: ReturnValues::AllNew.into(),
                ..put("k", "1")
            },
            "ReturnValues can only be ALL_OLD or NONE",
        ),
        (
            PutRequest {
                return_values: 99,
                ..put("k", "1")
            },
            "99 is no ReturnValues",
        ),
        (
            PutRequest {
                context: vec![0; 4097].into(),
                ..put("k", "1")
            },
            "A context has at most 4096 bytes, this one has 4097",
        ),
    ];
    for (request, words) in cases {
        let refused = server.kv.put(request).await.expect_err(words);
        assert_eq!(
            (refused.code(), refused.message()),
            (Code::InvalidArgument, words)
        );
        assert_eq!(reason(&refused), "ValidationException");
        assert!(refused.metadata().contains_key("x-request-id"));
    }
    let nowhere = GetRequest {
        table: "nowhere".into(),
        ..get("k")
    };
    let refused = server.kv.get(nowhere).await.expect_err("no such table");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::NotFound, "ResourceNotFoundException")
    );
    let both = BatchRequest {
        reads: [("hash".to_owned(), Reads::default())].into(),
        writes: [("hash".to_owned(), Writes::default())].into(),
        ..Default::default()
    };
    let refused = server.kv.batch(both).await.expect_err("both");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quorum_comes_later_and_a_context_is_taken() {
    let mut server = Server::start(&[]).await;
    let quorum = || {
        let level = consistency::Level::Quorum(Quorum { r: 2, w: 2 });
        Some(Consistency { level: Some(level) })
    };
    let read = server
        .kv
        .get(GetRequest {
            consistency: quorum(),
            ..get("k")
        })
        .await;
    let write = server
        .kv
        .put(PutRequest {
            consistency: quorum(),
            ..put("k", "1")
        })
        .await;
    assert_eq!(read.expect_err("later").code(), Code::Unimplemented);
    assert_eq!(write.expect_err("later").code(), Code::Unimplemented);
    let context = vec![7; 4096].into();
    server
        .kv
        .put(PutRequest {
            context,
            ..put("k", "1")
        })
        .await
        .expect("put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_queries_and_streamed_scans() {
    let mut server = Server::start(&[]).await;
    let write = |n: u32| BatchWrite {
        write: Some(batch_write::Write::Put(item(&[
            ("a", text("k")),
            ("b", number(&n.to_string())),
            ("pad", text(&"x".repeat(100_000))),
        ]))),
        ..Default::default()
    };
    for chunk in [0..10, 10..20, 20..25] {
        let writes = Writes {
            writes: chunk.map(write).collect(),
        };
        let batch = BatchRequest {
            writes: [("range".to_owned(), writes)].into(),
            ..Default::default()
        };
        let reply = server.kv.batch(batch).await.expect("written").into_inner();
        assert!(reply.unprocessed_writes.is_empty());
    }
    let keys = (0..30).map(|n| item(&[("a", text("k")), ("b", number(&n.to_string()))]));
    let reads = Reads {
        keys: keys.collect(),
        projection: "#b".into(),
        names: [("#b".to_owned(), "b".to_owned())].into(),
        consistency: Some(strong()),
    };
    let batch = BatchRequest {
        reads: [("range".to_owned(), reads)].into(),
        ..Default::default()
    };
    let reply = server.kv.batch(batch).await.expect("read").into_inner();
    assert_eq!(reply.items["range"].items.len(), 25);

    let mut query = QueryRequest {
        table: "range".into(),
        key_condition: "a = :a AND b < :b".into(),
        placeholders: Some(values(&[(":a", text("k")), (":b", number("20"))])),
        backwards: true,
        limit: 7,
        consistency: Some(strong()),
        ..Default::default()
    };
    let mut sizes = Vec::new();
    loop {
        let page = server
            .kv
            .query(query.clone())
            .await
            .expect("a page")
            .into_inner();
        sizes.push(page.items.len());
        query.start_key = page.last_key;
        if query.start_key.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [7, 7, 6]);

    let scan = ScanRequest {
        table: "range".into(),
        consistency: Some(strong()),
        ..Default::default()
    };
    let mut stream = server
        .kv
        .scan(scan.clone())
        .await
        .expect("a stream")
        .into_inner();
    let (mut pages, mut items) = (0, 0);
    while let Some(page) = stream.message().await.expect("a page") {
        pages += 1;
        items += page.items.len();
    }
    // 2.5 MB in pages of 1 MiB.
    assert_eq!((pages, items), (3, 25));

    let limited = ScanRequest {
        limit: 12,
        ..scan.clone()
    };
    let mut stream = server
        .kv
        .scan(limited)
        .await
        .expect("a stream")
        .into_inner();
    let (mut scanned, mut last) = (0, None);
    while let Some(page) = stream.message().await.expect("a page") {
        scanned += page.scanned;
        last = page.last_key;
    }
    assert_eq!(scanned, 12);
    assert_eq!(last.expect("there is more").attributes["b"], number("11"));

    let wrong = ScanRequest {
        segment: 3,
        total_segments: 2,
        ..scan
    };
    let mut stream = server.kv.scan(wrong).await.expect("a stream").into_inner();
    let refused = stream.message().await.expect_err("no such segment");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_keys_calls_must_be_signed() {
    let mut server = Server::start(&[("me", "s3cret")]).await;
    let refused = server.kv.get(get("k")).await.expect_err("unsigned");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(reason(&refused), "MissingAuthenticationTokenException");
    let signed = |secret: &str| {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .expect("after 1970");
        let mut request = Request::new(put("k", "1"));
        let value = authorization("me", secret, "Put", now.as_secs());
        request
            .metadata_mut()
            .insert("authorization", value.parse().expect("ASCII"));
        request
    };
    let refused = server
        .kv
        .put(signed("wrong"))
        .await
        .expect_err("another secret");
    assert_eq!(reason(&refused), "InvalidSignatureException");
    // Let in; the table belongs to the account of the key.
    let answer = server
        .kv
        .put(signed("s3cret"))
        .await
        .expect_err("no table there");
    assert_eq!(answer.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_and_time_are_bounded() {
    let mut server = Server::start(&[]).await;
    let large = PutRequest {
        item: Some(item(&[("a", text(&"x".repeat(MESSAGE_BYTES_MAX)))])),
        ..put("k", "1")
    };
    let refused = server.kv.put(large).await.expect_err("too large");
    assert_eq!(refused.code(), Code::OutOfRange);
    let too_large_for_an_item = PutRequest {
        item: Some(item(&[("a", text("k")), ("b", text(&"x".repeat(500_000)))])),
        ..put("k", "1")
    };
    let refused = server
        .kv
        .put(too_large_for_an_item)
        .await
        .expect_err("too large");
    assert_eq!(
        refused.message(),
        "Item size has exceeded the maximum allowed size"
    );

    let mut hurried = Request::new(put("k", "1"));
    hurried.set_timeout(Duration::from_nanos(1));
    let refused = server.kv.put(hurried).await.expect_err("no time");
    assert!(
        matches!(refused.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{refused:?}"
    );
    let mut patient = Request::new(put("k", "1"));
    patient.set_timeout(Duration::from_secs(30));
    server.kv.put(patient).await.expect("put");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection_are_served() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let server = Server::start(&[]).await;
    let mut health = HealthClient::new(server.channel.clone());
    let asked = HealthCheckRequest {
        service: "ringkv.kv.v1.Kv".into(),
    };
    let answer = health.check(asked).await.expect("answered").into_inner();
    assert_eq!(answer.status, 1, "serving");
    let mut reflection = ServerReflectionClient::new(server.channel.clone());
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::once(asked))
        .await
        .expect("answered")
        .into_inner();
    let answer = answers
        .message()
        .await
        .expect("answered")
        .expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}");
    };
    assert!(
        list.service
            .iter()
            .any(|service| service.name == "ringkv.kv.v1.Kv")
    );
}
