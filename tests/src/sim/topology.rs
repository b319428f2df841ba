//! What an operator does meanwhile: nodes are drained, and taken back half-way.

use kv_core::meta::records::NodeState;
use kv_core::meta::wire::{Change, NodeChange, NodeEvent};
use kv_core::shard::Input;

use super::schedule::FAULTS_END_US;
use super::world::{What, World};

const SECOND: u64 = 1_000_000;

impl World {
    /// In larger clusters one node at a time drains for a while; in the end none does.
    pub(super) fn tend_nodes(&mut self) {
        let next = self.at_us + self.random.between(SECOND / 2, 5 * SECOND);
        self.push(next, What::Nodes);
        let asked = 1 + self.random.below(self.plan.nodes);
        if self.plan.nodes < 5 || !self.bootstrapped || !self.node(asked).is_running() {
            return;
        }
        let view = self.node(asked).view.clone();
        let draining = view
            .state
            .nodes
            .values()
            .find(|n| n.state() == NodeState::Draining)
            .map(|n| n.id);
        let ending = self.at_us > FAULTS_END_US;
        let (node, event) = match draining {
            Some(node) if ending || self.random.chance(500) => (node, NodeEvent::UndoDrain),
            None if !ending => (1 + self.random.below(self.plan.nodes), NodeEvent::Drain),
            _ => return,
        };
        match event {
            NodeEvent::Drain => self.counts.drains += 1,
            _ => self.counts.drains_undone += 1,
        }
        self.trace.note(self.at_us, &[60, node, event as u64], || {
            format!("an operator asks node {asked}: {event:?} {node}")
        });
        let change = Change::NodeChange(NodeChange {
            node,
            event: event as i32,
            at_ms: self.at_us / 1000,
        });
        let deadline_us = self.nodes[asked as usize - 1].clock.mono_us(self.at_us) + 3 * SECOND;
        let input = Input::Meta {
            token: 0,
            change,
            deadline_us,
        };
        self.feed(asked, 0, input);
    }
}
