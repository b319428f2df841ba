//! Which leaders go elsewhere and which partitions are split, so that no node is driven much harder than others: pure, from what leaders
//! report.
//!
//! A leader that can go to a colder replica goes there first. A partition that alone is too much for its node is split, and the leaders of its
//! parts go apart. Moving one group between two nodes is worth it only if it leaves them closer by more than what rates tell by chance, so
//! steady load moves nothing for long.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv_ring::Token;

use super::reports::Reports;
use crate::ids::{GroupId, ReplicaId};
use crate::meta::MetaState;
use crate::meta::records::{Group, Member, Node, NodeState, Role};
use crate::meta::wire::GroupReport;

/// A leader that went elsewhere stays there for so long, µs.
const STAY_US: u64 = 20_000_000;
/// Steps in one round.
const STEPS_MAX: usize = 8;
/// A partition is hot for so long before it is split, µs.
const HOT_US: u64 = 2_000_000;
/// Pause between two splits of one partition, µs: its parts are to be seen first.
const PAUSE_US: u64 = 4_000_000;
/// Positions on the ring that are looked at for a new part.
const POSITIONS: u128 = 64;
/// What a leader costs without a request, in requests a second.
const LEADER: f64 = 1.0;
/// A node that has so much more than all have on average is hot.
const HOT_RATIO: f64 = 1.25;

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Leadership of a group goes from a node, in this term, to another replica.
    Lead {
        group: GroupId,
        from: u64,
        term: u64,
        to: ReplicaId,
    },
    Split {
        group: GroupId,
        at: Bytes,
        /// Where the ring places the new part: on the coldest nodes.
        position: Option<Token>,
    },
}

/// What a leader of the metadata remembers of what it did.
#[derive(Debug, Default)]
pub struct Relief {
    /// Leaders stay until then, µs.
    stay: BTreeMap<u64, u64>,
    /// Since when partitions are too much for their nodes, µs.
    hot: BTreeMap<u64, u64>,
    /// Partitions that were split wait until then, µs.
    pause: BTreeMap<u64, u64>,
    /// Rows that no split relieves, by partition.
    pub keys: BTreeMap<u64, Bytes>,
}

/// Requests a second of a group.
fn requests(report: &GroupReport) -> f64 {
    let heat = report.heat.as_ref();
    heat.map_or(0.0, |heat| heat.reads_per_second + heat.writes_per_second)
}

/// Requests a second of a group, and what it costs to lead it.
fn load(report: &GroupReport) -> f64 {
    LEADER + requests(report)
}

/// A difference of loads that chance alone may make: rates are of about one second, and requests come as they like.
fn chance(load: f64, requests: f64) -> f64 {
    0.5 + 0.03 * load + 3.0 * requests.max(0.0).sqrt()
}

/// What the leaders of a node do.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    load: f64,
    requests: f64,
}

impl Work {
    fn add(&mut self, report: &GroupReport, sign: f64) {
        self.load += sign * load(report);
        self.requests += sign * requests(report);
    }
}

type Works = BTreeMap<u64, Work>;

/// Nodes that may be given leaders.
fn takers(state: &MetaState, shuns: impl Fn(u64) -> bool) -> BTreeSet<u64> {
    let permit = state.cluster.permit.as_ref().map(|permit| permit.node);
    let fit = |node: &&Node| {
        node.state() == NodeState::Up
            && node.down_since_ms == 0
            && !node.lost
            && permit != Some(node.id)
            && !shuns(node.id)
    };
    let fit: Vec<&Node> = state.nodes.values().filter(fit).collect();
    let zones = state.cluster.settings.as_ref();
    let zones = zones.map_or(&[][..], |settings| &settings.leader_zones);
    let liked = |node: &Node| zones.contains(&node.zone);
    // A preference that nobody meets is none.
    let any = fit.iter().any(|node| liked(node));
    let fit = fit.into_iter().filter(|node| !any || liked(node));
    fit.map(|node| node.id).collect()
}

impl Relief {
    pub fn clear(&mut self) {
        *self = Relief::default();
    }

    /// The next steps; none in a cluster whose load is as even as it gets. A partition with fewer than `hot` requests a second is not split.
    pub fn steps(
        &mut self,
        state: &MetaState,
        reports: &Reports,
        hot: f64,
        now_us: u64,
    ) -> Vec<Step> {
        let known = |id: &u64| state.groups.contains_key(id);
        self.stay.retain(|id, until| known(id) && now_us < *until);
        self.pause.retain(|id, until| known(id) && now_us < *until);
        let takers = takers(state, |node| reports.shuns(node));
        let led: Vec<(&Group, u64, &GroupReport)> = state
            .groups
            .values()
            .filter(|group| group.id != GroupId::META.0)
            .filter_map(|group| {
                let (node, report) = reports.fresh(group.id, now_us)?;
                Some((group, node, report))
            })
            .collect();
        let idle = |node: &u64| (*node, Work::default());
        let mut loads: Works = takers.iter().map(idle).collect();
        for (_, node, report) in &led {
            loads.entry(*node).or_default().add(report, 1.0);
        }
        let mut steps = Vec::new();
        let mut moved = BTreeSet::new();
        while steps.len() < STEPS_MAX {
            let best = led
                .iter()
                .filter(|(group, ..)| !moved.contains(&group.id))
                .filter(|(group, ..)| !self.stay.contains_key(&group.id))
                .filter_map(|(group, from, report)| {
                    let (to, gain) = best_taker(group, *from, report, &takers, &loads)?;
                    Some((gain, group.id, *from, report, to))
                })
                .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, group, from, report, to)) = best else {
                break;
            };
            moved.insert(group);
            loads.entry(from).or_default().add(report, -1.0);
            loads.entry(to.node).or_default().add(report, 1.0);
            self.stay.insert(group, now_us + STAY_US);
            steps.push(Step::Lead {
                group: GroupId(group),
                from,
                term: report.term,
                to: ReplicaId(to.replica),
            });
        }
        let too_much = |group: u64, mine: f64| mine >= hot && !moved.contains(&group);
        self.split_hot(state, &led, &loads, too_much, now_us, &mut steps);
        steps
    }

    /// Partitions that alone are too much for the nodes that lead them.
    fn split_hot(
        &mut self,
        state: &MetaState,
        led: &[(&Group, u64, &GroupReport)],
        loads: &Works,
        may: impl Fn(u64, f64) -> bool,
        now_us: u64,
        steps: &mut Vec<Step>,
    ) {
        let sum: f64 = loads.values().map(|work| work.load).sum();
        let mean = sum / loads.len().max(1) as f64;
        let mut hot = BTreeMap::new();
        self.keys.clear();
        for (group, node, report) in led {
            let (mine, all) = (load(report), loads.get(node).map_or(0.0, |w| w.load));
            let is_hot = all > mean * HOT_RATIO && mine > (all - mean) / 2.0;
            if !is_hot || !may(group.id, mine) {
                continue;
            }
            let since = self.hot.get(&group.id).copied().unwrap_or(now_us);
            hot.insert(group.id, since);
            if now_us < since + HOT_US {
                continue;
            }
            let heat = report.heat.as_ref();
            let Some(at) = heat.map(|heat| &heat.cut).filter(|at| !at.is_empty()) else {
                let key = heat.map(|heat| heat.top.clone()).filter(|k| !k.is_empty());
                self.keys.extend(key.map(|key| (group.id, key)));
                continue;
            };
            let settings = state.cluster.settings.as_ref();
            let free = !settings.is_some_and(|settings| settings.split_paused)
                && group.split.is_none()
                && group.target.is_empty()
                && !self.pause.contains_key(&group.id);
            if free && steps.len() < STEPS_MAX {
                self.pause.insert(group.id, now_us + PAUSE_US);
                let (group, at) = (GroupId(group.id), at.clone());
                let position = coldest(state, loads);
                steps.push(Step::Split {
                    group,
                    at,
                    position,
                });
            }
        }
        self.hot = hot;
    }
}

/// A position that the ring places on nodes with little to do; none where it has no choice.
fn coldest(state: &MetaState, loads: &Works) -> Option<Token> {
    let replicas = state.cluster.replication_factor as usize;
    if loads.len() <= replicas {
        return None;
    }
    let ring = state.ring().ok()?;
    let load = |token: &Token| -> f64 {
        let nodes = ring.placement(*token, replicas);
        let works = nodes.iter().filter_map(|node| loads.get(&node.0));
        works.map(|work| work.load).sum()
    };
    let tokens = (0..POSITIONS).map(|n| Token(u128::MAX / POSITIONS * n));
    let loads = tokens.map(|token| (load(&token), token));
    loads
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, token)| token)
}

/// The healthy voter elsewhere that leads a group with most gain, if there is one that is worth it.
fn best_taker<'a>(
    group: &Group,
    from: u64,
    report: &'a GroupReport,
    takers: &BTreeSet<u64>,
    loads: &Works,
) -> Option<(&'a Member, f64)> {
    if report.joint || !group.target.is_empty() || group.split.is_some() {
        return None;
    }
    let load_of = |node: u64| loads.get(&node).map_or(0.0, |work| work.load);
    let busy = loads.get(&from).map_or(0.0, |work| work.requests);
    let (mine, before) = (load(report), load_of(from));
    let leaves = !takers.contains(&from);
    report
        .members
        .iter()
        .filter(|m| m.node != from && m.role() == Role::Voter)
        .filter(|m| report.healthy.contains(&m.replica) && takers.contains(&m.node))
        .filter_map(|to| {
            let gap = before - load_of(to.node);
            // What both ends are closer to each other afterwards.
            let gain = gap - (gap - 2.0 * mine).abs();
            let worth = gap - mine > chance(before, busy) && gain > 0.02 * before;
            (worth || leaves).then_some((to, if leaves { f64::MAX } else { gain }))
        })
        .max_by(|a, b| {
            let colder = load_of(b.0.node).total_cmp(&load_of(a.0.node));
            a.1.total_cmp(&b.1).then(colder)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::wire::{Heat, NodeReport};

    const SECOND: u64 = 1_000_000;

    struct Cluster {
        state: MetaState,
        reports: Reports,
        relief: Relief,
        /// By group: leader and load.
        led: BTreeMap<u64, (u64, f64)>,
        now_us: u64,
        cut: Bytes,
    }

    impl Cluster {
        /// Three nodes; each group has a replica on all.
        fn new(led: &[(u64, f64)]) -> Cluster {
            let node = |id| Node {
                id,
                state: NodeState::Up as i32,
                ..Default::default()
            };
            let mut state = MetaState::default();
            state.nodes = (1..=3).map(|id| (id, node(id))).collect();
            for number in 0..led.len() as u64 {
                let id = 10 + number;
                let group = Group {
                    id,
                    table: 1,
                    ..Default::default()
                };
                state.groups.insert(id, group);
            }
            state.cluster.replication_factor = 3;
            let led = led.iter().enumerate();
            Cluster {
                state,
                reports: Reports::default(),
                relief: Relief::default(),
                led: led.map(|(n, led)| (10 + n as u64, *led)).collect(),
                now_us: SECOND,
                cut: Bytes::new(),
            }
        }

        /// A round: reports, steps, and leaders that went.
        fn round(&mut self, noise: impl Fn(f64) -> f64) -> Vec<Step> {
            self.now_us += SECOND / 2;
            for node in 1..=3 {
                let report = NodeReport {
                    node,
                    ..Default::default()
                };
                self.reports.take(report, &self.state, self.now_us);
            }
            for (group, (node, load)) in &self.led {
                let members = (1..=3).map(|node| Member {
                    node,
                    replica: group * 10 + node,
                    role: Role::Voter as i32,
                });
                let report = GroupReport {
                    group: *group,
                    members: members.collect(),
                    healthy: (1..=3).map(|node| group * 10 + node).collect(),
                    heat: Some(Heat {
                        reads_per_second: noise(*load),
                        cut: self.cut.clone(),
                        top: Bytes::from_static(b"key"),
                        ..Default::default()
                    }),
                    ..Default::default()
                };
                let report = NodeReport {
                    node: *node,
                    groups: vec![report],
                    ..Default::default()
                };
                self.reports.take(report, &self.state, self.now_us);
            }
            let steps = self
                .relief
                .steps(&self.state, &self.reports, 500.0, self.now_us);
            for step in &steps {
                if let Step::Lead { group, to, .. } = step {
                    self.led.get_mut(&group.0).unwrap().0 = to.0 % 10;
                }
            }
            steps
        }

        fn loads(&self) -> Vec<f64> {
            let of = |node| self.led.values().filter(move |led| led.0 == node);
            (1..=3)
                .map(|node| of(node).map(|led| led.1).sum())
                .collect()
        }
    }

    fn leads(steps: &[Step]) -> usize {
        let lead = |step: &&Step| matches!(step, Step::Lead { .. });
        steps.iter().filter(lead).count()
    }

    #[test]
    fn idle_leaders_are_spread_by_their_number() {
        let mut cluster = Cluster::new(&[(1, 0.0); 12]);
        for _ in 0..10 {
            cluster.round(|load| load);
        }
        for node in 1..=3 {
            let led = cluster.led.values().filter(|led| led.0 == node).count();
            assert!((3..=5).contains(&led), "{:?}", cluster.led);
        }
        assert_eq!(leads(&cluster.round(|load| load)), 0);
    }

    #[test]
    fn a_hot_leader_goes_in_the_first_round() {
        let mut cluster = Cluster::new(&[(1, 2000.0), (1, 1800.0), (2, 10.0), (3, 10.0)]);
        assert_eq!(leads(&cluster.round(|load| load)), 1);
        let loads = cluster.loads();
        assert!(loads.iter().all(|load| *load < 2500.0), "{loads:?}");
    }

    #[test]
    fn steady_skewed_load_moves_nothing_for_an_hour() {
        let loads = [
            900.0, 700.0, 500.0, 300.0, 200.0, 120.0, 60.0, 30.0, 5.0, 0.0,
        ];
        let led: Vec<(u64, f64)> = loads.iter().map(|load| (1, *load)).collect();
        let mut cluster = Cluster::new(&led);
        let mut random = 1_u64;
        let mut round = |cluster: &mut Cluster| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1);
            let seed = random;
            // About as far off as a Poisson process seen for a second.
            cluster.round(|load| {
                let mut mixed = seed ^ load.to_bits();
                mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let unit = (mixed >> 11) as f64 / (1_u64 << 53) as f64;
                (load + (unit - 0.5) * 3.0 * load.sqrt()).max(0.0)
            })
        };
        for _ in 0..200 {
            round(&mut cluster);
        }
        let moves: usize = (0..7200).map(|_| leads(&round(&mut cluster))).sum();
        assert_eq!(moves, 0, "{:?}", cluster.led);
        let loads = cluster.loads();
        assert!(
            loads.iter().all(|load| *load < 2815.0 / 3.0 * 1.2),
            "{loads:?}"
        );
    }

    #[test]
    fn one_partition_that_is_too_much_is_split_or_its_key_is_named() {
        let mut cluster = Cluster::new(&[(1, 3000.0), (2, 10.0), (3, 10.0)]);
        cluster.cut = Bytes::from_static(b"m");
        let steps: Vec<Step> = (0..6).flat_map(|_| cluster.round(|load| load)).collect();
        let (group, at) = (GroupId(10), Bytes::from_static(b"m"));
        let position = None;
        assert_eq!(
            steps,
            [Step::Split {
                group,
                at,
                position
            }]
        );
        let mut cluster = Cluster::new(&[(1, 3000.0), (2, 10.0), (3, 10.0)]);
        for _ in 0..6 {
            assert_eq!(cluster.round(|load| load), []);
        }
        assert_eq!(cluster.relief.keys[&10], "key");
    }

    #[test]
    fn leaders_leave_nodes_that_shun_them_or_lie_outside_the_preferred_zones() {
        let mut cluster = Cluster::new(&[(1, 5.0), (2, 5.0), (3, 5.0)]);
        for (id, node) in &mut cluster.state.nodes {
            node.zone = ["", "a", "b", "b"][*id as usize].into();
        }
        let settings = crate::meta::records::Settings {
            leader_zones: vec!["b".into()],
            ..Default::default()
        };
        cluster.state.cluster.settings = Some(settings);
        cluster.round(|load| load);
        assert!(
            cluster.led.values().all(|led| led.0 != 1),
            "{:?}",
            cluster.led
        );
    }
}
