//! A person's orders on Kubernetes: the annotation `ringkv.dev/orders` of the `KvCluster`. Commands write it, the operator only reads it;
//! orders that are carried out are dropped by the next command that writes.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::Error;
use super::choose::{self, RESOURCE};
use super::reach::Server;
use crate::command::order::Ordered;
use crate::crd::KvCluster;
use crate::plan::orders::Orders;
use crate::platform::kubernetes::names;

/// Who the API server says has written them.
const MANAGER: &str = "kubectl-ringkv";
/// How often it is tried to write over somebody else's change; the operator writes the status once a second at most.
const TRIES_MAX: usize = 10;

/// The orders in force.
pub fn of(object: &KvCluster) -> Result<Orders, Error> {
    let Some(text) = names::annotation(&object.metadata, names::ORDERS) else {
        return Ok(Orders::default());
    };
    serde_json::from_str(text).map_err(|source| Error::Orders {
        annotation: names::ORDERS,
        name: object.name_any(),
        source,
    })
}

/// Adds an order to those in force. What others write at the same time is kept.
pub async fn write(server: &Server, object: KvCluster, ordered: &Ordered) -> Result<(), Error> {
    let api = server.api::<KvCluster>();
    let (name, uid) = (object.name_any(), object.metadata.uid.clone());
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let mut object = object;
    for _ in 0..TRIES_MAX {
        let Some(patch) = patch(&object, |orders| ordered.apply(orders))? else {
            return Ok(());
        };
        let patch = Patch::Merge(&patch);
        let request = api.patch_metadata(&name, &params, &patch);
        match server.call("patch", RESOURCE, request).await {
            Err(Error::Api { source, .. }) if is_conflict(&source) => {}
            result => return result.map(|_| ()),
        }
        object = choose::find(server, Some(&name)).await?;
        if object.metadata.uid != uid {
            break;
        }
    }
    Err(Error::Conflict {
        name,
        tries: TRIES_MAX,
    })
}

/// What changes the orders of just this object as it was read; nothing if they are so already.
fn patch(object: &KvCluster, change: impl FnOnce(&mut Orders)) -> Result<Option<Value>, Error> {
    let before = of(object)?;
    let mut orders = before.clone();
    change(&mut orders);
    if orders == before {
        return Ok(None);
    }
    let text = if orders == Orders::default() {
        Value::Null
    } else {
        Value::from(serde_json::to_string(&orders).map_err(Error::Json)?)
    };
    // With it the API server refuses what was made of an older object.
    let version = object.metadata.resource_version.as_ref();
    Ok(Some(json!({
        "metadata": {"resourceVersion": version, "annotations": {names::ORDERS: text}}
    })))
}

fn is_conflict(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::KvClusterSpec;

    fn cluster(orders: Option<&str>) -> KvCluster {
        let mut object = KvCluster::new("rides", KvClusterSpec::default());
        object.metadata.resource_version = Some("7".into());
        if let Some(text) = orders {
            let annotations = object.annotations_mut();
            annotations.insert(names::ORDERS.into(), text.into());
        }
        object
    }

    #[test]
    fn an_order_joins_those_in_force_at_the_version_that_was_read() {
        let object = cluster(Some(r#"{"restart": {"1": 4}}"#));
        let sent = patch(&object, |orders| _ = orders.drain.insert(2));
        let sent = sent.expect("readable").expect("a change");
        assert_eq!(sent["metadata"]["resourceVersion"], "7");
        let text = sent["metadata"]["annotations"][names::ORDERS].as_str();
        let orders: Orders = serde_json::from_str(text.expect("a text")).expect("orders");
        let expected = Orders {
            restart: [(1, 4)].into(),
            drain: [2].into(),
            ..Orders::default()
        };
        assert_eq!(orders, expected);
    }

    #[test]
    fn what_is_so_already_is_not_sent_and_nothing_leaves_no_annotation() {
        let object = cluster(Some(r#"{"drain": [2]}"#));
        let same = patch(&object, |orders| _ = orders.drain.insert(2));
        assert_eq!(same.expect("readable"), None);
        let none = patch(&object, |orders| _ = orders.drain.remove(&2));
        let none = none.expect("readable").expect("a change");
        let annotations = &none["metadata"]["annotations"];
        assert!(annotations.as_object().is_some_and(|all| all.len() == 1));
        assert!(annotations[names::ORDERS].is_null());
        assert_eq!(patch(&cluster(None), |_| ()).expect("readable"), None);
    }

    #[test]
    fn what_can_not_be_read_is_never_written_over() {
        for text in ["{", r#"{"rotate": true}"#] {
            let refused = patch(&cluster(Some(text)), |orders| _ = orders.drain.insert(2));
            let error = refused.expect_err("unreadable");
            assert!(error.to_string().contains("ringkv.dev/orders"), "{error}");
            assert_eq!(error.exit(), crate::exit::Exit::DataError);
        }
    }
}
