//! Faults at work.

use std::collections::BTreeSet;

use kv_core::ids::{GroupId, NodeId};
use kv_core::shard::Input;

use super::network::Weather;
use super::node::{Process, SHARDS};
use super::schedule::Fault;
use super::world::{What, World};

impl World {
    pub(super) fn strike(&mut self, fault: Fault) {
        if self.healed && !matches!(fault, Fault::Gossip { .. }) {
            return;
        }
        self.trace
            .note(self.at_us, &[10], || format!("fault: {fault:?}"));
        match fault {
            Fault::Crash { node } => self.crash(node),
            Fault::CrashBetween { node, outputs } => self.node(node).crash_after = Some(outputs),
            Fault::CrashAll => (1..=self.plan.nodes).for_each(|node| self.crash(node)),
            Fault::Start { node } => self.start(node),
            Fault::LoseDisk { node } => {
                self.crash(node);
                self.node(node).process = Process::Gone;
                self.counts.disks_lost += 1;
            }
            Fault::FlipBit { node, choice } => {
                self.crash(node);
                let node = self.node(node);
                node.flipped |= node.disk.log.flip(choice);
            }
            Fault::Suspend { node } => self.suspend(node),
            Fault::Resume { node } => self.resume(node),
            Fault::Weather(weather) => self.network.weather = weather,
            Fault::Drift { node, ppm } => {
                let at = self.at_us;
                self.node(node).clock.drift(at, ppm);
            }
            Fault::Wall { node, offset_ms } => self.node(node).clock.set_wall_offset(offset_ms),
            Fault::Heal => self.heal(),
            other => self.strike_more(other),
        }
    }

    fn strike_more(&mut self, fault: Fault) {
        match fault {
            Fault::Cut { from, to } => self.network.cut(from, to),
            Fault::Mend { from, to } => self.network.mend(from, to),
            Fault::Isolate { node } => self.isolate(node, true),
            Fault::Join { node } => self.isolate(node, false),
            Fault::SlowDisk { node } => self.node(node).disk.speed = super::disk::Speed::SLOW,
            Fault::UsualDisk { node } => self.node(node).disk.speed = super::disk::Speed::USUAL,
            Fault::NearlyFull { node } => self.tell(node, || Input::RefuseWrites(true)),
            Fault::Full { node } => {
                self.counts.disks_full += 1;
                self.node(node).disk.set_full(true);
            }
            Fault::Roomy { node } => {
                self.node(node).disk.set_full(false);
                self.tell(node, || Input::RefuseWrites(false));
            }
            Fault::WantFlush { node } => self.tell(node, || Input::WantFlush),
            Fault::HandOver { node } => {
                self.counts.hand_overs += 1;
                self.tell(node, || Input::HandOver);
            }
            Fault::Gossip { node, suspects } => {
                let suspects: BTreeSet<NodeId> = (1..=self.plan.nodes)
                    .filter(|id| suspects >> id & 1 == 1)
                    .map(NodeId)
                    .collect();
                self.tell(node, || Input::Suspects(suspects.clone()));
            }
            Fault::Transfer { pick } => drop(self.transfer(pick)),
            Fault::LateTransfer { pick, late_us } => self.late_transfer(pick, late_us),
            Fault::IsolateLeader { pick, for_us } => self.isolate_leader(pick, for_us),
            Fault::SuspendLeader { pick, for_us } => {
                if let Some((_, leader)) = self.leader(pick) {
                    self.suspend(leader);
                    self.push(
                        self.at_us + for_us,
                        What::Fault(Fault::Resume { node: leader }),
                    );
                }
            }
            Fault::ForgetfulFollower {
                pick,
                deaf_us,
                for_us,
            } => self.forgetful_follower(pick, deaf_us, for_us),
            Fault::StuckSplit { pick, for_us } => self.stuck_split(pick, for_us),
            Fault::MuteSplit { pick, for_us } => self.mute_split(pick, for_us),
            Fault::AbsentSplit { pick, for_us } => self.absent_split(pick, for_us),
            other => self.fail(format!("a fault that nobody knows: {other:?}")),
        }
    }

    /// Tells all shards of a node that runs.
    fn tell(&mut self, node: u64, input: impl Fn() -> Input) {
        if self.node(node).is_running() {
            for shard in 0..SHARDS {
                self.feed(node, shard, input());
            }
        }
    }

    fn suspend(&mut self, node: u64) {
        if self.node(node).is_running() {
            self.node(node).process = Process::Suspended;
            self.counts.suspensions += 1;
        }
    }

    fn isolate(&mut self, node: u64, cut: bool) {
        for other in (1..=self.plan.nodes).filter(|other| *other != node) {
            for (from, to) in [(node, other), (other, node)] {
                if cut {
                    self.network.cut(from, to)
                } else {
                    self.network.mend(from, to)
                }
            }
        }
    }

    /// Everything works again, except what is gone for good.
    fn heal(&mut self) {
        self.healed = true;
        self.network.mend_all();
        let at = self.at_us;
        for id in 1..=self.plan.nodes {
            let node = self.node(id);
            node.crash_after = None;
            node.clock.set_wall_offset(0);
            node.clock.drift(at, 0);
            node.disk.speed = super::disk::Speed::USUAL;
            node.disk.set_full(false);
            self.resume(id);
            self.start(id);
            self.tell(id, || Input::RefuseWrites(false));
        }
        self.network.weather = Weather::FAIR;
    }

    // ---- leaders ----

    /// A group that is led by a running node, and that node.
    fn leader(&mut self, pick: u64) -> Option<(GroupId, u64)> {
        let mut led: Vec<(GroupId, u64)> = Vec::new();
        for node in self.nodes.iter().filter(|n| n.is_running()) {
            let groups = node
                .cells
                .iter()
                .flat_map(|c| c.shard.inspect())
                .filter(|(g, _)| g.is_leader());
            led.extend(groups.map(|(group, _)| (group.id, node.id)));
        }
        led.sort_unstable();
        led.get((pick % led.len().max(1) as u64) as usize).copied()
    }

    /// Nodes of a group's other voters.
    pub(super) fn followers(&mut self, group: GroupId, leader: u64) -> Vec<u64> {
        let cells = self
            .node(leader)
            .cells
            .iter()
            .flat_map(|c| c.shard.inspect());
        let mut nodes: Vec<u64> = cells
            .filter(|(g, _)| g.id == group)
            .flat_map(|(g, _)| g.members().values().map(|n| n.0))
            .collect();
        nodes.retain(|node| *node != leader);
        nodes
    }

    fn transfer(&mut self, pick: u64) -> Option<(GroupId, u64, u64)> {
        let (group, leader) = self.leader(pick)?;
        let to = *self
            .followers(group, leader)
            .get((pick >> 32) as usize % 2)?;
        self.transfer_to(group, leader, to);
        self.counts.transfers += 1;
        Some((group, leader, to))
    }

    fn transfer_to(&mut self, group: GroupId, leader: u64, to: u64) {
        let shard = kv_core::wire::shard_of(group, SHARDS);
        self.node(leader).cells[shard as usize]
            .shard
            .transfer(group, NodeId(to));
        self.wake(leader, shard, 0);
    }

    /// The word to campaign reaches its receiver when the leader has given the transfer up; from then on nobody reaches the leader.
    fn late_transfer(&mut self, pick: u64, late_us: u64) {
        let Some((group, leader)) = self.leader(pick) else {
            return;
        };
        let followers = self.followers(group, leader);
        let Some(to) = followers
            .get((pick >> 32) as usize % followers.len().max(1))
            .copied()
        else {
            return;
        };
        self.counts.late_transfers += 1;
        let release = self.at_us + late_us;
        self.network.hold(leader, to, release);
        self.transfer_to(group, leader, to);
        for other in followers {
            self.push(
                release - 100,
                What::Fault(Fault::Cut {
                    from: other,
                    to: leader,
                }),
            );
            self.push(
                release + 1_500_000,
                What::Fault(Fault::Mend {
                    from: other,
                    to: leader,
                }),
            );
        }
    }

    fn isolate_leader(&mut self, pick: u64, for_us: u64) {
        let Some((_, leader)) = self.leader(pick) else {
            return;
        };
        self.counts.leaders_isolated += 1;
        let end = self.at_us + for_us;
        let (outwards, inwards) =
            [(true, true), (true, true), (true, false), (false, true)][(pick >> 40) as usize % 4];
        for other in (1..=self.plan.nodes).filter(|other| *other != leader) {
            for (from, to, cut) in [(leader, other, outwards), (other, leader, inwards)] {
                if cut {
                    self.network.cut(from, to);
                    self.push(end, What::Fault(Fault::Mend { from, to }));
                }
            }
        }
    }

    /// One follower has not heard the leader for about an election timeout; the other, that keeps the lease alive, starts anew.
    fn forgetful_follower(&mut self, pick: u64, deaf_us: u64, for_us: u64) {
        let Some((group, leader)) = self.leader(pick) else {
            return;
        };
        let followers = self.followers(group, leader);
        let &[a, b, ..] = followers.as_slice() else {
            return;
        };
        let (deaf, forgetful) = if pick >> 33 & 1 == 0 { (a, b) } else { (b, a) };
        self.counts.forgetful_followers += 1;
        let (now, end) = (self.at_us, self.at_us + deaf_us + for_us);
        for (from, to) in [(leader, deaf), (deaf, leader)] {
            self.network.cut(from, to);
            self.push(end, What::Fault(Fault::Mend { from, to }));
        }
        let restart = now + deaf_us;
        self.push(restart, What::Fault(Fault::Crash { node: forgetful }));
        self.push(
            restart + 1_000 + (pick >> 34) % 30_000,
            What::Fault(Fault::Start { node: forgetful }),
        );
        for (from, to) in [(leader, forgetful), (forgetful, leader)] {
            self.push(restart, What::Fault(Fault::Cut { from, to }));
            self.push(end, What::Fault(Fault::Mend { from, to }));
        }
    }
}
