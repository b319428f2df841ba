//! Clients: what they ask of which node, and what becomes of it.
//!
//! Few items, so that they contend; every write is told what it met, so that the checker can follow. Each client has one operation
//! under way. An operation whose node is gone, or whose deadline passed after it was proposed, stays open to the end of the history.
//!
//! Some clients stay at one node and only read, where that node may answer by itself: they stay with a leader that was cut off. And for
//! some time a partition may see no writes, so that whoever missed a while of it misses nothing and may be elected.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::api::{
    self, Action, Answer, Consistency, Error, Expression, Get, Operation, Returns, Write,
};
use kv_core::ids::GroupId;
use kv_core::meta::View;
use kv_model::encoding::item;
use kv_model::encoding::key::{ITEM_INDEX, Part, partition_key, row_key, token};
use kv_model::{AttributeValue, Number};

use super::history::{Call, Item, NEVER, Op, Outcome};
use super::random::Random;
use super::schedule::FAULTS_END_US;

/// Partitions of the table that is checked.
pub const PARTITIONS: u32 = 3;
const KEYS_PER_PARTITION: usize = 2;
pub const ACCOUNT: &str = "simulation";
pub const TABLE: &str = "checked";
/// Attribute by which items of the table that comes and goes expire.
pub const EXPIRY: &str = "at";
/// A table that is made and deleted over and over.
pub const CHURN: &str = "churn";

/// An item that clients fight for.
#[derive(Clone, Debug)]
pub struct Key {
    pub name: String,
    /// Row key without the table.
    tail: Bytes,
    pub partition: usize,
}

impl Key {
    pub fn row(&self, table: u64) -> Bytes {
        [&table.to_be_bytes()[..], &self.tail].concat().into()
    }
}

/// How an operation goes to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A request to a gateway.
    Request,
    /// A read under a ticket, without asking a shard.
    Ticket,
    /// A read that may be old.
    Eventual,
}

/// An operation under way.
#[derive(Clone, Debug)]
pub struct Open {
    pub client: usize,
    pub key: usize,
    pub op: Op,
    pub mode: Mode,
    pub invoked: u64,
    pub node: u64,
}

/// How many operations ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub writes: u64,
    pub refused: u64,
    pub unknown: u64,
    pub unavailable: u64,
    pub reads: u64,
    pub ticket_reads: u64,
    pub eventual_reads: u64,
}

/// What an ended operation means for the invariants.
#[derive(Debug)]
pub enum Ended {
    /// A write of this version was acknowledged.
    Acknowledged {
        key: usize,
        version: u64,
    },
    Read {
        key: usize,
    },
    Nothing,
    /// An answer that no answer to this request may be.
    Wrong(String),
}

#[derive(Debug)]
pub struct Workload {
    random: Random,
    pub keys: Vec<Key>,
    pub clients: usize,
    /// The first clients stay at one node each.
    nodes: u64,
    /// By partition: nobody writes to it before `phase_ends_us`.
    quiet: [bool; PARTITIONS as usize],
    phase_ends_us: u64,
    pub histories: Vec<Vec<Call>>,
    pub eventual: Vec<(usize, Item, u64)>,
    pub open: BTreeMap<u64, Open>,
    next_token: u64,
    next_tag: u64,
    /// By key: the tag that a client saw last, for conditions that sometimes hold.
    last_tag: Vec<u64>,
    pub tally: Tally,
    /// By group: versions acknowledged, with their rows.
    pub acknowledged: BTreeMap<GroupId, BTreeMap<u64, Bytes>>,
}

impl Workload {
    pub fn new(nodes: u64, mut random: Random) -> Workload {
        let keys = keys();
        let clients = (nodes + 4 + random.below(5)) as usize;
        Workload {
            random,
            clients,
            nodes,
            quiet: Default::default(),
            phase_ends_us: 0,
            histories: vec![Vec::new(); keys.len()],
            eventual: Vec::new(),
            open: BTreeMap::new(),
            next_token: 0,
            next_tag: 0,
            last_tag: vec![0; keys.len()],
            tally: Tally::default(),
            acknowledged: BTreeMap::new(),
            keys,
        }
    }

    /// The node at which a client stays, if it does.
    pub fn home(&self, client: usize) -> Option<u64> {
        let node = client as u64 + 1;
        (node <= self.nodes).then_some(node)
    }

    /// All items from a random one on.
    pub fn keys_in_turn(&mut self) -> impl Iterator<Item = usize> + use<> {
        let keys = self.keys.len();
        let first = self.random.below(keys as u64) as usize;
        (first..keys).chain(0..first)
    }

    /// A client that stays at a node begins to read an item under a ticket.
    pub fn begin_read(&mut self, client: usize, key: usize, node: u64, invoked: u64) -> u64 {
        let (op, mode) = (Op::Read, Mode::Ticket);
        self.next_token += 1;
        self.open.insert(
            self.next_token,
            Open {
                client,
                key,
                op,
                mode,
                invoked,
                node,
            },
        );
        self.next_token
    }

    /// Draws anew, every few seconds, which partitions see no writes.
    pub fn pass_time(&mut self, at_us: u64) {
        if at_us < self.phase_ends_us {
            return;
        }
        self.phase_ends_us = at_us + self.random.between(2_000_000, 6_000_000);
        for quiet in &mut self.quiet {
            *quiet = at_us < FAULTS_END_US && self.random.chance(300);
        }
    }

    /// A client begins an operation at a node.
    pub fn begin(&mut self, client: usize, node: u64, invoked: u64) -> (u64, Open) {
        let key = self.random.below(self.keys.len() as u64) as usize;
        self.next_tag += 1;
        let tag = self.next_tag;
        let op = match self.random.below(100) {
            _ if self.quiet[self.keys[key].partition] => Op::Read,
            0..14 => Op::Put { tag },
            14..24 => Op::PutIfAbsent { tag },
            24..36 => Op::PutIfTag {
                tag,
                expected: self.last_tag[key],
            },
            36..58 => Op::Add {
                delta: 1 + self.random.below(1 << 20),
            },
            58..64 => Op::Delete,
            _ => Op::Read,
        };
        let mode = match op {
            Op::Read => *self
                .random
                .pick(&[Mode::Request, Mode::Ticket, Mode::Ticket, Mode::Eventual])
                .unwrap_or(&Mode::Request),
            _ => Mode::Request,
        };
        self.next_token += 1;
        let open = Open {
            client,
            key,
            op,
            mode,
            invoked,
            node,
        };
        self.open.insert(self.next_token, open.clone());
        (self.next_token, open)
    }

    pub fn row(&self, key: usize, table: u64) -> Bytes {
        self.keys[key].row(table)
    }

    /// The operation as it goes to a gateway.
    pub fn operation(&self, open: &Open, table: u64) -> Operation {
        let row = self.row(open.key, table);
        let name = AttributeValue::S(self.keys[open.key].name.clone());
        let key = encode([("pk", name.clone())]);
        let put = |tag: u64| {
            Action::Put(encode([
                ("pk", name.clone()),
                ("tag1", number(tag)),
                ("count1", number(0)),
            ]))
        };
        let expression = |text: &str, values: Bytes| Expression {
            text: text.to_owned(),
            names: BTreeMap::new(),
            values,
        };
        let (action, condition, returns) = match open.op {
            Op::Read => {
                let consistency = if open.mode == Mode::Eventual {
                    Consistency::Eventual
                } else {
                    Consistency::Strong
                };
                return Operation::Get(Get {
                    table,
                    row,
                    consistency: consistency as i32,
                    ..Default::default()
                });
            }
            Op::Put { tag } => (put(tag), None, Returns::AllOld),
            Op::PutIfAbsent { tag } => (
                put(tag),
                Some(expression("attribute_not_exists(pk)", Bytes::new())),
                Returns::AllOld,
            ),
            Op::PutIfTag { tag, expected } => (
                put(tag),
                Some(expression(
                    "tag1 = :tag",
                    encode([(":tag", number(expected))]),
                )),
                Returns::AllOld,
            ),
            Op::Add { delta } => (
                Action::Update(expression(
                    "ADD count1 :delta",
                    encode([(":delta", number(delta))]),
                )),
                None,
                Returns::AllNew,
            ),
            Op::Delete => (Action::Delete(true), None, Returns::AllOld),
        };
        Operation::Write(Write {
            table,
            row,
            key,
            condition,
            returns: returns as i32,
            return_on_failure: true,
            action: Some(action),
            ..Default::default()
        })
    }

    /// What a read under a ticket found.
    pub fn on_ticket_read(&mut self, token: u64, found: Option<&[u8]>, now: u64) -> Ended {
        let Some(open) = self.open.remove(&token) else {
            return Ended::Nothing;
        };
        match decode(found) {
            Ok(seen) => self.ended_read(&open, seen, now),
            Err(error) => Ended::Wrong(error),
        }
    }

    /// A gateway answers.
    pub fn on_reply(
        &mut self,
        token: u64,
        result: Result<Answer, Error>,
        view: &View,
        table: u64,
        now: u64,
    ) -> Ended {
        let Some(open) = self.open.remove(&token) else {
            return Ended::Nothing;
        };
        let seen = |item: &Option<Bytes>| decode(item.as_deref());
        let outcome = match (&result, open.op) {
            (Ok(Answer::Got(got)), Op::Read) => {
                return match seen(&got.item) {
                    Ok(seen) => self.ended_read(&open, seen, now),
                    Err(error) => Ended::Wrong(error),
                };
            }
            (Ok(Answer::Written(written)), Op::Add { .. }) => {
                seen(&written.attributes).map(Outcome::After)
            }
            (Ok(Answer::Written(written)), op) if op != Op::Read => {
                seen(&written.attributes).map(Outcome::Before)
            }
            (
                Err(Error::ConditionFailed { item }),
                Op::PutIfAbsent { .. } | Op::PutIfTag { .. },
            ) => seen(item).map(Outcome::Refused),
            (Err(Error::OutcomeUnknown(_)), op) if op != Op::Read => Ok(Outcome::Unknown),
            (Err(Error::Unavailable(_) | Error::Throttled(_)), _) => {
                self.tally.unavailable += 1;
                return Ended::Nothing;
            }
            _ => Err(format!("{:?} was answered {result:?}", open.op)),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => return Ended::Wrong(error),
        };
        self.ended_write(&open, outcome, now);
        match result {
            Ok(Answer::Written(written)) => {
                let row = self.row(open.key, table);
                if let Some(route) = view.route(&row) {
                    self.acknowledged
                        .entry(route.group.group())
                        .or_default()
                        .insert(written.version, row);
                }
                Ended::Acknowledged {
                    key: open.key,
                    version: written.version,
                }
            }
            _ => Ended::Nothing,
        }
    }

    fn ended_read(&mut self, open: &Open, seen: Item, now: u64) -> Ended {
        self.note_tag(open.key, seen);
        if open.mode == Mode::Eventual {
            self.tally.eventual_reads += 1;
            self.eventual.push((open.key, seen, now));
            return Ended::Nothing;
        }
        self.tally.reads += 1;
        self.tally.ticket_reads += u64::from(open.mode == Mode::Ticket);
        self.histories[open.key].push(Call {
            op: Op::Read,
            outcome: Outcome::Before(seen),
            invoked: open.invoked,
            returned: now,
        });
        Ended::Read { key: open.key }
    }

    fn ended_write(&mut self, open: &Open, outcome: Outcome, now: u64) {
        let returned = if outcome == Outcome::Unknown {
            NEVER
        } else {
            now
        };
        match outcome {
            Outcome::Unknown => self.tally.unknown += 1,
            Outcome::Refused(item) => {
                self.tally.refused += 1;
                self.note_tag(open.key, item);
            }
            Outcome::After(item) => {
                self.tally.writes += 1;
                self.note_tag(open.key, item);
            }
            Outcome::Before(_) => {
                self.tally.writes += 1;
                self.note_tag(open.key, open.op.apply(None).flatten());
            }
        }
        self.histories[open.key].push(Call {
            op: open.op,
            outcome,
            invoked: open.invoked,
            returned,
        });
    }

    fn note_tag(&mut self, key: usize, item: Item) {
        if let Some((tag, _)) = item {
            self.last_tag[key] = tag;
        }
    }

    /// Nobody will answer any more.
    pub fn abandon(&mut self, token: u64) -> Option<usize> {
        let open = self.open.remove(&token)?;
        if open.op != Op::Read {
            self.ended_write(&open, Outcome::Unknown, NEVER);
        }
        Some(open.client)
    }

    /// A write to the table that comes and goes; nobody checks what becomes of it.
    /// An item that has expired; half of the time right behind it a new one in its place that never does.
    pub fn churn_writes(&mut self, table: u64, now_s: u64) -> Vec<Operation> {
        self.next_tag += 1;
        let row = self.row(self.next_tag as usize % self.keys.len(), table);
        let pk = || ("pk", number(self.next_tag));
        let expired = encode([pk(), (EXPIRY, number(now_s.saturating_sub(10)))]);
        let mut items = vec![expired];
        if self.next_tag.is_multiple_of(2) {
            items.push(encode([pk()]));
        }
        let writes = items.into_iter().map(|item| {
            Operation::Write(Write {
                table,
                row: row.clone(),
                key: item.clone(),
                action: Some(Action::Put(item)),
                ..Default::default()
            })
        });
        writes.collect()
    }
}

pub fn caller() -> api::Caller {
    api::Caller {
        principal: "client".to_owned(),
        account: ACCOUNT.to_owned(),
        ..Default::default()
    }
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(Number::from(value))
}

fn encode<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Bytes {
    item::encode(
        &attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn decode(bytes: Option<&[u8]>) -> Result<Item, String> {
    let Some(bytes) = bytes else { return Ok(None) };
    let item = item::decode(bytes).map_err(|error| error.to_string())?;
    let count = |name: &str| match item.get(name) {
        Some(AttributeValue::N(number)) => number
            .to_string()
            .parse::<u64>()
            .map_err(|error| error.to_string()),
        None => Ok(0),
        Some(other) => Err(format!("{name} is {other:?}")),
    };
    Ok(Some((count("tag1")?, count("count1")?)))
}

/// Names whose tokens fall into each of the partitions.
pub fn keys() -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut n = 0;
    while keys.len() < PARTITIONS as usize * KEYS_PER_PARTITION {
        n += 1;
        let name = format!("item-{n}");
        let encoded = partition_key(&[Part::S(&name)]);
        let token = token(&encoded);
        let partition = (token / (u128::MAX / u128::from(PARTITIONS) + 1)) as usize;
        if keys.iter().filter(|k| k.partition == partition).count() < KEYS_PER_PARTITION {
            let tail = row_key(0, token, &encoded, ITEM_INDEX, &[])[8..]
                .to_vec()
                .into();
            keys.push(Key {
                name,
                tail,
                partition,
            });
        }
    }
    keys
}
