//! Who stays, who goes, and what places are to be filled. Pure, and the same for the same nodes in any order.
//!
//! ```text
//! nodes ──► gone for good, or in a zone or group that is no more ──► leave
//!   │
//!   └─► of each group the surplus: the youngest of the fullest zone ──► taken over by a group that lacks nodes, else leave
//!         └─► what a group still lacks: places in the emptiest zones ──► join
//!                └─► zones two apart: one node is replaced in the emptier zone, by one that would leave if there is such a one
//! ```
//!
//! Invariant: applied again to who stays plus the places filled, whether those who leave are still there or not, it changes nothing.

use std::collections::BTreeMap;

use kv_ring::NodeId;

use crate::reconcile::Cluster;

/// A node that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// Who.
    pub id: NodeId,
    /// Its group, empty if not known.
    pub group: String,
    /// Its zone.
    pub zone: String,
    /// It must go, whatever else.
    pub must_go: bool,
    /// It gives its data away already: of two nodes of one zone it goes first.
    pub is_draining: bool,
}

/// A place to be filled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the group.
    pub group: String,
    /// The zone.
    pub zone: String,
}

/// Who should be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Who stays, and in which group.
    pub keep: BTreeMap<NodeId, String>,
    /// Who goes.
    pub leave: Vec<NodeId>,
    /// What is to be filled.
    pub join: Vec<Place>,
}

/// The work of one call.
struct Draft<'a> {
    cluster: &'a Cluster,
    nodes: BTreeMap<NodeId, &'a Have>,
    /// Group by node that stays.
    keep: BTreeMap<NodeId, usize>,
    spare: Vec<NodeId>,
    join: Vec<(usize, String)>,
    /// Nodes that stay and come, by group and by zone.
    of_group: Vec<usize>,
    of_zone: BTreeMap<String, usize>,
}

/// Compares what is wanted with who is there.
#[must_use]
pub fn roster(cluster: &Cluster, have: &[Have]) -> Roster {
    let mut draft = Draft::new(cluster, have);
    draft.trim();
    draft.adopt();
    draft.fill();
    draft.even_out();
    let name = |group: usize| cluster.groups[group].name.clone();
    let keep: BTreeMap<NodeId, String> = draft
        .keep
        .iter()
        .map(|(&id, &group)| (id, name(group)))
        .collect();
    Roster {
        leave: draft
            .nodes
            .keys()
            .copied()
            .filter(|id| !keep.contains_key(id))
            .collect(),
        join: draft
            .join
            .iter()
            .map(|(group, zone)| Place {
                group: name(*group),
                zone: zone.clone(),
            })
            .collect(),
        keep,
    }
}

impl<'a> Draft<'a> {
    fn new(cluster: &'a Cluster, have: &'a [Have]) -> Self {
        let mut draft = Self {
            cluster,
            nodes: have.iter().map(|node| (node.id, node)).collect(),
            keep: BTreeMap::new(),
            spare: Vec::new(),
            join: Vec::new(),
            of_group: vec![0; cluster.groups.len()],
            of_zone: cluster.zones.iter().map(|zone| (zone.clone(), 0)).collect(),
        };
        for node in have.iter().filter(|node| !node.must_go) {
            let group = cluster
                .groups
                .iter()
                .position(|group| group.name == node.group);
            match group.filter(|&group| draft.fits(group, node)) {
                Some(group) => draft.put(node.id, group),
                None => draft.spare.push(node.id),
            }
        }
        draft
    }

    fn fits(&self, group: usize, node: &Have) -> bool {
        match &self.cluster.groups[group].zone {
            Some(zone) => *zone == node.zone,
            None => self.cluster.zones.contains(&node.zone),
        }
    }

    fn put(&mut self, id: NodeId, group: usize) {
        self.keep.insert(id, group);
        self.of_group[group] += 1;
        *self
            .of_zone
            .entry(self.nodes[&id].zone.clone())
            .or_default() += 1;
    }

    fn take(&mut self, id: NodeId) {
        if let Some(group) = self.keep.remove(&id) {
            self.of_group[group] -= 1;
            *self
                .of_zone
                .entry(self.nodes[&id].zone.clone())
                .or_default() -= 1;
        }
    }

    fn add(&mut self, group: usize, zone: String) {
        self.of_group[group] += 1;
        *self.of_zone.entry(zone.clone()).or_default() += 1;
        self.join.push((group, zone));
    }

    fn wanted(&self, group: usize) -> usize {
        usize::try_from(self.cluster.groups[group].count).unwrap_or(usize::MAX)
    }

    fn lacks(&self, group: usize) -> usize {
        self.wanted(group).saturating_sub(self.of_group[group])
    }

    fn in_zone(&self, zone: &str) -> usize {
        self.of_zone.get(zone).copied().unwrap_or(0)
    }

    /// The node of a group that goes first: of the fullest zone, already draining, the youngest.
    fn first_to_go(&self, group: usize) -> Option<NodeId> {
        let of_group = self.keep.iter().filter(|&(_, &of)| of == group);
        of_group
            .map(|(id, _)| self.nodes[id])
            .max_by_key(|node| (self.in_zone(&node.zone), node.is_draining, node.id))
            .map(|node| node.id)
    }

    /// Takes the surplus out of each group.
    fn trim(&mut self) {
        for group in 0..self.cluster.groups.len() {
            while self.of_group[group] > self.wanted(group) {
                let Some(id) = self.first_to_go(group) else {
                    break;
                };
                self.take(id);
                self.spare.push(id);
            }
        }
    }

    /// Lets groups that lack nodes take over spare ones, those first that are bound to a zone.
    fn adopt(&mut self) {
        self.spare.sort_unstable();
        for group in self.bound_first() {
            while self.lacks(group) > 0 {
                let fitting = self
                    .spare
                    .iter()
                    .map(|id| self.nodes[id])
                    .filter(|node| self.fits(group, node));
                let best = fitting
                    .min_by_key(|node| (self.in_zone(&node.zone), node.is_draining, node.id));
                let Some(id) = best.map(|node| node.id) else {
                    break;
                };
                self.spare.retain(|&other| other != id);
                self.put(id, group);
            }
        }
    }

    fn bound_first(&self) -> Vec<usize> {
        let mut groups: Vec<usize> = (0..self.cluster.groups.len()).collect();
        groups.sort_by_key(|&group| (self.cluster.groups[group].zone.is_none(), group));
        groups
    }

    fn emptiest_zone(&self) -> Option<String> {
        let named = self
            .cluster
            .zones
            .iter()
            .min_by_key(|zone| self.in_zone(zone));
        named.cloned()
    }

    fn fill(&mut self) {
        for group in self.bound_first() {
            for _ in 0..self.lacks(group) {
                let bound = self.cluster.groups[group].zone.clone();
                let Some(zone) = bound.or_else(|| self.emptiest_zone()) else {
                    return;
                };
                self.add(group, zone);
            }
        }
    }

    /// Replaces nodes of groups that may be anywhere while zones are two apart and more.
    fn even_out(&mut self) {
        loop {
            let movable = self
                .keep
                .iter()
                .filter(|&(_, &group)| self.cluster.groups[group].zone.is_none());
            let fullest = movable.max_by_key(|&(id, _)| {
                let node = self.nodes[id];
                (self.in_zone(&node.zone), node.is_draining, node.id)
            });
            let Some((&id, &group)) = fullest else {
                return;
            };
            let Some(to) = self.emptiest_zone() else {
                return;
            };
            if self.in_zone(&self.nodes[&id].zone) < self.in_zone(&to) + 2 {
                return;
            }
            self.take(id);
            // Who is there already and would leave is as good as a new one, and counted as one it would make the new one surplus.
            let there = self.spare.iter().map(|id| self.nodes[id]);
            let best = there
                .filter(|node| node.zone == to)
                .min_by_key(|node| (node.is_draining, node.id));
            match best.map(|node| node.id) {
                Some(other) => {
                    self.spare.retain(|&id| id != other);
                    self.put(other, group);
                }
                None => self.add(group, to),
            }
        }
    }
}
