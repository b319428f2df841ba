//! The coordinator of transactions that came to this shard, and the questions that partitions ask about intents.
//!
//! ```text
//!   prepare ─► all prepared ─► commit ─► committed ─► finish ─► answered, record may expire
//!       │                        │  └ not known ─► settle (the record is told to abort) ─► committed, or aborted
//!       └ some refused ─► look ──┴─► was it done before? ─► finish (as aborted) ─► answered with the reasons
//! ```
//! It keeps nothing on disk: when it is gone the record says what became of the transaction, the leaders of the items' partitions find
//! out about their intents, and the leader of the record's partition brings to its end what was committed.

mod orphans;
mod questions;
mod reads;
mod writes;

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::Shard;
use super::io::{Request, TransactError, Transacted};
use crate::api::{Answer, Attempt, Caller, Error, Get, Got, Operation, Written};
use crate::ids::GroupId;
use crate::meta::records::TableState;
use crate::time::Hybrid;
use crate::transactions::record::Place;
use crate::transactions::{ACCOUNT, TABLE};

/// Transactions under way in one coordinator.
const RUNNING_MAX: usize = 4_000;
/// An attempt may commit for so long, ms; its items are locked for about as long if its coordinator is gone.
const ATTEMPT_MS: u64 = 5_000;
/// Time that preparing may take of that, µs.
const PREPARE_US: u64 = 4_000_000;
/// Rounds of reads until nothing changes between two of them.
const READ_ROUNDS: u32 = 8;
/// Pause before what was throttled is sent again, µs.
const AGAIN_US: u64 = 50_000;
/// A record is asked about for so long, µs.
const ASK_US: u64 = 2_000_000;
/// Ends without a client may take so long, µs.
const BACKGROUND_US: u64 = 10_000_000;
/// Ticks between two looks for records that nobody looks after.
const SWEEP_TICKS: u64 = 50;
/// Distinguishes the coordinator's tokens from the rim's and the feeder's.
const TOKEN: u64 = 1 << 62;

#[derive(Clone, Debug)]
enum Sent {
    Prepare(u64, usize),
    Commit(u64),
    /// Abort, unless the record says otherwise.
    Settle(u64),
    Look(u64),
    Finish(u64, usize),
    /// The last word to a record, which nobody waits for.
    Expire,
    Read(u64, usize),
    Ask(Question),
    Touch(Question),
    Sweep(GroupId),
}

/// A partition asks what an intent's record says.
#[derive(Clone, Debug)]
struct Question {
    group: GroupId,
    row: Bytes,
    number: u64,
    attempt: Attempt,
    abort: bool,
}

#[derive(Debug)]
struct Running {
    /// Of the client; none for what is brought to its end without one.
    token: Option<u64>,
    caller: Caller,
    has_client_token: bool,
    digest: Bytes,
    attempt: Attempt,
    places: Vec<Place>,
    /// Monotonic µs.
    started: u64,
    deadline_us: u64,
    /// How it ends, once that is known.
    commit: bool,
    /// By item.
    prepared: Vec<Option<Result<Written, Error>>>,
    /// Answers that are waited for.
    left: usize,
    /// Some item could not be finished in time.
    unfinished: bool,
    committed: Hybrid,
    /// What the client is told in the end.
    result: Option<Result<Transacted, TransactError>>,
}

#[derive(Debug)]
struct Reading {
    token: u64,
    caller: Caller,
    gets: Vec<Get>,
    deadline_us: u64,
    left: usize,
    rounds: u32,
    before: Option<Vec<u64>>,
    found: Vec<Option<Result<Got, Error>>>,
}

/// The transactions of one shard.
#[derive(Debug, Default)]
pub(super) struct Coordinator {
    next: u64,
    next_token: u64,
    running: BTreeMap<u64, Running>,
    reading: BTreeMap<u64, Reading>,
    sends: BTreeMap<u64, Sent>,
    /// What is sent again, by monotonic µs.
    again: BTreeMap<(u64, u64), (Sent, Operation, u64)>,
    sweeping: BTreeMap<GroupId, Bytes>,
}

impl Coordinator {
    pub fn is_token(token: u64) -> bool {
        token & TOKEN != 0
    }

    /// Transactions under way.
    pub fn len(&self) -> usize {
        self.running.len() + self.reading.len()
    }
}

impl Shard {
    /// The table of records, where it is known and serves.
    fn records(&self) -> Option<u64> {
        let table = self.view.state.table_named(ACCOUNT, TABLE)?;
        (table.state() == TableState::Active).then_some(table.id)
    }

    fn send_transaction(
        &mut self,
        sent: Sent,
        caller: Caller,
        operation: Operation,
        deadline_us: u64,
        until: Option<Hybrid>,
    ) {
        self.coordinator.next_token += 1;
        let token = TOKEN | self.coordinator.next_token;
        self.coordinator.sends.insert(token, sent);
        let request = Request {
            token,
            caller,
            operation,
            deadline_us,
        };
        let id = self.request_id();
        let mut acts = Vec::new();
        let view = self.view.clone();
        let (shard, now) = (self.config.shard, self.now);
        self.gateway
            .start(id, request, until, shard, &view, now, &mut acts);
        self.perform(acts);
    }

    fn attempt_id(&mut self) -> Bytes {
        self.coordinator.next += 1;
        let mut id = BytesMut::with_capacity(32);
        id.put_u64(Hybrid::from_wall(self.now.wall_ms).0);
        id.put_u64(self.config.node.0);
        id.put_u64(u64::from(self.config.shard) << 32 | self.config.incarnation & 0xffff_ffff);
        id.put_u64(self.coordinator.next);
        id.freeze()
    }

    pub(super) fn tick_transactions(&mut self) {
        while let Some(entry) = self.coordinator.again.first_entry() {
            if entry.key().0 > self.now.mono_us {
                break;
            }
            let (sent, operation, deadline_us) = entry.remove();
            self.send_transaction(sent, Caller::default(), operation, deadline_us, None);
        }
        let with_intents = self.replicas.iter().filter(|(_, replica)| {
            let partition = replica.partition();
            partition.is_some_and(|p| p.is_serving() && p.has_intents())
        });
        let groups: Vec<GroupId> = with_intents.map(|(id, _)| *id).collect();
        for id in groups {
            self.with_partition(id, |partition, _, now, fx| partition.ask_expired(now, fx));
        }
        if self.ticks.is_multiple_of(SWEEP_TICKS) {
            self.sweep_records();
        }
    }

    pub(super) fn on_transaction_reply(&mut self, token: u64, result: Result<Answer, Error>) {
        let Some(sent) = self.coordinator.sends.remove(&token) else {
            return;
        };
        let written = |result: Result<Answer, Error>| match result {
            Ok(Answer::Written(written)) => Ok(written),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(error),
        };
        let got = |result: Result<Answer, Error>| match result {
            Ok(Answer::Got(got)) => Ok(got),
            Ok(_) => Err(unexpected()),
            Err(error) => Err(error),
        };
        match sent {
            Sent::Prepare(number, at) => self.on_prepared(number, at, written(result)),
            Sent::Commit(number) => self.on_committed(number, written(result)),
            Sent::Settle(number) => self.on_settled(number, written(result)),
            Sent::Look(number) => self.on_looked(number, got(result).map(|got| got.item)),
            Sent::Finish(number, at) => self.on_finished(number, at, written(result)),
            Sent::Read(number, at) => self.on_transaction_read(number, at, got(result)),
            Sent::Ask(question) => self.on_asked(question, result),
            Sent::Touch(question) => self.on_touched(question, result),
            Sent::Sweep(group) => self.on_swept(group, result),
            Sent::Expire => {}
        }
    }
}

fn unexpected() -> Error {
    Error::OutcomeUnknown("the partition answered something else".into())
}
