//! The metadata group's state machine: records in memory, changed by commands, each change a set of rows.
//!
//! Deterministic: what a command does depends on the records and the command alone. Every row goes through
//! [`MetaState::put_row`], whether it comes from a command, a snapshot, the disk or a watch, so all nodes agree.

use std::collections::BTreeMap;

use bytes::Bytes;
use kv_ring::{Member as RingMember, MemberState, Ring, Token};

use super::extras::Extras;
use super::records::{
    Cluster, Group, Key, Member, Node, NodeState, Record, Reply, Role, Table, TableState,
};
use super::wire::{
    Change, CreateTable, MetaRefusal, MetaRequest, NewBilling, Outcome, Register, Row, TableName,
    UpdateTable,
};
use crate::ids::{GroupId, NodeId};
use crate::version::{self, Feature};
use crate::wire::RequestId;

/// Replies that are remembered for retries.
const REPLIES_MAX: usize = 1024;
/// Tables of a cluster.
pub const TABLES_MAX: usize = 10_000;
/// Partitions that a table may be made with.
pub const PARTITIONS_PER_TABLE_MAX: u32 = 4096;
const PARTITIONS_PER_TABLE: u32 = 4;
/// Units a second that one partition is made for (the service's own figures).
const READ_UNITS_PER_PARTITION: u64 = 3000;
const WRITE_UNITS_PER_PARTITION: u64 = 1000;

/// All records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MetaState {
    pub cluster: Cluster,
    pub nodes: BTreeMap<u64, Node>,
    pub tables: BTreeMap<u64, Table>,
    pub groups: BTreeMap<u64, Group>,
    replies: BTreeMap<u64, Reply>,
    /// (account, name) → table id.
    names: BTreeMap<(String, String), u64>,
    answered: BTreeMap<RequestId, u64>,
    /// Keyspace of a global index → its table's id.
    keyspaces: BTreeMap<u64, u64>,
}

pub(super) type Result<T> = std::result::Result<T, Outcome>;

pub(super) fn refuse<T>(refusal: MetaRefusal, message: impl Into<String>) -> Result<T> {
    Err(Outcome {
        refusal: refusal as i32,
        message: message.into(),
        ..Default::default()
    })
}

impl MetaState {
    /// The state of a cluster that begins. `nodes` have ids, names, places, addresses and tokens; the first `voters` of them
    /// by id, over zones, vote on metadata.
    pub fn bootstrap(
        cluster_id: String,
        nodes: Vec<Node>,
        replication_factor: u32,
        partitions_per_table: u32,
    ) -> MetaState {
        let voters = crate::moves::voters::voters(nodes.iter(), &[], |_| true);
        let mut state = MetaState::default();
        let next_node = nodes.iter().map(|n| n.id).max().unwrap_or(0) + 1;
        let members: Vec<Member> = voters
            .iter()
            .enumerate()
            .map(|(i, &node)| Member {
                node,
                replica: i as u64 + 1,
                role: Role::Voter as i32,
            })
            .collect();
        let cluster = Cluster {
            cluster_id,
            cluster_version: 1,
            revision: 1,
            ring_epoch: 1,
            replication_factor,
            partitions_per_table: if partitions_per_table == 0 {
                PARTITIONS_PER_TABLE
            } else {
                partitions_per_table
            },
            next_node,
            next_group: GroupId::META.0 + 1,
            next_replica: members.len() as u64 + 1,
            next_table: 1,
            next_reply: 1,
            ..Default::default()
        };
        let group = Group {
            id: GroupId::META.0,
            range_version: 1,
            member_version: 1,
            members,
            ..Default::default()
        };
        let records = nodes
            .into_iter()
            .map(Record::Node)
            .chain([Record::Cluster(cluster), Record::Group(group)]);
        for record in records {
            state.put(record);
        }
        state
    }

    pub fn revision(&self) -> u64 {
        self.cluster.revision
    }

    /// Whether the cluster has the version that a feature came with: before that nothing of it may be written.
    pub fn may_write(&self, feature: Feature) -> bool {
        self.cluster.cluster_version >= feature.since()
    }

    /// Whether the cluster's records are here at all.
    pub fn is_known(&self) -> bool {
        self.revision() > 0
    }

    pub fn table_named(&self, account: &str, name: &str) -> Option<&Table> {
        let id = self.names.get(&(account.to_owned(), name.to_owned()))?;
        self.tables.get(id)
    }

    /// Names of an account's tables after a name, in order.
    pub fn table_names<'a>(
        &'a self,
        account: &'a str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &'a str> {
        let from = (account.to_owned(), after.unwrap_or_default().to_owned());
        let skip = after.is_some().then(|| from.clone());
        self.names
            .range(from..)
            .take_while(move |((a, _), _)| a == account)
            .map(|(key, _)| key)
            .filter(move |key| Some(*key) != skip.as_ref())
            .map(|(_, name)| name.as_str())
    }

    /// The table whose rows, or whose index's entries, are in a keyspace.
    pub fn table_of_keyspace(&self, keyspace: u64) -> Option<&Table> {
        let table = self.keyspaces.get(&keyspace).unwrap_or(&keyspace);
        self.tables.get(table)
    }

    pub fn groups_of(&self, table: u64) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(move |g| g.table == table)
    }

    /// The ring that the nodes' tokens make. A reserved id has no place on it until somebody says where its node is.
    pub fn ring(&self) -> std::result::Result<Ring, kv_ring::Error> {
        let members = self
            .nodes
            .values()
            .filter(|node| !node.zone.is_empty())
            .map(|node| RingMember {
                id: NodeId(node.id),
                zone: node.zone.as_str().into(),
                host: node.host.as_str().into(),
                weight: node.weight.max(1),
                state: match node.state() {
                    NodeState::Joining => MemberState::Joining,
                    NodeState::Up => MemberState::Up,
                    NodeState::Draining => MemberState::Draining,
                    NodeState::Down => MemberState::Down,
                    NodeState::Removed => MemberState::Removed,
                },
                tokens: node
                    .tokens
                    .iter()
                    .filter_map(|t| Some(Token(u128::from_be_bytes(t[..].try_into().ok()?))))
                    .collect(),
            })
            .collect();
        Ring::new(self.cluster.ring_epoch, members)
    }

    /// All rows.
    pub fn rows(&self) -> Vec<Row> {
        let records = [Record::Cluster(self.cluster.clone())]
            .into_iter()
            .chain(self.nodes.values().cloned().map(Record::Node))
            .chain(self.tables.values().cloned().map(Record::Table))
            .chain(self.groups.values().cloned().map(Record::Group))
            .chain(
                self.replies
                    .iter()
                    .map(|(id, r)| Record::Reply(*id, r.clone())),
            );
        records
            .map(|r| Row {
                key: r.key().encode(),
                value: Some(r.encode()),
            })
            .collect()
    }

    /// Takes a row over. Rows that can't be read are refused whole.
    pub fn put_row(
        &mut self,
        key: &[u8],
        value: Option<Bytes>,
    ) -> std::result::Result<(), prost::DecodeError> {
        let Some(key) = Key::decode(key) else {
            return Ok(());
        };
        match value {
            Some(value) => {
                if let Some(record) = Record::decode(key, value)? {
                    self.put(record);
                }
            }
            None => self.remove(key),
        }
        Ok(())
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::Cluster(cluster) => self.cluster = cluster,
            Record::Node(node) => {
                self.nodes.insert(node.id, node);
            }
            Record::Table(table) => {
                self.names
                    .insert((table.account.clone(), table.name.clone()), table.id);
                self.keyspaces.retain(|_, of| *of != table.id);
                let global = table.indexes.iter().filter(|index| !index.local);
                self.keyspaces
                    .extend(global.map(|index| (index.id, table.id)));
                self.tables.insert(table.id, table);
            }
            Record::Group(group) => {
                self.groups.insert(group.id, group);
            }
            Record::Reply(number, reply) => {
                self.answered.insert(reply.id, number);
                self.replies.insert(number, reply);
            }
        }
    }

    fn remove(&mut self, key: Key) {
        match key.kind {
            b'n' => drop(self.nodes.remove(&key.id)),
            b't' => {
                if let Some(table) = self.tables.remove(&key.id) {
                    self.keyspaces.retain(|_, of| *of != key.id);
                    let name = (table.account, table.name);
                    if self.names.get(&name) == Some(&key.id) {
                        self.names.remove(&name);
                    }
                }
            }
            b'g' => drop(self.groups.remove(&key.id)),
            b'r' => {
                if let Some(reply) = self.replies.remove(&key.id) {
                    self.answered.remove(&reply.id);
                }
            }
            _ => {}
        }
    }

    /// Applies a command; returns how it ended and the rows that changed.
    pub fn apply(&mut self, request: &MetaRequest) -> (Outcome, Vec<Row>) {
        if let Some(reply) = self
            .answered
            .get(&request.id)
            .and_then(|n| self.replies.get(n))
        {
            let outcome = prost::Message::decode(reply.outcome.clone()).unwrap_or_default();
            return (outcome, Vec::new());
        }
        let mut edit = Edit {
            state: self,
            changed: Vec::new(),
        };
        let result = match &request.change {
            Some(Change::ReserveNode(c)) => edit.reserve_node(&c.name),
            Some(Change::Register(c)) => edit.register(c),
            Some(Change::CreateTable(c)) => edit.create_table(c),
            Some(Change::UpdateTable(c)) => edit.update_table(c),
            Some(Change::DeleteTable(c)) => edit.delete_table(c),
            Some(Change::TableReady(id)) => edit.table_ready(*id),
            Some(Change::DropTable(id)) => edit.drop_table(*id),
            Some(Change::Barrier(_)) => Ok(0),
            Some(Change::IndexReady(c)) => edit.index_ready(c),
            Some(Change::DropIndex(c)) => edit.drop_index(c),
            Some(Change::DropStream(c)) => edit.drop_stream(c),
            Some(Change::DescribeNode(c)) => edit.describe_node(c),
            Some(Change::ChangeRing(c)) => edit.change_ring(c),
            Some(Change::NodeChange(c)) => edit.change_node(c),
            Some(Change::Configure(c)) => edit.configure(c),
            Some(Change::Aim(c)) => edit.aim(c),
            Some(Change::Follow(c)) => edit.follow(c),
            Some(Change::TakePermit(c)) => edit.take_permit(c),
            Some(Change::ReturnPermit(c)) => edit.return_permit(c),
            Some(Change::RaiseVersion(version)) => edit.raise_version(*version),
            Some(Change::BeginSplit(c)) => edit.begin_split(c),
            None => refuse(
                MetaRefusal::Invalid,
                "a command that this version does not know",
            ),
        };
        let mut outcome = match result {
            Ok(value) => Outcome {
                value,
                ..Default::default()
            },
            Err(refusal) => refusal,
        };
        if edit.changed.is_empty() {
            outcome.revision = self.revision();
            return (outcome, Vec::new());
        }
        let mut cluster = edit.state.cluster.clone();
        cluster.revision += 1;
        #[cfg(feature = "next")]
        if edit.state.may_write(Feature::ChangedBy) {
            cluster.changed_by = request.proposed_by;
        }
        outcome.revision = cluster.revision;
        edit.remember(request.id, &outcome, &mut cluster);
        edit.set(Record::Cluster(cluster));
        let rows = edit.changed;
        (outcome, rows)
    }
}

/// A command at work: every change is made to the state and noted as a row.
pub(super) struct Edit<'a> {
    pub(super) state: &'a mut MetaState,
    changed: Vec<Row>,
}

impl Edit<'_> {
    pub(super) fn set(&mut self, record: Record) {
        self.changed.push(Row {
            key: record.key().encode(),
            value: Some(record.encode()),
        });
        self.state.put(record);
    }

    pub(super) fn unset(&mut self, key: Key) {
        self.changed.push(Row {
            key: key.encode(),
            value: None,
        });
        self.state.remove(key);
    }

    fn remember(&mut self, id: RequestId, outcome: &Outcome, cluster: &mut Cluster) {
        let number = cluster.next_reply;
        cluster.next_reply += 1;
        self.set(Record::Reply(
            number,
            Reply {
                id,
                outcome: prost::Message::encode_to_vec(outcome).into(),
            },
        ));
        while self.state.replies.len() > REPLIES_MAX {
            let Some(oldest) = self.state.replies.keys().next().copied() else {
                break;
            };
            self.unset(Key::reply(oldest));
        }
    }

    fn reserve_node(&mut self, name: &str) -> Result<u64> {
        if let Some(node) = self.state.nodes.values().find(|n| n.name == name) {
            return Ok(node.id);
        }
        if self.state.nodes.len() >= kv_ring::ring::MAX_MEMBERS {
            return refuse(
                MetaRefusal::Limit,
                "the cluster has as many nodes as it can",
            );
        }
        let mut cluster = self.state.cluster.clone();
        let id = cluster.next_node;
        cluster.next_node += 1;
        self.set(Record::Cluster(cluster));
        self.set(Record::Node(Node {
            id,
            name: name.to_owned(),
            weight: 1,
            state: NodeState::Joining as i32,
            ..Default::default()
        }));
        Ok(id)
    }

    fn register(&mut self, start: &Register) -> Result<u64> {
        let Some(node) = self
            .state
            .nodes
            .get(&start.node)
            .filter(|n| n.state() != NodeState::Removed && !n.lost)
        else {
            return refuse(
                MetaRefusal::UnknownNode,
                format!(
                    "node {} is not a member of this cluster any more: it was removed or given up for lost, and its partitions live on other nodes; keep its disk until you are sure that nothing is missed, then delete it",
                    start.node
                ),
            );
        };
        if start.incarnation < node.incarnation
            || start.incarnation == node.incarnation && start.nonce != node.nonce
        {
            return refuse(
                MetaRefusal::RolledBack,
                format!(
                    "node {} has started {} times, but its disk knows of {} only: it is an old copy",
                    node.id, node.incarnation, start.incarnation
                ),
            );
        }
        if start.incarnation == node.incarnation {
            return Ok(node.id);
        }
        let version_max = start.version_max.max(version::FIRST);
        if version_max < self.state.cluster.cluster_version {
            return refuse(
                MetaRefusal::OldBuild,
                version::too_old(self.state.cluster.cluster_version, version_max),
            );
        }
        let mut node = node.clone();
        (node.incarnation, node.nonce) = (start.incarnation, start.nonce);
        node.version_max = version_max;
        if matches!(node.state(), NodeState::Joining | NodeState::Down) {
            node.set_state(NodeState::Up);
            node.down_since_ms = 0;
        }
        let id = node.id;
        self.set(Record::Node(node));
        Ok(id)
    }

    fn create_table(&mut self, new: &CreateTable) -> Result<u64> {
        if let Some(table) = self.state.table_named(&new.table.account, &new.table.name) {
            return refuse(
                MetaRefusal::InUse,
                format!("Table already exists: {}", table.name),
            );
        }
        if self.state.tables.len() >= TABLES_MAX {
            return refuse(
                MetaRefusal::Limit,
                "Subscriber limit exceeded: the cluster has as many tables as it can",
            );
        }
        let partitions = match new.partitions {
            0 => self.partitions_for(new),
            asked => asked,
        };
        if partitions > PARTITIONS_PER_TABLE_MAX {
            return refuse(
                MetaRefusal::Invalid,
                format!("a table is made with at most {PARTITIONS_PER_TABLE_MAX} partitions"),
            );
        }
        let mut cluster = self.state.cluster.clone();
        let id = cluster.next_table;
        cluster.next_table += 1;
        self.make_keyspace(&mut cluster, id, partitions)?;
        let indexes = self.new_indexes(&mut cluster, &new.indexes)?;
        let streams = new
            .stream
            .iter()
            .map(|stream| self.new_stream(&mut cluster, stream));
        let streams = streams.collect();
        self.set(Record::Cluster(cluster));
        self.set(Record::Table(Table {
            id,
            uuid: new.uuid.clone(),
            account: new.table.account.clone(),
            name: new.table.name.clone(),
            hash: new.hash.clone(),
            range: new.range.clone(),
            state: TableState::Creating as i32,
            read_units: new.read_units,
            write_units: new.write_units,
            deletion_protection: new.deletion_protection,
            created_ms: new.created_ms,
            billing_changed_ms: 0,
            consumers: new.consumers.clone(),
            indexes,
            streams,
            expiry: new.expiry.clone(),
            extras: new.extras.as_ref().map(|change| {
                let mut extras = Extras::default();
                extras.apply(change);
                extras
            }),
        }));
        Ok(id)
    }

    fn partitions_for(&self, new: &CreateTable) -> u32 {
        let reads = new.read_units.div_ceil(READ_UNITS_PER_PARTITION);
        let writes = new.write_units.div_ceil(WRITE_UNITS_PER_PARTITION);
        let wanted = reads.max(writes).min(u64::from(PARTITIONS_PER_TABLE_MAX)) as u32;
        wanted.max(self.state.cluster.partitions_per_table)
    }

    fn named(&self, name: &TableName) -> Result<Table> {
        match self.state.table_named(&name.account, &name.name) {
            Some(table) => Ok(table.clone()),
            None => refuse(MetaRefusal::NotFound, name.name.clone()),
        }
    }

    fn update_table(&mut self, change: &UpdateTable) -> Result<u64> {
        let mut table = self.named(&change.table)?;
        if table.state() != TableState::Active {
            return refuse(MetaRefusal::InUse, table.name);
        }
        if let Some(NewBilling {
            read_units,
            write_units,
            at_ms,
        }) = change.billing
        {
            let on_demand = |read, write| read == 0 && write == 0;
            if on_demand(read_units, write_units) && !on_demand(table.read_units, table.write_units)
            {
                table.billing_changed_ms = at_ms;
            }
            (table.read_units, table.write_units) = (read_units, write_units);
        }
        if let Some(protection) = change.deletion_protection {
            table.deletion_protection = protection;
        }
        if let Some(expiry) = &change.expiry {
            table.expiry = Some(expiry.clone());
        }
        if let Some(extras) = &change.extras {
            table.extras.get_or_insert_default().apply(extras);
        }
        if let Some(index) = &change.index {
            self.change_indexes(&mut table, index)?;
        }
        if let Some(stream) = &change.stream {
            self.change_stream(&mut table, stream)?;
        }
        let id = table.id;
        self.set(Record::Table(table));
        Ok(id)
    }

    fn delete_table(&mut self, name: &TableName) -> Result<u64> {
        let mut table = self.named(name)?;
        if table.state() != TableState::Active {
            return refuse(MetaRefusal::InUse, table.name);
        }
        if table.deletion_protection {
            return refuse(MetaRefusal::Invalid, table.name);
        }
        table.set_state(TableState::Deleting);
        let id = table.id;
        self.set(Record::Table(table));
        Ok(id)
    }

    fn table_ready(&mut self, id: u64) -> Result<u64> {
        if let Some(table) = self
            .state
            .tables
            .get(&id)
            .filter(|t| matches!(t.state(), TableState::Creating | TableState::Updating))
        {
            let mut table = table.clone();
            table.set_state(TableState::Active);
            for index in &mut table.indexes {
                if index.state() != TableState::Deleting {
                    index.set_state(TableState::Active);
                    index.backfilling = false;
                }
            }
            self.set(Record::Table(table));
        }
        Ok(id)
    }

    fn drop_table(&mut self, id: u64) -> Result<u64> {
        if self
            .state
            .tables
            .get(&id)
            .is_some_and(|t| t.state() == TableState::Deleting)
        {
            let indexes = self.state.tables.get(&id).map(|t| t.indexes.clone());
            let keyspaces = indexes
                .into_iter()
                .flatten()
                .filter(|i| !i.local)
                .map(|i| i.id);
            for keyspace in keyspaces.chain([id]) {
                self.drop_keyspace(keyspace);
            }
            self.unset(Key::table(id));
        }
        Ok(id)
    }
}

/// The first row that a table can have.
pub fn table_start(table: u64) -> Bytes {
    Bytes::copy_from_slice(&table.to_be_bytes())
}

/// The first row behind a table.
pub fn table_end(table: u64) -> Bytes {
    Bytes::copy_from_slice(&(table + 1).to_be_bytes())
}

/// The first row of a token.
pub fn token_row(table: u64, token: Token) -> Bytes {
    let mut row = Vec::with_capacity(24);
    row.extend_from_slice(&table.to_be_bytes());
    row.extend_from_slice(&token.0.to_be_bytes());
    row.into()
}
