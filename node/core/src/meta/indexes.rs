//! Indexes and streams in the metadata: keyspaces of global indexes, and what a table's record means to the model.
//!
//! ```text
//!   CreateTable, UpdateTable ─► Creating, with partitions of its own ─► every partition of the table has entered its old items ─► Active
//!                                                                                       UpdateTable(delete) ─► Deleting ─► gone
//! ```

use bytes::Bytes;
use kv_model::index::{GLOBAL_MAX, IndexSchema, LOCAL_MAX, Place, Projection};
use kv_model::schema::{KeyAttribute, KeyKind, TableSchema};
use kv_ring::{Token, partition_position};

use super::records::{
    self, Cluster, Group, Index, Key, Member, ProjectionKind, Record, Role, Stream, Table,
    TableState,
};
use super::state::{Edit, MetaState, Result, refuse, table_end, table_start, token_row};
use super::wire::{IndexChange, IndexId, MetaRefusal, StreamChange};

/// Ended streams that a table keeps; the oldest goes first.
const ENDED_STREAMS_MAX: usize = 8;

impl Index {
    /// As the model knows it.
    pub fn schema(&self) -> IndexSchema {
        let keys = |keys: &[records::KeyAttribute]| keys.iter().map(key_of).collect();
        IndexSchema {
            name: self.name.clone(),
            place: if self.local {
                Place::Local(u8::try_from(self.id).unwrap_or(u8::MAX))
            } else {
                Place::Global(self.id)
            },
            hash: keys(&self.hash),
            range: keys(&self.range),
            projection: match self.projection() {
                ProjectionKind::All => Projection::All,
                ProjectionKind::KeysOnly => Projection::KeysOnly,
                ProjectionKind::Include => Projection::Include(self.include.clone()),
            },
        }
    }
}

impl Table {
    pub fn schema(&self) -> TableSchema {
        TableSchema {
            hash: key_of(&self.hash),
            range: self.range.as_ref().map(key_of),
        }
    }

    /// The stream that runs.
    pub fn stream(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.ended_ms == 0)
    }

    /// Readers of its partitions' change logs: global indexes that are not going, and all streams that can be read.
    pub fn readers(&self) -> impl Iterator<Item = (u64, Reader)> {
        let indexes = self.indexes.iter().filter(|index| !index.local);
        let indexes = indexes.filter(|index| index.state() != TableState::Deleting);
        let streams = self
            .streams
            .iter()
            .map(|stream| (stream.id, Reader::Stream));
        indexes
            .map(|index| (index.id, Reader::Index))
            .chain(streams)
    }

    /// Whether its item collections must stay in one partition.
    pub fn keeps_collections(&self) -> bool {
        self.indexes.iter().any(|index| index.local)
    }
}

/// Who reads a change log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Index,
    Stream,
}

fn key_of(record: &records::KeyAttribute) -> KeyAttribute {
    KeyAttribute {
        name: record.name.clone(),
        kind: match record.kind.as_str() {
            "N" => KeyKind::N,
            "B" => KeyKind::B,
            _ => KeyKind::S,
        },
    }
}

impl MetaState {
    /// Whether the partition of a keyspace may be cut inside an item collection.
    pub fn splits_collections(&self, keyspace: u64) -> bool {
        self.tables
            .get(&keyspace)
            .is_none_or(|table| !table.keeps_collections())
    }
}

impl Edit<'_> {
    /// Makes the partitions of a keyspace, spread evenly over the ring.
    pub(super) fn make_keyspace(
        &mut self,
        cluster: &mut Cluster,
        id: u64,
        partitions: u32,
    ) -> Result<()> {
        let ring = match self.state.ring() {
            Ok(ring) => ring,
            Err(error) => {
                return refuse(
                    MetaRefusal::Invalid,
                    format!("the ring can't place anything: {error}"),
                );
            }
        };
        let starts = Token::evenly_spaced(partitions);
        for (i, &start) in starts.iter().enumerate() {
            let position = partition_position(start, id);
            let nodes = ring.placement(position, cluster.replication_factor as usize);
            if nodes.is_empty() {
                return refuse(MetaRefusal::Invalid, "no node takes data");
            }
            let mut members = Vec::with_capacity(nodes.len());
            for node in nodes {
                members.push(Member {
                    node: node.0,
                    replica: cluster.next_replica,
                    role: Role::Voter as i32,
                });
                cluster.next_replica += 1;
            }
            let end = starts
                .get(i + 1)
                .map_or_else(|| table_end(id), |&next| token_row(id, next));
            self.set(Record::Group(Group {
                id: cluster.next_group,
                table: id,
                start: if i == 0 {
                    table_start(id)
                } else {
                    token_row(id, start)
                },
                end,
                range_version: 1,
                member_version: 1,
                members,
                position: Bytes::copy_from_slice(&position.0.to_be_bytes()),
                ..Default::default()
            }));
            cluster.next_group += 1;
        }
        Ok(())
    }

    pub(super) fn drop_keyspace(&mut self, keyspace: u64) {
        let groups: Vec<u64> = self.state.groups_of(keyspace).map(|g| g.id).collect();
        for group in groups {
            self.unset(Key::group(group));
        }
    }

    /// Gives new indexes their ids and global ones their partitions.
    pub(super) fn new_indexes(
        &mut self,
        cluster: &mut Cluster,
        asked: &[Index],
    ) -> Result<Vec<Index>> {
        let locals = asked.iter().filter(|index| index.local).count();
        if locals > LOCAL_MAX || asked.len() - locals > GLOBAL_MAX {
            return refuse(MetaRefusal::Limit, "too many indexes");
        }
        let mut local = 0;
        let mut indexes = Vec::with_capacity(asked.len());
        for index in asked {
            let mut index = index.clone();
            index.set_state(TableState::Creating);
            if index.local {
                local += 1;
                index.id = local;
            } else {
                index.id = cluster.next_table;
                cluster.next_table += 1;
                let partitions = cluster.partitions_per_table;
                self.make_keyspace(cluster, index.id, partitions)?;
            }
            indexes.push(index);
        }
        Ok(indexes)
    }

    pub(super) fn new_stream(&mut self, cluster: &mut Cluster, asked: &Stream) -> Stream {
        let id = cluster.next_table;
        cluster.next_table += 1;
        Stream {
            id,
            ended_ms: 0,
            ..asked.clone()
        }
    }

    pub(super) fn change_indexes(&mut self, table: &mut Table, change: &IndexChange) -> Result<()> {
        if let Some(asked) = &change.create {
            let global = table.indexes.iter().filter(|index| !index.local).count();
            if table.indexes.iter().any(|index| index.name == asked.name) {
                return refuse(
                    MetaRefusal::Invalid,
                    format!(
                        "Attempting to create an index which already exists: {}",
                        asked.name
                    ),
                );
            }
            if global >= GLOBAL_MAX {
                return refuse(MetaRefusal::Limit, "too many indexes");
            }
            let mut cluster = self.state.cluster.clone();
            let asked = Index {
                local: false,
                backfilling: true,
                ..asked.clone()
            };
            let made = self.new_indexes(&mut cluster, &[asked])?;
            table.indexes.extend(made);
            self.set(Record::Cluster(cluster));
        }
        if !change.delete.is_empty() {
            let found = table
                .indexes
                .iter_mut()
                .find(|index| index.name == change.delete && !index.local);
            let Some(index) = found else {
                return refuse(
                    MetaRefusal::NotFound,
                    format!(
                        "Requested resource not found: Index: {} not found",
                        change.delete
                    ),
                );
            };
            index.set_state(TableState::Deleting);
            index.backfilling = false;
        }
        for units in &change.units {
            let named = |index: &&mut Index| index.name == units.name && !index.local;
            if let Some(index) = table.indexes.iter_mut().find(named) {
                (index.read_units, index.write_units) = (units.read_units, units.write_units);
            }
        }
        if change.create.is_some() || !change.delete.is_empty() {
            table.set_state(TableState::Updating);
        }
        Ok(())
    }

    pub(super) fn change_stream(&mut self, table: &mut Table, change: &StreamChange) -> Result<()> {
        match &change.begin {
            Some(_) if table.stream().is_some() => {
                return refuse(MetaRefusal::Invalid, "Table already has an enabled stream");
            }
            Some(asked) => {
                let mut cluster = self.state.cluster.clone();
                let stream = self.new_stream(&mut cluster, asked);
                table.streams.push(stream);
                while table.streams.len() > ENDED_STREAMS_MAX + 1 {
                    table.streams.remove(0);
                }
                self.set(Record::Cluster(cluster));
                table.set_state(TableState::Updating);
            }
            None => {
                let running = table.streams.iter_mut().find(|stream| stream.ended_ms == 0);
                let Some(stream) = running else {
                    return refuse(MetaRefusal::Invalid, "Table has no stream to disable");
                };
                stream.ended_ms = change.end_ms.max(1);
            }
        }
        Ok(())
    }

    /// The entries of all items are in an index.
    pub(super) fn index_ready(&mut self, id: &IndexId) -> Result<u64> {
        self.edit_table(id.table, |table| {
            let making = table
                .indexes
                .iter_mut()
                .find(|index| index.id == id.index && !index.local);
            if let Some(index) = making.filter(|index| index.state() == TableState::Creating) {
                index.set_state(TableState::Active);
                index.backfilling = false;
            }
        })
    }

    /// An index that is being deleted goes, with its partitions.
    pub(super) fn drop_index(&mut self, id: &IndexId) -> Result<u64> {
        let going = |index: &Index| {
            index.id == id.index && !index.local && index.state() == TableState::Deleting
        };
        let table = self.state.tables.get(&id.table);
        if table.is_some_and(|table| table.indexes.iter().any(going)) {
            self.drop_keyspace(id.index);
            return self.edit_table(id.table, |table| {
                table.indexes.retain(|index| !going(index))
            });
        }
        Ok(id.table)
    }

    /// An ended stream goes.
    pub(super) fn drop_stream(&mut self, id: &IndexId) -> Result<u64> {
        self.edit_table(id.table, |table| {
            table
                .streams
                .retain(|stream| stream.id != id.index || stream.ended_ms == 0)
        })
    }

    fn edit_table(&mut self, id: u64, edit: impl FnOnce(&mut Table)) -> Result<u64> {
        if let Some(table) = self.state.tables.get(&id) {
            let mut changed = table.clone();
            edit(&mut changed);
            if changed != *table {
                self.set(Record::Table(changed));
            }
        }
        Ok(id)
    }
}
