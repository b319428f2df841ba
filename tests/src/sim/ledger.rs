//! Clients that run transactions: they append numbers to a few lists and read them, alone and together.
//!
//! Some ask again under the same token, at another node, when they were not told what became of it: it must still be done once.
//! [`super::serial`] checks the history; the lists' table has indexes, which must follow.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_core::api::{
    Action, Answer, Consistency, Error, Expression, Get, Got, Operation, Returns, Write,
};
use kv_core::shard::io::{Transact, TransactError, TransactRead, Transacted};
use kv_core::shard::{Input, Request};
use kv_core::store::{KeyRange, Keyspace, Reader as _};
use kv_core::{read, transactions};
use kv_model::encoding::item;
use kv_model::encoding::record::Record;
use kv_model::{AttributeValue, Number};

use super::RUN_US;
use super::node::SHARDS;
use super::random::Random;
use super::serial::{self, End, Transaction};
use super::workload::{self, ACCOUNT, Key, caller};
use super::world::{What, World};

/// The table of lists.
pub const LEDGER: &str = "ledger";
const CLIENTS: usize = 4;
const MILLISECOND: u64 = 1_000;
/// A client stops waiting for an answer after this long, µs.
const PATIENCE_US: u64 = 9_000 * MILLISECOND;
/// No transaction begins so shortly before the end, µs: all intents must be gone by then.
const QUIET_US: u64 = 12_000 * MILLISECOND;
/// Distinguishes tokens from those of the other clients.
const TOKEN: u64 = 1 << 40;

#[derive(Clone, Debug)]
enum Kind {
    /// With the items that must exist, and whether one must that can't.
    Write {
        checks: Vec<usize>,
        impossible: bool,
    },
    Read,
    Get,
    Append,
}

#[derive(Clone, Debug)]
struct Open {
    client: usize,
    kind: Kind,
    transaction: Transaction,
    keys: Vec<usize>,
    /// Asks again under it.
    token: Option<String>,
    node: u64,
}

/// How many transactions ended how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub committed: u64,
    pub cancelled: u64,
    pub conflicts: u64,
    pub unknown: u64,
    pub repeated: u64,
    pub reads: u64,
}

#[derive(Debug)]
pub struct Ledger {
    random: Random,
    keys: Vec<Key>,
    open: BTreeMap<u64, Open>,
    history: Vec<Transaction>,
    next_id: u64,
    next_token: u64,
    pub tally: Tally,
}

impl Ledger {
    pub fn new(random: Random) -> Ledger {
        Ledger {
            random,
            keys: workload::keys(),
            open: BTreeMap::new(),
            history: Vec::new(),
            next_id: 0,
            next_token: 0,
            tally: Tally::default(),
        }
    }

    pub fn is_token(token: u64) -> bool {
        token & TOKEN != 0
    }

    fn some_keys(&mut self, most: u64) -> Vec<usize> {
        let mut keys: Vec<usize> = (0..self.keys.len()).collect();
        let count = 2 + self.random.below(most - 1) as usize;
        for at in 0..count {
            let with = at + self.random.below((keys.len() - at) as u64) as usize;
            keys.swap(at, with);
        }
        keys.truncate(count);
        keys
    }

    fn begin(&mut self, client: usize, node: u64, invoked: u64) -> (u64, Open) {
        let (kind, keys) = match self.random.below(100) {
            0..45 => {
                let mut keys = self.some_keys(3);
                let checks = if keys.len() > 2 && self.random.chance(400) {
                    vec![keys.remove(0)]
                } else {
                    Vec::new()
                };
                let impossible = !checks.is_empty() && self.random.chance(200);
                (Kind::Write { checks, impossible }, keys)
            }
            45..65 => (Kind::Read, self.some_keys(4)),
            65..85 => (
                Kind::Get,
                vec![self.random.below(self.keys.len() as u64) as usize],
            ),
            _ => (
                Kind::Append,
                vec![self.random.below(self.keys.len() as u64) as usize],
            ),
        };
        let appends = matches!(kind, Kind::Write { .. } | Kind::Append);
        let id = if appends {
            self.next_id += 1;
            self.next_id
        } else {
            0
        };
        let token = (matches!(kind, Kind::Write { .. }) && self.random.chance(500))
            .then(|| format!("token-{id}"));
        let open = Open {
            client,
            kind,
            transaction: Transaction {
                id,
                appends: if appends { keys.clone() } else { Vec::new() },
                reads: Vec::new(),
                invoked,
                returned: u64::MAX,
                end: End::Unknown,
            },
            keys,
            token,
            node,
        };
        self.next_token += 1;
        let token = TOKEN | self.next_token;
        self.open.insert(token, open.clone());
        (token, open)
    }

    fn row(&self, key: usize, table: u64) -> Bytes {
        self.keys[key].row(table)
    }

    fn write(&self, key: usize, table: u64, action: Action, condition: Option<&str>) -> Write {
        Write {
            table,
            row: self.row(key, table),
            key: encode([("pk", AttributeValue::S(self.keys[key].name.clone()))]),
            condition: condition.map(|text| Expression {
                text: text.to_owned(),
                ..Default::default()
            }),
            action: Some(action),
            returns: Returns::AllNew as i32,
            ..Default::default()
        }
    }

    fn append(&self, key: usize, table: u64, id: u64) -> Write {
        let id = AttributeValue::N(Number::from(id));
        let text = "SET entries = list_append(if_not_exists(entries, :none), :one), tag1 = :id";
        let expression = Expression {
            text: text.to_owned(),
            names: BTreeMap::new(),
            values: encode([
                (":none", AttributeValue::L(Vec::new())),
                (":one", AttributeValue::L(vec![id.clone()])),
                (":id", id),
            ]),
        };
        self.write(key, table, Action::Update(expression), None)
    }

    fn get(&self, key: usize, table: u64, transactional: bool) -> Get {
        Get {
            table,
            row: self.row(key, table),
            consistency: Consistency::Strong as i32,
            transactional,
        }
    }

    fn input(&self, token: u64, open: &Open, table: u64, deadline_us: u64) -> Input {
        let id = open.transaction.id;
        match &open.kind {
            Kind::Write { checks, impossible } => {
                let condition = match impossible {
                    true => "attribute_exists(never)",
                    false => "attribute_exists(pk)",
                };
                let check =
                    |key: &usize| self.write(*key, table, Action::Check(true), Some(condition));
                let appends = open.keys.iter().map(|key| self.append(*key, table, id));
                Input::Transact(Transact {
                    token,
                    caller: caller(),
                    client_token: open.token.clone(),
                    digest: Bytes::copy_from_slice(&id.to_be_bytes()),
                    writes: checks.iter().map(check).chain(appends).collect(),
                    deadline_us,
                })
            }
            Kind::Read => Input::TransactRead(TransactRead {
                token,
                caller: caller(),
                gets: open
                    .keys
                    .iter()
                    .map(|key| self.get(*key, table, true))
                    .collect(),
                deadline_us,
            }),
            Kind::Get | Kind::Append => Input::Request(Request {
                token,
                caller: caller(),
                operation: match open.kind {
                    Kind::Get => Operation::Get(self.get(open.keys[0], table, false)),
                    _ => Operation::Write(self.append(open.keys[0], table, id)),
                },
                deadline_us,
            }),
        }
    }

    /// The end of what is under way; the client, and whether it asks again.
    fn end(&mut self, token: u64, end: End, now: u64) -> Option<(usize, Option<Open>)> {
        let mut open = self.open.remove(&token)?;
        let client = open.client;
        if end == End::Unknown && open.token.is_some() && self.random.chance(700) {
            return Some((client, Some(open)));
        }
        open.transaction.end = end;
        if end != End::Unknown {
            open.transaction.returned = now;
        } else {
            self.tally.unknown += 1;
        }
        self.history.push(open.transaction);
        Some((client, None))
    }
}

fn encode<const N: usize>(attributes: [(&str, AttributeValue); N]) -> Bytes {
    let attributes = attributes.into_iter();
    item::encode(
        &attributes
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// The list in an encoded item.
fn list_of(encoded: Option<&[u8]>) -> Result<Vec<u64>, String> {
    let Some(encoded) = encoded else {
        return Ok(Vec::new());
    };
    let item = item::decode(encoded).map_err(|error| error.to_string())?;
    let Some(AttributeValue::L(list)) = item.get("entries") else {
        return Err(format!("no list is in {item:?}"));
    };
    let number = |value: &AttributeValue| match value {
        AttributeValue::N(number) => number.to_string().parse().map_err(|_| format!("{number}")),
        other => Err(format!("{other:?} is in a list")),
    };
    list.iter().map(number).collect()
}

impl World {
    pub(super) fn begin_ledger(&mut self) {
        for client in 0..CLIENTS {
            let at = 500 * MILLISECOND + self.ledger.random.below(500 * MILLISECOND);
            self.push(at, What::Transactor(client));
        }
    }

    fn transact_later(&mut self, client: usize) {
        let after = 20 * MILLISECOND + self.ledger.random.below(250 * MILLISECOND);
        self.push(self.at_us + after, What::Transactor(client));
    }

    pub(super) fn begin_transaction(&mut self, client: usize) {
        if self.at_us > RUN_US - QUIET_US {
            return;
        }
        let node = 1 + self.ledger.random.below(self.plan.nodes);
        let ready = self.ledger_table(node);
        let Some(table) = ready.filter(|_| self.node(node).is_running()) else {
            return self.transact_later(client);
        };
        let sequence = self.sequence;
        let (token, open) = self.ledger.begin(client, node, sequence);
        self.ask_ledger(token, open, table);
    }

    /// The table of lists, where it and the table of records serve.
    fn ledger_table(&self, node: u64) -> Option<u64> {
        let state = &self.nodes[node as usize - 1].view.state;
        state.table_named(transactions::ACCOUNT, transactions::TABLE)?;
        Some(state.table_named(ACCOUNT, LEDGER)?.id)
    }

    fn ask_ledger(&mut self, token: u64, open: Open, table: u64) {
        let node = open.node;
        self.push(self.at_us + PATIENCE_US, What::TransactorPatience(token));
        self.trace.note(self.at_us, &[12, node, token], || {
            format!(
                "transactor {} asks node {node} ({token}): {open:?}",
                open.client
            )
        });
        if matches!(open.kind, Kind::Get) && self.ledger.random.chance(500) {
            let get = self.ledger.get(open.keys[0], table, false);
            if let Some(found) = self.read_ledger_here(node, &get) {
                return self.read_answered(token, vec![found]);
            }
        }
        let patience = 300 * MILLISECOND + self.ledger.random.below(6_000 * MILLISECOND);
        let at = self.at_us;
        let deadline_us = self.node(node).clock.mono_us(at) + patience;
        let shard = self.ledger.random.below(u64::from(SHARDS)) as u32;
        let input = self.ledger.input(token, &open, table, deadline_us);
        self.feed(node, shard, input);
    }

    /// What a front end reads under a ticket.
    fn read_ledger_here(&self, node: u64, get: &Get) -> Option<Got> {
        let node = &self.nodes[node as usize - 1];
        let now = node.clock.now(self.at_us);
        let route = node.view.route(&get.row)?;
        let pass = route.ticket.strong(route.group.range_version, now)?;
        let got = read::get(&node.disk.store, get).ok()?;
        route.ticket.meter.read(&get.row, 0);
        route.ticket.still_strong(pass, now).then_some(got)
    }

    /// A node that has crashed answers no more.
    pub(super) fn abandon_transactions(&mut self, node: u64) {
        let lost = self
            .ledger
            .open
            .iter()
            .filter(|(_, open)| open.node == node);
        let lost: Vec<u64> = lost.map(|(token, _)| *token).collect();
        for token in lost {
            self.abandon_transaction(token);
        }
    }

    pub(super) fn abandon_transaction(&mut self, token: u64) {
        let Some(open) = self.ledger.open.get(&token) else {
            return;
        };
        let writes = matches!(open.kind, Kind::Write { .. } | Kind::Append);
        let end = if writes { End::Unknown } else { End::Refused };
        self.end_transaction(token, end);
    }

    fn end_transaction(&mut self, token: u64, end: End) {
        let sequence = self.sequence;
        let Some((client, again)) = self.ledger.end(token, end, sequence) else {
            return;
        };
        let Some(mut open) = again else {
            return self.transact_later(client);
        };
        // Again at another node, as soon as one can be asked.
        let node = 1 + self.ledger.random.below(self.plan.nodes);
        let table = self.ledger_table(node);
        let Some(table) = table.filter(|_| self.node(node).is_running()) else {
            self.ledger.tally.unknown += 1;
            self.ledger.history.push(open.transaction);
            return self.transact_later(client);
        };
        self.ledger.tally.repeated += 1;
        open.node = node;
        self.ledger.next_token += 1;
        let token = TOKEN | self.ledger.next_token;
        self.ledger.open.insert(token, open.clone());
        self.ask_ledger(token, open, table);
    }

    /// A coordinator answers.
    pub(super) fn transacted(&mut self, token: u64, result: Result<Transacted, TransactError>) {
        let Some(open) = self.ledger.open.get(&token) else {
            return;
        };
        let brief: String = format!("{result:?}").chars().take(200).collect();
        self.trace.note(self.at_us, &[13, token], || {
            format!("{token} is answered {brief}")
        });
        let is_read = matches!(open.kind, Kind::Read);
        let end = match result {
            Ok(Transacted::Read(found)) => return self.read_answered(token, found),
            Ok(Transacted::Written(_) | Transacted::Before) => {
                self.ledger.tally.committed += 1;
                End::Committed
            }
            Err(TransactError::Cancelled(reasons)) => {
                let conflict = |r: &Option<Error>| matches!(r, Some(Error::Conflict { .. }));
                self.ledger.tally.conflicts += u64::from(reasons.iter().any(conflict));
                self.ledger.tally.cancelled += 1;
                End::Refused
            }
            Err(TransactError::Mismatch) => {
                return self.fail(format!("{token}: another request was taken for this one"));
            }
            // The first attempt may still be under way.
            Err(TransactError::InProgress | TransactError::Failed(Error::OutcomeUnknown(_))) => {
                End::Unknown
            }
            Err(TransactError::Failed(_)) => End::Refused,
        };
        // What was asked before under the same token may yet be done.
        let end = match (end, open.token.is_some()) {
            (End::Refused, true) if !is_read => End::Unknown,
            (end, _) => end,
        };
        self.end_transaction(token, end);
    }

    /// A gateway answers a single request.
    pub(super) fn ledger_reply(&mut self, token: u64, result: Result<Answer, Error>) {
        let Some(open) = self.ledger.open.get_mut(&token) else {
            return;
        };
        let end = match result {
            Ok(Answer::Got(got)) => return self.read_answered(token, vec![got]),
            Ok(Answer::Written(written)) => match list_of(written.attributes.as_deref()) {
                Ok(list) => {
                    open.transaction.reads = vec![(open.keys[0], list)];
                    End::Committed
                }
                Err(why) => return self.fail(why),
            },
            Err(Error::OutcomeUnknown(_)) if matches!(open.kind, Kind::Append) => End::Unknown,
            Ok(_) | Err(_) => End::Refused,
        };
        self.end_transaction(token, end);
    }

    fn read_answered(&mut self, token: u64, found: Vec<Got>) {
        let Some(open) = self.ledger.open.get_mut(&token) else {
            return;
        };
        for (key, got) in open.keys.iter().zip(&found) {
            match list_of(got.item.as_deref()) {
                Ok(list) => open.transaction.reads.push((*key, list)),
                Err(why) => return self.fail(why),
            }
        }
        self.ledger.tally.reads += 1;
        self.end_transaction(token, End::Committed);
    }

    /// All that was done can be explained, and nothing is left half done.
    pub(super) fn check_ledger(&mut self) -> Result<(), String> {
        for (_, open) in std::mem::take(&mut self.ledger.open) {
            self.ledger.history.push(open.transaction);
        }
        let views = self.nodes.iter().map(|node| &node.view);
        let newest = views.max_by_key(|view| view.revision());
        let table = newest.and_then(|view| Some(view.state.table_named(ACCOUNT, LEDGER)?.id));
        let Some(table) = table else {
            return Ok(());
        };
        let mut lists: Vec<Option<Vec<u64>>> = vec![None; self.ledger.keys.len()];
        for node in &self.nodes {
            for cell in &node.cells {
                for (group, state) in cell.shard.inspect() {
                    if !group.is_leader() || state.table != table {
                        continue;
                    }
                    for (key, list) in lists.iter_mut().enumerate() {
                        let row = self.ledger.row(key, table);
                        if state.holds(&row) {
                            let record = node.disk.store.get(Keyspace::Data, &row);
                            let record = record.map_err(|error| error.to_string())?;
                            let parsed = record.as_deref().map(Record::parse).transpose();
                            let parsed = parsed.map_err(|error| error.to_string())?;
                            *list = Some(list_of(parsed.map(|record| record.payload))?);
                        }
                    }
                    let intents = KeyRange {
                        keyspace: Keyspace::State,
                        start: kv_core::partition::command::intent_key(&state.start),
                        end: kv_core::partition::command::intent_key(&state.end),
                    };
                    let mut left = 0;
                    let scanned = node.disk.store.scan(&intents, false, &mut |_, _| {
                        left += 1;
                        true
                    });
                    scanned.map_err(|error| error.to_string())?;
                    if left > 0 {
                        return Err(format!("{left} intents are left in group {}", group.id));
                    }
                }
            }
        }
        let lists: Option<Vec<Vec<u64>>> = lists.into_iter().collect();
        let lists = lists.ok_or("a partition of the ledger has no leader in the end")?;
        serial::check(&self.ledger.history, &lists)
    }
}
