//! How hard the partitions are driven that are led here, told to the metadata's leader, which may want them led elsewhere.

use std::collections::BTreeMap;

use super::Shard;
use crate::api::Operation;
use crate::heat::{Rates, Shape};
use crate::ids::{GroupId, ReplicaId};
use crate::meta::wire::Heat;
use crate::partition::Partition;
use crate::wire::{Forward, Lead};

/// Ticks between two halvings of what samples hold.
const DECAY_TICKS: u64 = 10;
/// A partition with fewer requests a second is never too much for its node, unless set.
const HOT_REQUESTS: u32 = 500;
/// A load that has grown by so much since it was told is told at once: by this factor, and by as much as is worth a look.
const GROWN: f64 = 1.5;
/// Partitions told of at once in one tick.
const TOLD_MAX: usize = 16;

#[derive(Debug, Default)]
struct Led {
    term: u64,
    rates: Rates,
    told: f64,
}

/// What is known of partitions led here.
#[derive(Debug, Default)]
pub(super) struct Heats {
    led: BTreeMap<GroupId, Led>,
}

impl Shard {
    /// A request that this node's replica is asked to serve.
    pub(super) fn meter(&self, group: GroupId, forward: &Forward) {
        let leads = |id| self.replicas.get(&id).is_some_and(|r| r.group.is_leader());
        let Some(ticket) = self.view.ticket(group).filter(|_| leads(group)) else {
            return;
        };
        let meter = &ticket.meter;
        match &forward.operation {
            Some(operation @ (Operation::Write(_) | Operation::Prepare(_))) => {
                if let Some(write) = operation.write() {
                    meter.write(&write.row, prost::Message::encoded_len(write));
                }
            }
            Some(Operation::Entries(entries)) => {
                for entry in &entries.entries {
                    meter.write(&entry.row, entry.record.len());
                }
            }
            Some(Operation::Get(get)) => meter.read(&get.row, 0),
            Some(Operation::Page(page)) => meter.read(&page.start, 0),
            Some(Operation::Finish(_) | Operation::Rows(_)) | None => {}
        }
    }

    /// Requests a second from which on a partition may be too much for its node.
    pub(super) fn hot_requests(&self) -> f64 {
        f64::from(match self.config.hot_requests {
            0 => HOT_REQUESTS,
            set => set,
        })
    }

    /// Requests a second from which on a partition's load is looked at row by row.
    fn look_at(&self) -> f64 {
        self.hot_requests() / 5.0
    }

    pub(super) fn tick_heat(&mut self) {
        let now = self.now.mono_us;
        let (view, look_at) = (self.view.clone(), self.look_at());
        let mut grown = Vec::new();
        let mut led = std::mem::take(&mut self.heats.led);
        led.retain(|id, _| self.replicas.contains_key(id));
        for (id, replica) in &self.replicas {
            let leads = replica.group.is_leader() && replica.partition().is_some();
            let Some(ticket) = view.ticket(*id).filter(|_| leads) else {
                led.remove(id);
                continue;
            };
            let term = replica.group.term();
            let known = led.entry(*id).or_default();
            if known.term != term {
                *known = Led {
                    term,
                    rates: Rates::new(&ticket.meter, now),
                    told: 0.0,
                };
            }
            known.rates.update(&ticket.meter, now);
            if self.ticks.is_multiple_of(DECAY_TICKS) {
                ticket.meter.decay();
            }
            if known.rates.requests() > known.told * GROWN + look_at && grown.len() < TOLD_MAX {
                grown.push(*id);
            }
        }
        self.heats.led = led;
        for id in grown {
            self.report_group(id);
            self.told_heat(id);
        }
    }

    /// The metadata's leader has been told of a group.
    pub(super) fn told_heat(&mut self, id: GroupId) {
        if let Some(led) = self.heats.led.get_mut(&id) {
            led.told = led.rates.requests();
        }
    }

    /// What is to be told of a group led here.
    pub(super) fn heat_of(&self, id: GroupId) -> Option<Heat> {
        let rates = self.heats.led.get(&id)?.rates;
        let mut heat = Heat {
            reads_per_second: rates.reads,
            writes_per_second: rates.writes,
            bytes_per_second: rates.bytes,
            ..Default::default()
        };
        if rates.requests() >= self.look_at() {
            let shape = self.shape_of(id).unwrap_or_default();
            heat.cut = shape.cut.unwrap_or_default();
            if let Some((row, share)) = shape.top {
                (heat.top, heat.top_share) = (row, share);
            }
        }
        Some(heat)
    }

    fn shape_of(&self, id: GroupId) -> Option<Shape> {
        let rows = self.view.ticket(id)?.meter.rows();
        let record = self.view.group(id)?;
        let state = &self.view.state;
        Some(Shape::of(&rows, |row| state.split_point(record, row)))
    }

    /// The metadata's leader wants this group to be led elsewhere.
    pub(super) fn on_lead(&mut self, lead: &Lead) {
        let (id, to) = (GroupId(lead.group), ReplicaId(lead.replica));
        let now = self.now;
        let Some(replica) = self.replicas.get_mut(&id) else {
            return;
        };
        let is_splitting = replica.partition().is_some_and(Partition::is_splitting);
        let group = &replica.group;
        let may = group.is_leader()
            && group.term() == lead.term
            && !group.is_changing()
            && group.voters().contains(&to.0)
            && group.is_close(to, now)
            && !is_splitting;
        if may {
            self.counts.leads_moved += 1;
            replica.group.transfer(to);
            self.dirty.insert(id);
        }
    }
}
