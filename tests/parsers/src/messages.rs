//! Protobuf: between nodes, in logs and metadata, and from gRPC clients.
//!
//! Floats may be NaN, which is not itself, and what was decoded may have been spelt longer: so the law is that what is encoded
//! anew decodes and encodes to the same bytes.

use bytes::Bytes;
use kv_core::meta::MetaState;
use kv_core::meta::records::{Key, Record};
use kv_core::meta::wire::{MetaEvents, MetaRequest};
use kv_core::partition::command::{Change, Command, Outcome, Remembered, ReplicaState};
use kv_core::wire::{self, Frame, RaftFrame, Target};
use kv_proto::{admin, kv, peer};
use prost::Message;

fn settles<M: Message + Default>(bytes: &Bytes) -> Option<M> {
    let message = M::decode(bytes.clone()).ok()?;
    let encoded = Bytes::from(message.encode_to_vec());
    let again = M::decode(encoded.clone()).expect("what was encoded decodes");
    assert_eq!(again.encode_to_vec(), encoded);
    Some(message)
}

pub fn frame(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let Ok(target) = wire::target(&bytes) else {
        return;
    };
    target.is_for(1, 2);
    let version = wire::version(&bytes);
    let _ = wire::decode(&bytes, |group| group.0 % 2 == 0);
    match wire::decode(&bytes, |_| true) {
        Ok(Frame::One { wall_ms, kind }) => {
            let encoded = wire::encode(version, target, wall_ms, kind);
            let Ok(Frame::One { wall_ms, kind }) = wire::decode(&encoded, |_| true) else {
                panic!("what was encoded is no such frame");
            };
            assert_eq!(wire::encode(version, target, wall_ms, kind), encoded);
        }
        Ok(Frame::Raft { wall_ms, messages }) => {
            assert_eq!(target, Target::Every);
            let mut frame = RaftFrame::new(wall_ms);
            for m in &messages {
                frame.push(m.group, m.sent_at, m.echo, &m.message);
            }
            let Ok(Frame::Raft {
                messages: again, ..
            }) = wire::decode(&frame.finish(version), |_| true)
            else {
                panic!("what was encoded is no such frame");
            };
            assert_eq!(again, messages);
        }
        Err(_) => {}
    }
}

/// An entry of a partition's log, and the rows that partitions keep.
pub fn command(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(command) = Command::decode_entry(&bytes) {
        let encoded = command.encode_entry();
        let again = Command::decode_entry(&encoded).expect("what was encoded decodes");
        assert_eq!(again.encode_entry(), encoded);
    }
    if let Some(state) = settles::<ReplicaState>(&bytes) {
        let mut copy = state.clone();
        copy.set_conf_state(&state.conf_state());
        assert_eq!(copy, state);
        kv_core::partition::command::content(&state);
    }
    settles::<Change>(&bytes);
    settles::<Remembered>(&bytes);
    settles::<Outcome>(&bytes);
}

/// Rows of metadata, as a node takes them over from whoever leads the group, and what is made of them.
pub fn metadata(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    settles::<MetaRequest>(&bytes);
    let Some(events) = settles::<MetaEvents>(&bytes) else {
        return;
    };
    let mut state = MetaState::default();
    for row in events.rows {
        let record = Key::decode(&row.key).zip(row.value.clone());
        if let Some(Ok(Some(record))) = record.map(|(key, value)| Record::decode(key, value)) {
            record.encode();
        }
        let _ = state.put_row(&row.key, row.value);
    }
    let _ = state.ring();
    for name in state.table_names("a", Some("b")) {
        state.table_named("a", name);
    }
    let mut again = MetaState::default();
    for row in state.rows() {
        again
            .put_row(&row.key, row.value)
            .expect("a row that was written is read");
    }
    assert_eq!(again.rows().len(), state.rows().len());
    kv_core::meta::View::default().next(state, None);
}

/// A byte says which message, then that.
pub fn grpc(bytes: &[u8]) {
    let Some((which, bytes)) = bytes.split_first() else {
        return;
    };
    let bytes = Bytes::copy_from_slice(bytes);
    let item = match which % 10 {
        0 => settles::<kv::GetRequest>(&bytes).and_then(|request| request.key),
        1 => settles::<kv::PutRequest>(&bytes).and_then(|request| request.item),
        2 => settles::<kv::UpdateRequest>(&bytes).and_then(|request| request.key),
        3 => settles::<kv::DeleteRequest>(&bytes).and_then(|request| request.key),
        4 => settles::<kv::BatchRequest>(&bytes).and(None),
        5 => settles::<kv::QueryRequest>(&bytes).and(None),
        6 => settles::<kv::ScanRequest>(&bytes).and(None),
        7 => settles::<kv::Item>(&bytes),
        8 => {
            admin_messages(&bytes);
            None
        }
        _ => {
            peer_messages(&bytes);
            None
        }
    };
    let Some(item) = item else { return };
    let json = crate::kv::json_of(&item);
    serde_json::from_slice::<serde_json::Value>(&json).expect("an item's JSON is JSON");
    let parsed = serde_json::from_slice::<kv_model::json::Checked<kv_model::Item>>(&json);
    if let Ok(kv_model::json::Checked(Ok(item))) = parsed {
        crate::json::same(&item);
        let message = crate::kv::message_of(item.clone());
        let json = crate::kv::json_of(&message);
        let again = serde_json::from_slice::<kv_model::json::Checked<kv_model::Item>>(&json);
        assert_eq!(again.expect("JSON").0, Ok(item));
    }
}

fn admin_messages(bytes: &Bytes) {
    settles::<admin::BootstrapRequest>(bytes);
    settles::<admin::ReserveNodeRequest>(bytes);
    settles::<admin::DescribeNodeRequest>(bytes);
    settles::<admin::ChangeRingRequest>(bytes);
    settles::<admin::ConfigureRequest>(bytes);
    settles::<admin::AskPermitRequest>(bytes);
    settles::<admin::SplitRequest>(bytes);
    settles::<admin::GetClusterReply>(bytes);
    settles::<admin::GetTopReply>(bytes);
}

fn peer_messages(bytes: &Bytes) {
    settles::<peer::Frame>(bytes);
    settles::<peer::Hello>(bytes);
    settles::<peer::Welcome>(bytes);
}
