//! The plugin against an API server that answers as one does, as far as it is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::choose::find;
use super::look::look;
use super::reach::Server;
use super::{Error, orders};
use crate::command::Seen;
use crate::command::order::{self, Order, Ordered};
use crate::crd::KvCluster;
use crate::dataplane::{AdminClients, ClusterView, TlsSource};
use crate::exit::Exit;
use crate::platform::kubernetes::names;
use crate::platform::{ClusterIdentity, Inventory};

/// A server whose answers `answer` makes, of method, path and body.
fn server(
    answer: impl Fn(&str, &str, Value) -> (StatusCode, Value) + Clone + Send + 'static,
) -> Server {
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            let (status, told) = answer(head.method.as_str(), head.uri.path(), body);
            let mut response = Response::new(Full::new(Bytes::from(told.to_string())));
            *response.status_mut() = status;
            Ok::<_, tower::BoxError>(response)
        }
    });
    Server {
        client: Client::new(service, "there"),
        namespace: "there".to_owned(),
    }
}

fn refusal(code: StatusCode, reason: &str) -> (StatusCode, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": format!("the server says {reason}"), "metadata": {}
    });
    (code, status)
}

fn object(version: u64, orders: Option<&str>) -> Value {
    let annotations: BTreeMap<&str, &str> = orders
        .map(|text| (names::ORDERS, text))
        .into_iter()
        .collect();
    json!({
        "apiVersion": "ringkv.dev/v1alpha1", "kind": "KvCluster", "spec": {"nodes": 3},
        "metadata": {
            "name": "rides", "namespace": "there", "uid": "uid-1",
            "resourceVersion": version.to_string(), "annotations": annotations
        }
    })
}

fn cluster(value: Value) -> KvCluster {
    serde_json::from_value(value).expect("a KvCluster")
}

fn given_up() -> Ordered {
    let identity = ClusterIdentity {
        cluster_id: "c-1".into(),
        is_formed: true,
        founders: [].into(),
    };
    let seen = Seen {
        place: "there".into(),
        advice: "wait".into(),
        inventory: Inventory {
            identity: Some(identity),
            ..Inventory::default()
        },
        view: ClusterView::default(),
        clients: AdminClients::with(TlsSource::Nothing),
    };
    order::order(&seen, Order::GiveUp("c-1".into())).expect("its own id")
}

#[tokio::test]
async fn orders_that_somebody_else_gives_at_the_same_time_are_kept() {
    let read = cluster(object(1, None));
    // Since it was read somebody has drained a node.
    let kept = Arc::new(Mutex::new((2, Some(r#"{"drain": [9]}"#.to_owned()))));
    let at_work = Arc::clone(&kept);
    let server = server(move |method, path, body| {
        assert!(
            path.ends_with("/namespaces/there/kvclusters/rides"),
            "{path}"
        );
        let mut kept = at_work.lock().expect("no panic");
        let meta = &body["metadata"];
        if method == "PATCH" {
            let version = kept.0.to_string();
            if meta["resourceVersion"].as_str() != Some(version.as_str()) {
                return refusal(StatusCode::CONFLICT, "Conflict");
            }
            let text = meta["annotations"][names::ORDERS].as_str();
            *kept = (kept.0 + 1, text.map(str::to_owned));
        }
        (StatusCode::OK, object(kept.0, kept.1.as_deref()))
    });
    let ordered = given_up();
    orders::write(&server, read, &ordered)
        .await
        .expect("written");
    let (version, text) = kept.lock().expect("no panic").clone();
    let after = orders::of(&cluster(object(version, text.as_deref()))).expect("readable");
    assert_eq!((version, after.drain), (3, [9].into()));
    assert_eq!(after.give_up.as_deref(), Some("c-1"));
}

#[tokio::test]
async fn a_cluster_that_always_changes_is_given_up_after_some_tries() {
    let server = server(|method, _, _| match method {
        "PATCH" => refusal(StatusCode::CONFLICT, "Conflict"),
        _ => (StatusCode::OK, object(7, None)),
    });
    let read = cluster(object(1, None));
    let error = orders::write(&server, read, &given_up()).await;
    let error = error.expect_err("always another version");
    assert_eq!(error.exit(), Exit::TemporaryFailure, "{error}");
}

#[tokio::test]
async fn who_may_not_read_the_secret_is_told_which_permission_is_missing() {
    let server = server(|_, path, _| {
        assert!(path.ends_with("/secrets/rides-identity"), "{path}");
        refusal(StatusCode::FORBIDDEN, "Forbidden")
    });
    let error = look(&server, &cluster(object(1, None))).await;
    let error = error.expect_err("forbidden");
    assert_eq!(error.exit(), Exit::NoPermission);
    let text = error.to_string();
    assert!(
        text.contains("must allow get on secrets/rides-identity"),
        "{text}"
    );
}

#[tokio::test]
async fn a_cluster_that_is_not_made_yet_and_a_missing_definition_are_told() {
    let nothing = server(|_, _, _| refusal(StatusCode::NOT_FOUND, "NotFound"));
    let error = look(&nothing, &cluster(object(1, None))).await;
    assert!(matches!(error, Err(Error::NotMade { .. })), "{error:?}");
    let error = find(&nothing, Some("rides")).await;
    assert!(matches!(error, Err(Error::NotInstalled)), "{error:?}");
    let error = find(&nothing, None).await;
    assert!(matches!(error, Err(Error::NotInstalled)), "{error:?}");
}

#[tokio::test]
async fn a_name_that_is_wrong_is_answered_with_those_there_are() {
    let server = server(|_, path, _| {
        if path.ends_with("/kvclusters") {
            let list = json!({
                "apiVersion": "ringkv.dev/v1alpha1", "kind": "KvClusterList", "metadata": {},
                "items": [object(1, None)]
            });
            return (StatusCode::OK, list);
        }
        refusal(StatusCode::NOT_FOUND, "NotFound")
    });
    let error = find(&server, Some("ride")).await.expect_err("a typo");
    assert_eq!(
        error.to_string(),
        "there is no KvCluster ride in namespace there: there is rides"
    );
    let found = find(&server, None).await.expect("the only one");
    assert_eq!(found.metadata.name.as_deref(), Some("rides"));
}
