//! A change of members in a group's log: what it carries, and what applying it does to a replica's state.

use std::collections::BTreeMap;

use prost::Message;
use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};

use crate::consensus::Group;
use crate::ids::{NodeId, ReplicaId};
use crate::meta::records::{Member, Role};
use crate::partition::command::{Place, ReplicaState};

/// What a change says beside the replica ids: where they live.
#[derive(Clone, PartialEq, Message)]
pub struct Places {
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<Place>,
}

/// The context of a change that may bring these members in.
pub fn context(target: &[Member]) -> Vec<u8> {
    let places = target
        .iter()
        .map(|m| Place {
            replica: m.replica,
            node: m.node,
        })
        .collect();
    Places { places }.encode_to_vec()
}

/// Applies an entry that changes members; returns false for any other.
pub fn apply(state: &mut ReplicaState, group: &mut Group, entry: &Entry) -> bool {
    if entry.get_entry_type() != EntryType::EntryConfChangeV2 {
        return false;
    }
    // Entries come from this group's own leaders; what can't be read changes nothing, alike on all replicas.
    let mut change = ConfChangeV2::default();
    if change.merge_from_bytes(&entry.data).is_err() {
        return true;
    }
    let brought = Places::decode(entry.context.clone()).unwrap_or_default();
    let mut places: BTreeMap<u64, u64> = state.places.iter().map(|p| (p.replica, p.node)).collect();
    places.extend(brought.places.iter().map(|p| (p.replica, p.node)));
    let node_of = places
        .iter()
        .map(|(replica, node)| (ReplicaId(*replica), NodeId(*node)))
        .collect();
    let Ok(conf) = group.apply_conf_change(&change, node_of) else {
        return true;
    };
    places.retain(|replica, _| {
        [
            &conf.voters,
            &conf.voters_outgoing,
            &conf.learners,
            &conf.learners_next,
        ]
        .iter()
        .any(|ids| ids.contains(replica))
    });
    state.places = places
        .iter()
        .map(|(&replica, &node)| Place { replica, node })
        .collect();
    state.set_conf_state(&conf);
    state.newest_replica = newest(state);
    state.member_version += 1;
    group.set_members(
        places
            .into_iter()
            .map(|(replica, node)| (ReplicaId(replica), NodeId(node)))
            .collect(),
    );
    true
}

/// The greatest replica id that the group ever had.
pub fn newest(state: &ReplicaState) -> u64 {
    let now = state.places.iter().map(|p| p.replica).max();
    now.unwrap_or(0).max(state.newest_replica)
}

/// Members as the metadata record them; in a joint configuration whoever votes in either half is a voter.
pub fn members(state: &ReplicaState) -> Vec<Member> {
    state
        .places
        .iter()
        .map(|place| {
            let votes = state.voters.contains(&place.replica)
                || state.voters_outgoing.contains(&place.replica);
            let role = if votes { Role::Voter } else { Role::Learner };
            Member {
                node: place.node,
                replica: place.replica,
                role: role as i32,
            }
        })
        .collect()
}
