//! Committed transactions whose coordinators are gone: their records are found, and they are brought to their ends.

use bytes::Bytes;

use super::super::Shard;
use super::{ASK_US, BACKGROUND_US, RUNNING_MAX, Sent};
use crate::api::{Answer, Caller, Error, Operation};
use crate::ids::GroupId;
use crate::transactions::record::{self, Record};

impl Shard {
    /// Looks for committed records in partitions led here whose coordinators are gone.
    pub(super) fn sweep_records(&mut self) {
        let Some(table) = self.records() else {
            return;
        };
        let led = self.replicas.iter().filter(|(_, replica)| {
            let partition = replica.partition();
            partition.is_some_and(|p| p.is_serving() && p.state.table == table)
        });
        let led: Vec<(GroupId, Bytes, Bytes)> = led
            .map(|(id, replica)| {
                let state = replica.state();
                (*id, state.start.clone(), state.end.clone())
            })
            .collect();
        let sweeping = &mut self.coordinator.sweeping;
        sweeping.retain(|id, _| led.iter().any(|(group, ..)| group == id));
        for (id, start, end) in led {
            let under_way = self
                .coordinator
                .sends
                .values()
                .any(|sent| matches!(sent, Sent::Sweep(group) if *group == id));
            if under_way {
                continue;
            }
            let from = self.coordinator.sweeping.get(&id).cloned();
            let from = from.filter(|from| start <= *from && *from < end);
            let page = record::orphans(table, from.unwrap_or(start), end, self.now.wall_ms);
            let deadline_us = self.now.mono_us + ASK_US;
            let caller = Caller::default();
            let operation = Operation::Page(page);
            self.send_transaction(Sent::Sweep(id), caller, operation, deadline_us, None);
        }
    }

    pub(super) fn on_swept(&mut self, group: GroupId, result: Result<Answer, Error>) {
        let Ok(Answer::Paged(page)) = result else {
            return;
        };
        let Some(table) = self.records() else {
            return;
        };
        // Behind the last one, or again from the start.
        match page.last {
            Some(last) => {
                let next = [&last[..], &[0]].concat().into();
                self.coordinator.sweeping.insert(group, next);
            }
            None => drop(self.coordinator.sweeping.remove(&group)),
        }
        let deadline_us = self.now.mono_us + BACKGROUND_US;
        for item in page.items {
            if self.coordinator.len() >= RUNNING_MAX {
                return;
            }
            if let Ok(record) = Record::parse(&item) {
                self.take_over(table, record, None, deadline_us);
            }
        }
    }
}
