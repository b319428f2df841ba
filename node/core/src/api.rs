//! What a client of the cluster asks, and what it is answered: the vocabulary between the API front ends (DynamoDB
//! over HTTP, gRPC), the gateway that routes, and the partition that serves.
//!
//! Requests travel between nodes in the prost encodings given here, so fields are only ever added. Expressions travel as the
//! text and placeholders that the client sent ([`Expression`]): the one form that every version understands.

use bytes::Bytes;
use prost::Message;

/// Text of an expression with the placeholders that it uses.
#[derive(Clone, PartialEq, Message)]
pub struct Expression {
    #[prost(string, tag = "1")]
    pub text: String,
    /// `#name` → attribute name.
    #[prost(btree_map = "string, string", tag = "2")]
    pub names: std::collections::BTreeMap<String, String>,
    /// Encoded item (`kv_model::encoding::item`) whose attributes are the `:values`.
    #[prost(bytes = "bytes", tag = "3")]
    pub values: Bytes,
}

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Consistency {
    /// A replica that heard its leader within 5 s.
    Eventual = 0,
    /// Linearizable.
    Strong = 1,
}

/// Why a request is made; background classes give way to foreground ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RequestClass {
    Foreground = 0,
    Index = 1,
    TimeToLive = 2,
    Geo = 3,
    Repair = 4,
}

/// Who asks; travels with every forwarded request.
#[derive(Clone, PartialEq, Message)]
pub struct Caller {
    #[prost(string, tag = "1")]
    pub principal: String,
    #[prost(string, tag = "2")]
    pub account: String,
    #[prost(enumeration = "RequestClass", tag = "3")]
    pub class: i32,
    /// Shown in the logs of every node that the request touches.
    #[prost(string, tag = "4")]
    pub trace: String,
}

/// Which attributes a write answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Returns {
    None = 0,
    AllOld = 1,
    UpdatedOld = 2,
    AllNew = 3,
    UpdatedNew = 4,
}

/// What a write does to its item.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Action {
    /// Replace by this encoded item.
    #[prost(bytes = "bytes", tag = "10")]
    Put(Bytes),
    /// Apply an update expression; with none the item is made with its key alone.
    #[prost(message, tag = "11")]
    Update(Expression),
    #[prost(bool, tag = "12")]
    Delete(bool),
    /// Leaves the item as it is: the condition alone counts. Part of a transaction.
    #[prost(bool, tag = "13")]
    Check(bool),
}

/// A write of one item.
#[derive(Clone, PartialEq, Message)]
pub struct Write {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    /// Row key (`kv_model::encoding::key`).
    #[prost(bytes = "bytes", tag = "2")]
    pub row: Bytes,
    /// Encoded item with the key attributes alone.
    #[prost(bytes = "bytes", tag = "3")]
    pub key: Bytes,
    #[prost(message, optional, tag = "4")]
    pub condition: Option<Expression>,
    #[prost(enumeration = "Returns", tag = "5")]
    pub returns: i32,
    /// Answer a failed condition with the item that failed it.
    #[prost(bool, tag = "6")]
    pub return_on_failure: bool,
    #[prost(oneof = "Action", tags = "10, 11, 12, 13")]
    pub action: Option<Action>,
    /// Answer with what the write costs in each index.
    #[prost(bool, tag = "20")]
    pub count_indexes: bool,
    /// Only if the item is of this version; 0: any.
    #[prost(uint64, tag = "21")]
    pub only_version: u64,
}

/// What a write costs in an index.
#[derive(Clone, PartialEq, Message)]
pub struct IndexUse {
    #[prost(string, tag = "1")]
    pub index: String,
    #[prost(bool, tag = "2")]
    pub local: bool,
    /// Write units by the service's arithmetic.
    #[prost(uint64, tag = "3")]
    pub units: u64,
}

/// Answer to a [`Write`].
#[derive(Clone, PartialEq, Message)]
pub struct Written {
    /// Encoded item as [`Returns`] asked.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub attributes: Option<Bytes>,
    /// Size of the item before and after by the service's rules, bytes; 0 if there was or is none.
    #[prost(uint64, tag = "2")]
    pub old_size: u64,
    #[prost(uint64, tag = "3")]
    pub new_size: u64,
    /// Hybrid clock of the version written.
    #[prost(uint64, tag = "4")]
    pub version: u64,
    /// The indexes that the write touched, if asked for.
    #[prost(message, repeated, tag = "20")]
    pub indexes: Vec<IndexUse>,
}

/// A read of one item.
#[derive(Clone, PartialEq, Message)]
pub struct Get {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub row: Bytes,
    #[prost(enumeration = "Consistency", tag = "3")]
    pub consistency: i32,
    /// Part of a transaction: a conflict if another one has prepared the item, and a version even where there is none.
    #[prost(bool, tag = "20")]
    pub transactional: bool,
}

/// Answer to a [`Get`].
#[derive(Clone, PartialEq, Message)]
pub struct Got {
    /// Encoded item, if there is one.
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub item: Option<Bytes>,
    /// Hybrid clock of the item. Of a transactional read that found none: it differs whenever the item may have been there in between.
    #[prost(uint64, tag = "2")]
    pub version: u64,
}

/// A page of a query or scan: items of the rows `[start, end)` in order, or backwards from `end`.
/// A page ends at `limit` items looked at, after `max_bytes` of items looked at, or at the end of the range.
#[derive(Clone, PartialEq, Message)]
pub struct Page {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub end: Bytes,
    #[prost(bool, tag = "4")]
    pub reverse: bool,
    /// 0: no limit.
    #[prost(uint32, tag = "5")]
    pub limit: u32,
    #[prost(uint64, tag = "6")]
    pub max_bytes: u64,
    #[prost(message, optional, tag = "7")]
    pub filter: Option<Expression>,
    #[prost(message, optional, tag = "8")]
    pub projection: Option<Expression>,
    /// Return no items, only count.
    #[prost(bool, tag = "9")]
    pub count_only: bool,
    #[prost(enumeration = "Consistency", tag = "10")]
    pub consistency: i32,
    /// Number of the local index whose entries are read; 0: the items themselves.
    #[prost(uint32, tag = "20")]
    pub index: u32,
    /// Answer with the items that the entries of a local index were made of.
    #[prost(bool, tag = "21")]
    pub fetch: bool,
}

/// Answer to a [`Page`].
#[derive(Clone, PartialEq, Message)]
pub struct Paged {
    /// Encoded items that passed the filter, projected.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub items: Vec<Bytes>,
    /// Items that passed the filter.
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// Items looked at.
    #[prost(uint64, tag = "3")]
    pub scanned: u64,
    /// Sizes of the items looked at, bytes, by the service's rules.
    #[prost(uint64, tag = "4")]
    pub bytes: u64,
    /// Row of the last item looked at, if the page ended before the range did.
    #[prost(bytes = "bytes", optional, tag = "5")]
    pub last: Option<Bytes>,
    /// Steps of 4 KiB that fetched items take, each rounded up.
    #[prost(uint64, tag = "20")]
    pub fetched: u64,
    /// The page ended at the border of a partition that was split since it was asked for: how far it got, forwards or backwards.
    #[prost(bytes = "bytes", optional, tag = "50")]
    pub reached: Option<Bytes>,
}

/// An entry of an index, made of an item of some version.
#[derive(Clone, PartialEq, Message)]
pub struct Entry {
    #[prost(bytes = "bytes", tag = "1")]
    pub row: Bytes,
    /// Whole record, whose clock is the item's version; a tombstone where the item has no entry here any more.
    #[prost(bytes = "bytes", tag = "2")]
    pub record: Bytes,
    /// Forget the tombstone of this version: nothing older can come any more.
    #[prost(bool, tag = "3")]
    pub purge: bool,
}

/// Entries of a global index, all in one partition. Each is applied only if it is newer than what is there, so that it may come
/// late, twice, and in any order.
#[derive(Clone, PartialEq, Message)]
pub struct Entries {
    /// Keyspace of the index.
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<Entry>,
}

/// Which rows of a partition are read raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum RowsOf {
    Data = 0,
    ChangeLog = 1,
}

/// Raw rows `[start, end)` of one partition.
#[derive(Clone, PartialEq, Message)]
pub struct Rows {
    #[prost(uint64, tag = "1")]
    pub group: u64,
    #[prost(enumeration = "RowsOf", tag = "2")]
    pub of: i32,
    #[prost(bytes = "bytes", tag = "3")]
    pub start: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub end: Bytes,
    /// The answer ends once so many bytes were looked at.
    #[prost(uint64, tag = "5")]
    pub max_bytes: u64,
    /// 0: no limit.
    #[prost(uint32, tag = "6")]
    pub max_rows: u32,
    /// Only items that have expired.
    #[prost(message, optional, tag = "7")]
    pub expired: Option<Expired>,
    #[prost(enumeration = "Consistency", tag = "8")]
    pub consistency: i32,
}

/// Items whose attribute holds a time, in seconds since 1970, before `before_s` and after `after_s`.
#[derive(Clone, PartialEq, Message)]
pub struct Expired {
    #[prost(string, tag = "1")]
    pub attribute: String,
    #[prost(uint64, tag = "2")]
    pub before_s: u64,
    #[prost(uint64, tag = "3")]
    pub after_s: u64,
}

/// Answer to [`Rows`].
#[derive(Clone, PartialEq, Message)]
pub struct RowsRead {
    #[prost(message, repeated, tag = "1")]
    pub rows: Vec<Row>,
    /// The last row looked at, if the answer ended before the range did.
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub last: Option<Bytes>,
    /// What the partition keeps for the readers of its change log, as of the read.
    #[prost(message, optional, tag = "3")]
    pub log: Option<LogState>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Row {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// A partition's change log.
#[derive(Clone, PartialEq, Message)]
pub struct LogState {
    #[prost(uint64, tag = "1")]
    pub range_version: u64,
    #[prost(message, repeated, tag = "2")]
    pub feeds: Vec<crate::partition::feeds::Feed>,
    /// Position behind all changes that are applied.
    #[prost(bytes = "bytes", tag = "3")]
    pub applied: Bytes,
    /// Items and entries that the partition counts; only the sum over a table's partitions means something.
    #[prost(message, repeated, tag = "4")]
    pub counts: Vec<crate::partition::counts::Count>,
}

/// One attempt of a transaction, as its participants know it.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Attempt {
    /// Hybrid time of its start, then who runs it: orders the attempts that share a record.
    #[prost(bytes = "bytes", tag = "1")]
    pub id: Bytes,
    /// Keyspace and row of the record that decides.
    #[prost(uint64, tag = "2")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub record: Bytes,
    /// Encoded item with the record's key alone.
    #[prost(bytes = "bytes", tag = "4")]
    pub key: Bytes,
    /// Hybrid time up to which it may commit, and after which anybody may abort it.
    #[prost(uint64, tag = "5")]
    pub expires: u64,
}

/// Evaluates a write and keeps its outcome beside the item, until [`Finish`] makes it the item or forgets it.
#[derive(Clone, PartialEq, Message)]
pub struct Prepare {
    #[prost(message, required, tag = "1")]
    pub write: Write,
    #[prost(message, required, tag = "2")]
    pub attempt: Attempt,
}

/// The end of an attempt at one of its items. What is not prepared, or by another attempt, stays as it is.
#[derive(Clone, PartialEq, Message)]
pub struct Finish {
    #[prost(uint64, tag = "1")]
    pub table: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub row: Bytes,
    /// [`Attempt::id`].
    #[prost(bytes = "bytes", tag = "3")]
    pub attempt: Bytes,
    #[prost(bool, tag = "4")]
    pub commit: bool,
}

/// One request to one item or range.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Operation {
    #[prost(message, tag = "10")]
    Write(Write),
    #[prost(message, tag = "11")]
    Get(Get),
    #[prost(message, tag = "12")]
    Page(Page),
    #[prost(message, tag = "20")]
    Entries(Entries),
    #[prost(message, tag = "21")]
    Rows(Rows),
    #[prost(message, tag = "40")]
    Prepare(Prepare),
    #[prost(message, tag = "41")]
    Finish(Finish),
}

impl Operation {
    /// Whether an outcome that is not known may be that something was changed.
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Operation::Write(_) | Operation::Prepare(_) | Operation::Finish(_)
        )
    }

    /// The write that is to be evaluated.
    pub fn write(&self) -> Option<&Write> {
        match self {
            Operation::Write(write) => Some(write),
            Operation::Prepare(prepare) => Some(&prepare.write),
            _ => None,
        }
    }
}

/// The answer to an [`Operation`]: `Written` to all that change something.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Answer {
    #[prost(message, tag = "10")]
    Written(Written),
    #[prost(message, tag = "11")]
    Got(Got),
    #[prost(message, tag = "12")]
    Paged(Paged),
    #[prost(message, tag = "21")]
    Rows(RowsRead),
}

/// Why a request failed, as its client learns it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The condition did not hold; nothing was written. With the encoded item, if that was asked for and there is one.
    #[error("the conditional request failed")]
    ConditionFailed { item: Option<Bytes> },
    /// A transaction that is under way has prepared the item; nothing was written.
    #[error("a transaction is under way for the item")]
    Conflict {
        /// It is another attempt under the same token.
        same_token: bool,
    },
    /// The request can't be served as it is; nothing was written. The message is the client's.
    #[error("{0}")]
    Validation(String),
    /// No such table.
    #[error("table not found: {0}")]
    TableNotFound(String),
    /// A table of that name exists, or is in a state that forbids the request.
    #[error("{0}")]
    TableInUse(String),
    /// Too much is going on, or space is short; nothing was written. A retry later may succeed.
    #[error("throttled: {0}")]
    Throttled(String),
    /// No quorum could be reached in time; nothing was proposed. A retry is safe.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// The deadline passed after the write was proposed: it may or may not happen.
    #[error("outcome unknown: {0}")]
    OutcomeUnknown(String),
}
