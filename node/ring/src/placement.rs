//! Which nodes hold a position: zones first, then hosts, then the walk.
//!
//! The preference list of a position is chosen one node at a time. Of the nodes not chosen yet take the one
//!
//! 1. whose **zone** holds the fewest chosen nodes; among those
//! 2. whose **host** holds the fewest chosen nodes; among those
//! 3. whose **token** comes first, clockwise from the position, a token at the position itself included.
//!
//! So replicas go to distinct zones while zones suffice; a zone gets a second one only when every zone with a node
//! to spare has one; within that, unused machines come first; and no node is ever chosen twice. A shorter list is
//! a prefix of a longer one.
//!
//! Two properties follow, which the planner relies on. The rule picks a lexicographically best base of a laminar
//! matroid, so (Murota, *Discrete Convex Analysis*, 2003, laminar concave functions):
//! - a token that is added or removed changes a position's set by at most one node: in goes the owner, out goes one
//!   other, or the reverse. New tokens move exactly what their owner gains, nothing between others;
//! - how many nodes each (zone count, host count) step takes is the same for every position. `Topology` computes
//!   that schedule once, and a step is one walk along the circle.

use std::collections::BTreeMap;

use crate::{Host, Zone};

/// The most replicas that a placement can have.
pub const MAX_REPLICAS: usize = 16;

/// After this many tokens of a walk the zones' own token lists are searched instead: a zone with few tokens among many
/// would make the walk long.
const WALK_MAX: usize = 96;

/// One step of the schedule: take `picks` nodes whose zone has `zone_count` and whose host `host_count` chosen nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    zone_count: usize,
    host_count: usize,
    picks: usize,
}

/// How many replicas of each position a zone holds: between `lo` and `hi`, which differ by at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quota {
    pub lo: usize,
    pub hi: usize,
}

/// Nodes by zone and host, as dense indices `0..nodes`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topology {
    /// The zone of each node.
    zone: Vec<u32>,
    /// The host of each node, unique over zones.
    host: Vec<u32>,
    /// The number of nodes on each host, by zone.
    zones: Vec<Vec<usize>>,
    schedule: Vec<Level>,
}

impl Topology {
    /// The topology of nodes in the given places, in that order.
    pub fn new<'a>(places: impl Iterator<Item = (&'a Zone, &'a Host)> + Clone) -> Self {
        let mut zone_ids: BTreeMap<&Zone, u32> =
            places.clone().map(|(zone, _)| (zone, 0)).collect();
        zone_ids
            .values_mut()
            .zip(0..)
            .for_each(|(id, index)| *id = index);
        let mut host_ids: BTreeMap<(&Zone, &Host), u32> =
            places.clone().map(|place| (place, 0)).collect();
        host_ids
            .values_mut()
            .zip(0..)
            .for_each(|(id, index)| *id = index);

        let mut host_nodes = vec![0; host_ids.len()];
        let (mut zone, mut host) = (Vec::new(), Vec::new());
        for place in places {
            zone.push(zone_ids[place.0]);
            host.push(host_ids[&place]);
            host_nodes[host_ids[&place] as usize] += 1;
        }
        let mut zones = vec![Vec::new(); zone_ids.len()];
        for ((zone, _), id) in host_ids {
            zones[zone_ids[zone] as usize].push(host_nodes[id as usize]);
        }
        let mut topology = Self {
            zone,
            host,
            zones,
            schedule: Vec::new(),
        };
        topology.schedule = topology.fill(MAX_REPLICAS).0;
        topology
    }

    /// The number of nodes.
    pub fn nodes(&self) -> usize {
        self.zone.len()
    }

    /// The zone of a node.
    pub fn zone_of(&self, node: u32) -> u32 {
        self.zone[node as usize]
    }

    /// The host of a node.
    pub fn host_of(&self, node: u32) -> u32 {
        self.host[node as usize]
    }

    /// The number of zones.
    pub fn zones(&self) -> usize {
        self.zones.len()
    }

    /// The zones' quotas of `replicas` replicas: the bounds within which the walk decides.
    pub fn quotas(&self, replicas: usize) -> Vec<Quota> {
        self.fill(replicas).1
    }

    /// How many nodes each host of a zone that holds `count` chosen nodes has at least: hosts fill evenly.
    pub fn host_level(&self, zone: usize, count: usize) -> usize {
        let filled = |level: usize| {
            self.zones[zone]
                .iter()
                .map(|&nodes| nodes.min(level))
                .sum::<usize>()
        };
        (1..=count)
            .take_while(|&level| filled(level) <= count)
            .last()
            .unwrap_or(0)
    }

    /// Fills zones and hosts evenly with `replicas` nodes: the steps, and what they leave each zone with.
    fn fill(&self, replicas: usize) -> (Vec<Level>, Vec<Quota>) {
        let sizes: Vec<usize> = self.zones.iter().map(|hosts| hosts.iter().sum()).collect();
        let mut quotas = vec![Quota { lo: 0, hi: 0 }; sizes.len()];
        let (mut levels, mut chosen) = (Vec::new(), 0);
        while chosen < replicas {
            let open = |zone: &usize| quotas[*zone].lo < sizes[*zone];
            let Some(zone_count) = (0..sizes.len())
                .filter(&open)
                .map(|zone| quotas[zone].lo)
                .min()
            else {
                break;
            };
            let least: Vec<(usize, usize)> = (0..sizes.len())
                .filter(|zone| open(zone) && quotas[*zone].lo == zone_count)
                .map(|zone| (self.host_level(zone, zone_count), zone))
                .collect();
            let Some(host_count) = least.iter().map(|&(level, _)| level).min() else {
                break;
            };
            let takers: Vec<usize> = least
                .into_iter()
                .filter(|&(level, _)| level == host_count)
                .map(|(_, zone)| zone)
                .collect();
            levels.push(Level {
                zone_count,
                host_count,
                picks: takers.len(),
            });
            chosen += takers.len();
            for &zone in &takers {
                quotas[zone].hi += 1;
                if chosen <= replicas {
                    quotas[zone].lo += 1;
                }
            }
        }
        (levels, quotas)
    }

    /// Chooses up to `replicas` nodes along `circle` from the token at `start` on.
    pub fn place<C: Circle>(&self, circle: &C, start: usize, replicas: usize) -> Chosen {
        let mut chosen = Chosen::default();
        for level in &self.schedule {
            let mut left = level.picks.min(replicas.saturating_sub(chosen.len));
            if left == 0 {
                break;
            }
            let mut matches = |node: u32| {
                let is_match = chosen.fits(self, level, node);
                if is_match {
                    chosen.push(node);
                    left -= 1;
                }
                left == 0
            };
            let walk = circle.len().min(WALK_MAX);
            if (0..walk).any(|step| matches(circle.owner(start, step))) {
                continue;
            }
            while left > 0 {
                let fits = |node| chosen.fits(self, level, node);
                let is_open = |zone| {
                    let count = chosen.in_zone(self, zone);
                    count == level.zone_count
                        && self.host_level(zone as usize, count) == level.host_count
                };
                let Some((_, node)) = circle.seek(start, fits, is_open) else {
                    break;
                };
                chosen.push(node);
                left -= 1;
            }
        }
        chosen
    }
}

/// A circle of tokens as [`Topology::place`] walks it.
pub(crate) trait Circle {
    /// How many tokens there are.
    fn len(&self) -> usize;
    /// The owner of the token `step` steps clockwise of the one at `start`.
    fn owner(&self, start: usize, step: usize) -> u32;
    /// The first token clockwise from `start` whose owner `fits`, in any zone that `is_open`: its step and its owner.
    fn seek(
        &self,
        start: usize,
        fits: impl Fn(u32) -> bool,
        is_open: impl Fn(u32) -> bool,
    ) -> Option<(usize, u32)>;
}

/// The nodes chosen for a position, in order of preference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    nodes: [u32; MAX_REPLICAS],
    len: usize,
}

impl Chosen {
    pub fn as_slice(&self) -> &[u32] {
        &self.nodes[..self.len]
    }

    pub fn contains(&self, node: u32) -> bool {
        self.as_slice().contains(&node)
    }

    fn push(&mut self, node: u32) {
        self.nodes[self.len] = node;
        self.len += 1;
    }

    fn in_zone(&self, topology: &Topology, zone: u32) -> usize {
        self.as_slice()
            .iter()
            .filter(|&&other| topology.zone_of(other) == zone)
            .count()
    }

    fn fits(&self, topology: &Topology, level: &Level, node: u32) -> bool {
        let (zone, host) = (topology.zone_of(node), topology.host_of(node));
        let (mut in_zone, mut on_host) = (0, 0);
        for &other in self.as_slice() {
            if other == node {
                return false;
            }
            in_zone += usize::from(topology.zone_of(other) == zone);
            on_host += usize::from(topology.host_of(other) == host);
        }
        in_zone == level.zone_count && on_host == level.host_count
    }
}
