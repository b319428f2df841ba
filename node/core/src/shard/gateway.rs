//! The gateway: takes clients' requests on any node and gets them answered by the partition's leader, wherever that is.
//!
//! ```text
//!   Request ─► route of the row ─► Forward to the leader as far as known ─► reply ─► client
//!                 ▲                                                           │
//!                 └── back-off ◄── not leader, stale route, not applied ◄─────┤
//!                 └── another replica, same request id ◄── no answer ◄────────┘
//! ```
//! A request keeps its id over all attempts, so an attempt that is late, lost or repeated changes nothing twice. At the deadline the
//! client learns whether anything could have been proposed: `OutcomeUnknown` if so, `Unavailable` if surely not.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::io::Request;
use super::learned::{Learned, Way};
use crate::api::{Answer, Error, Operation};
use crate::ids::{GroupId, NodeId};
use crate::meta::View;
use crate::meta::records::Group;
use crate::time::{Hybrid, Now, TICK_US};
use crate::wire::{Forward, ForwardReply, Refusal, RequestId};

/// Requests under way in one gateway.
const REQUESTS_MAX: usize = 20_000;
/// An attempt without an answer is given up, µs.
const ATTEMPT_US: u64 = 1_000_000;
const BACK_OFF_US: u64 = 20_000;
const BACK_OFF_MAX_US: u64 = 200_000;

#[derive(Debug)]
struct Pending {
    token: u64,
    forward: Forward,
    deadline_us: u64,
    attempts: u32,
    /// Attempts that were sent.
    sent: u32,
    /// Where the running attempt went, and until when it is waited for.
    asked: Option<NodeId>,
    until: u64,
    /// Another replica was asked since the leader seems to be away.
    detour: bool,
    /// An attempt that could have been proposed had no definite answer.
    uncertain: bool,
    /// Words of the last refusal.
    last: &'static str,
    /// Where the running attempt's page ends, if a partition ends before the page that was asked for does.
    cut: Option<Bytes>,
}

/// What the gateway wants done.
#[derive(Debug)]
pub enum Act {
    Forward(NodeId, Forward),
    Reply {
        token: u64,
        result: Result<Answer, Error>,
    },
}

#[derive(Debug, Default)]
pub struct Gateway {
    pending: BTreeMap<RequestId, Pending>,
    /// Attempts by the moment that they are given up or tried again.
    timers: BTreeMap<(u64, RequestId), ()>,
    /// Nodes that are not asked first. They may be the right ones all the same: each later attempt asks whom it would ask anyway.
    pub suspects: BTreeSet<NodeId>,
    /// What partitions said of themselves that the view does not know yet.
    learned: Learned,
}

impl Gateway {
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// The partition that serves a row, as far as this gateway knows.
    pub fn group_of(&self, view: &View, table: u64, row: &[u8]) -> Option<GroupId> {
        let way = self.learned.way(view, table, row, false)?;
        Some(way.group.group())
    }

    /// Takes a request; nothing of it is applied past its deadline, nor past the hybrid time `until`.
    pub fn start(
        &mut self,
        id: RequestId,
        request: Request,
        until: Option<Hybrid>,
        reply_shard: u32,
        view: &View,
        now: Now,
        acts: &mut Vec<Act>,
    ) {
        let Request {
            token,
            caller,
            operation,
            deadline_us,
        } = request;
        if self.pending.len() >= REQUESTS_MAX {
            return acts.push(Act::Reply {
                token,
                result: Err(Error::Throttled(
                    "too many requests are under way on this node".into(),
                )),
            });
        }
        let left_ms = deadline_us.saturating_sub(now.mono_us) / 1000;
        let deadline = Hybrid::from_wall(now.wall_ms + left_ms);
        let forward = Forward {
            id,
            deadline: until.map_or(deadline, |until| until.min(deadline)).0,
            caller: Some(caller),
            reply_shard,
            operation: Some(operation),
            ..Default::default()
        };
        let last = "no leader of the partition answered";
        self.pending.insert(
            id,
            Pending {
                token,
                forward,
                deadline_us,
                attempts: 0,
                sent: 0,
                asked: None,
                until: 0,
                detour: false,
                uncertain: false,
                last,
                cut: None,
            },
        );
        self.attempt(id, view, now, acts);
    }

    fn attempt(&mut self, id: RequestId, view: &View, now: Now, acts: &mut Vec<Act>) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if now.mono_us >= pending.deadline_us {
            return self.give_up(id, acts);
        }
        let (row, table, back) = match &pending.forward.operation {
            Some(Operation::Write(w)) => (&w.row, w.table, false),
            Some(Operation::Prepare(p)) => (&p.write.row, p.write.table, false),
            Some(Operation::Finish(f)) => (&f.row, f.table, false),
            Some(Operation::Get(g)) => (&g.row, g.table, false),
            Some(Operation::Page(p)) if p.reverse => (&p.end, p.table, true),
            Some(Operation::Page(p)) => (&p.start, p.table, false),
            Some(Operation::Entries(e)) => match e.entries.first() {
                Some(first) => (&first.row, e.table, false),
                None => return,
            },
            Some(Operation::Rows(r)) => match view.group(GroupId(r.group)) {
                Some(group) => (&group.start, group.table, false),
                None => return self.end(id, Err(Error::TableNotFound(String::new())), acts),
            },
            None => return,
        };
        let Some(Way { group, leader }) = self.learned.way(view, table, row, back) else {
            if view.state.is_known()
                && view.state.table_of_keyspace(table).is_none()
                && !pending.uncertain
            {
                return self.end(id, Err(Error::TableNotFound(String::new())), acts);
            }
            pending.last = "the partition is not known here yet";
            return self.later(id, now);
        };
        let members = &group.members;
        if members.is_empty() {
            return self.later(id, now);
        }
        let turn = NodeId(members[pending.attempts as usize % members.len()].node);
        let mut target = match leader {
            Some(leader) if pending.attempts % 3 != 2 => leader,
            _ => turn,
        };
        pending.detour = false;
        if pending.attempts == 0 && self.suspects.contains(&target) {
            let mut others = members.iter().map(|member| NodeId(member.node));
            if let Some(other) = others.find(|node| !self.suspects.contains(node)) {
                target = other;
                pending.detour = true;
            }
        }
        pending.attempts += 1;
        pending.forward.group = group.id;
        pending.forward.range_version = group.range_version;
        pending.forward.attempt = pending.sent;
        pending.sent += 1;
        pending.asked = Some(target);
        self.timer(
            id,
            (now.mono_us + ATTEMPT_US).min(self.pending[&id].deadline_us),
        );
        let mut forward = self.pending[&id].forward.clone();
        let cut = cut_page(&mut forward, &group);
        if let Some(pending) = self.pending.get_mut(&id) {
            pending.cut = cut;
        }
        acts.push(Act::Forward(target, forward));
    }

    /// The metadata are known anew.
    pub fn on_view(&mut self, view: &View) {
        self.learned.on_view(view);
    }

    fn timer(&mut self, id: RequestId, at: u64) {
        if let Some(pending) = self.pending.get_mut(&id) {
            self.timers.remove(&(pending.until, id));
            pending.until = at;
            self.timers.insert((at, id), ());
        }
    }

    fn later(&mut self, id: RequestId, now: Now) {
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        pending.asked = None;
        let wait = (BACK_OFF_US << pending.attempts.min(4)).min(BACK_OFF_MAX_US);
        pending.attempts += 1;
        let at = (now.mono_us + wait).min(pending.deadline_us);
        self.timer(id, at);
    }

    pub fn on_reply(
        &mut self,
        from: NodeId,
        reply: ForwardReply,
        view: &View,
        now: Now,
        acts: &mut Vec<Act>,
    ) {
        let id = reply.id;
        let Some(pending) = self.pending.get_mut(&id) else {
            return;
        };
        if let Some(mut answer) = reply.answer {
            if matches!(answer, Answer::Written(_)) {
                self.learned
                    .set_leader(view, GroupId(reply.group), Some(from));
            }
            if let Answer::Paged(paged) = &mut answer
                && paged.last.is_none()
            {
                paged.reached = pending.cut.take();
            }
            return self.end(id, Ok(answer), acts);
        }
        let refusal = reply.refusal.and_then(|r| Refusal::try_from(r).ok());
        // Another attempt is on its way and may be served. What counts then is only what was refused for good, as it is for each attempt
        // but the first.
        let is_late = reply.attempt.saturating_add(1) < pending.sent;
        let is_final = reply.attempt > 0
            && matches!(
                refusal,
                Some(
                    Refusal::ConditionFailed
                        | Refusal::Validation
                        | Refusal::Conflict
                        | Refusal::InProgress
                )
            );
        if is_late && !is_final {
            return;
        }
        match refusal {
            Some(Refusal::ConditionFailed) => {
                self.end(id, Err(Error::ConditionFailed { item: reply.item }), acts)
            }
            Some(Refusal::Validation) => self.end(id, Err(Error::Validation(reply.message)), acts),
            Some(why @ (Refusal::Conflict | Refusal::InProgress)) => {
                let same_token = why == Refusal::InProgress;
                self.end(id, Err(Error::Conflict { same_token }), acts)
            }
            Some(Refusal::Throttled) if !pending.uncertain => {
                self.end(id, Err(Error::Throttled(reply.message)), acts)
            }
            Some(Refusal::Expired) => self.give_up(id, acts),
            _ if pending.asked != Some(from) => {}
            Some(Refusal::StaleRoute) if self.learned.learn(view, reply.records, from) => {
                // Split since: where it is served now is known.
                if pending.attempts < 8 {
                    self.attempt(id, view, now, acts);
                } else {
                    self.later(id, now);
                }
            }
            Some(Refusal::NotLeader | Refusal::StaleRoute) => {
                let leader = Some(NodeId(reply.leader)).filter(|n| n.0 > 0);
                let group = GroupId(reply.group);
                let known = self.learned.leader(view, group);
                self.learned.set_leader(view, group, leader);
                pending.last = "the partition has no leader yet";
                // A new name is worth asking at once, but not for ever.
                let worth_asking = leader != known || pending.detour;
                if leader.is_some() && worth_asking && leader != Some(from) && pending.attempts < 8
                {
                    self.attempt(id, view, now, acts);
                } else {
                    self.later(id, now);
                }
            }
            Some(Refusal::Uncertain) => {
                pending.uncertain = true;
                self.later(id, now);
            }
            Some(Refusal::NotApplied | Refusal::Storage | Refusal::Throttled) | None => {
                pending.last = "the partition's leader could not serve";
                self.later(id, now);
            }
        }
    }

    /// Tries again what has waited long enough. Returns nothing to do for most ticks.
    pub fn on_time(&mut self, view: &View, now: Now, acts: &mut Vec<Act>) {
        while let Some(&(at, id)) = self
            .timers
            .keys()
            .next()
            .filter(|(at, _)| *at <= now.mono_us)
        {
            self.timers.remove(&(at, id));
            if let Some(pending) = self.pending.get_mut(&id) {
                if pending.asked.take().is_some() {
                    // It was sent and not answered: it may have been proposed, and its leader may be gone.
                    let operation = pending.forward.operation.as_ref();
                    pending.uncertain |= operation.is_some_and(Operation::changes);
                    let group = GroupId(pending.forward.group);
                    self.learned.set_leader(view, group, None);
                }
                self.attempt(id, view, now, acts);
            }
        }
    }

    /// When [`Gateway::on_time`] has something to do, monotonic µs.
    pub fn next_time(&self) -> Option<u64> {
        self.timers.keys().next().map(|(at, _)| *at)
    }

    fn give_up(&mut self, id: RequestId, acts: &mut Vec<Act>) {
        let Some(pending) = self.pending.get(&id) else {
            return;
        };
        let operation = pending.forward.operation.as_ref();
        let write = operation.is_some_and(Operation::changes);
        let error = if write && (pending.uncertain || pending.asked.is_some()) {
            Error::OutcomeUnknown("the deadline passed while the write was under way".into())
        } else {
            Error::Unavailable(pending.last.into())
        };
        self.end(id, Err(error), acts);
    }

    fn end(&mut self, id: RequestId, result: Result<Answer, Error>, acts: &mut Vec<Act>) {
        if let Some(pending) = self.pending.remove(&id) {
            self.timers.remove(&(pending.until, id));
            acts.push(Act::Reply {
                token: pending.token,
                result,
            });
        }
    }
}

/// Cuts a page at the border of the partition that it is sent to; returns where, if it has to be.
fn cut_page(forward: &mut Forward, group: &Group) -> Option<Bytes> {
    let Some(Operation::Page(page)) = &mut forward.operation else {
        return None;
    };
    if page.reverse && page.start < group.start {
        page.start = group.start.clone();
        return Some(page.start.clone());
    }
    if !page.reverse && page.end > group.end {
        page.end = group.end.clone();
        return Some(page.end.clone());
    }
    None
}

/// The gateway's timers need no finer clock than this, µs.
pub const GATEWAY_STEP_US: u64 = TICK_US / 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Written;

    const ID: RequestId = RequestId {
        origin: 1,
        number: 7,
    };

    /// A gateway with one request of which so many attempts were sent, the last to node 2.
    fn gateway(sent: u32) -> Gateway {
        let pending = Pending {
            token: 9,
            forward: Forward {
                id: ID,
                ..Default::default()
            },
            deadline_us: 10_000_000,
            attempts: sent,
            sent,
            asked: Some(NodeId(2)),
            until: 0,
            detour: false,
            uncertain: sent > 1,
            last: "",
            cut: None,
        };
        let mut gateway = Gateway::default();
        gateway.pending.insert(ID, pending);
        gateway
    }

    fn answers(gateway: &mut Gateway, attempt: u32, refusal: Refusal) -> usize {
        let reply = ForwardReply {
            id: ID,
            attempt,
            refusal: Some(refusal as i32),
            ..Default::default()
        };
        let mut acts = Vec::new();
        gateway.on_reply(
            NodeId(2),
            reply,
            &View::default(),
            Now::default(),
            &mut acts,
        );
        acts.len()
    }

    #[test]
    fn a_late_refusal_of_the_first_attempt_ends_nothing() {
        for refusal in [
            Refusal::ConditionFailed,
            Refusal::Validation,
            Refusal::Throttled,
            Refusal::Expired,
            Refusal::NotLeader,
        ] {
            let mut gateway = gateway(2);
            assert_eq!(answers(&mut gateway, 0, refusal), 0, "{refusal:?}");
            assert_eq!(
                gateway.pending[&ID].asked,
                Some(NodeId(2)),
                "the second attempt is still waited for"
            );
        }
        assert_eq!(answers(&mut gateway(1), 0, Refusal::ConditionFailed), 1);
    }

    #[test]
    fn what_was_refused_for_good_ends_it_whatever_else_was_sent() {
        assert_eq!(answers(&mut gateway(3), 1, Refusal::ConditionFailed), 1);
        assert_eq!(answers(&mut gateway(3), 1, Refusal::Throttled), 0);
    }

    #[test]
    fn a_late_success_is_one() {
        let mut gateway = gateway(2);
        let reply = ForwardReply {
            id: ID,
            answer: Some(Answer::Written(Written::default())),
            ..Default::default()
        };
        let mut acts = Vec::new();
        gateway.on_reply(
            NodeId(1),
            reply,
            &View::default(),
            Now::default(),
            &mut acts,
        );
        assert!(matches!(
            acts[..],
            [Act::Reply {
                token: 9,
                result: Ok(_)
            }]
        ));
    }
}
