//! Planned tokens.
//!
//! ```text
//! initial   order tokens evenly by zone and weight  ──►  shift them until loads and shares are on target
//! join      insert tokens one by one, each where it helps most  ──►  shift the new ones
//! leave     remove tokens  ──►  shift a few others, within a bound on the data that this moves
//! reweight  insert or remove tokens of one node  ──►  shift its tokens
//! ```
//!
//! All of them aim at the same targets: loads at their best ([`crate::best_loads`]) and shares proportional to weight.
//! Everything is deterministic. A plan is a [`RingDelta`] against the epoch of the ring that it was made on.

mod change;
mod hand_over;
mod initial;
mod insert;
pub(crate) mod layout;
mod reference;
mod relax;
mod remove;

use std::collections::{BTreeMap, BTreeSet};

use crate::placement::Circle;
use crate::ring::MAX_MEMBERS;
use crate::{Error, MAX_REPLICAS, Member, NodeId, NodeSpec, Ring, RingDelta, Token};
use layout::Layout;
use reference::Reference;
use relax::{Budget, relax};

/// How many tokens a node of average weight gets.
pub const TOKENS_PER_NODE: usize = 32;
/// The fewest tokens that a node gets.
const TOKENS_MIN: usize = 8;
/// The most tokens that a plan gives to one node.
const TOKENS_MAX: usize = 1_024;
/// The most that a join or a leave moves, relative to the least that any plan could.
const MOVED_MAX: f64 = 1.08;
/// Nodes that take over tokens of leaving ones get at most so many times their usual number.
const CROWDED: usize = 2;
/// How often, and to nodes how far below their targets, a new cluster's plan adds tokens.
const DENSIFY_MAX: usize = 4;
const DENSIFY_BELOW: f64 = 0.02;
/// Up to this many tokens a ring is small: every new token is weighed against the ring as it is after the one before.
const SMALL_RING: usize = 4_096;
/// On larger rings new tokens come in so many rounds.
const ROUNDS_ON_LARGE_RINGS: usize = 8;

/// Plans the tokens of a new cluster.
///
/// # Errors
/// [`Error::NoNodes`], [`Error::BadReplicas`], or what is wrong with a node.
pub fn initial(nodes: &[NodeSpec], replicas: usize) -> Result<BTreeMap<NodeId, Vec<Token>>, Error> {
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|node| node.id);
    validate(&nodes, replicas)?;
    if nodes.is_empty() {
        return Err(Error::NoNodes);
    }
    let counts = token_counts(&nodes);
    let mut layout = Layout::new(&nodes, replicas, initial::order(&nodes, &counts));
    relax(&mut layout, None, |_, _| true);
    densify(&mut layout, &counts);
    let mut tokens: BTreeMap<NodeId, Vec<Token>> = BTreeMap::new();
    for (token, node) in layout.owned_tokens() {
        tokens
            .entry(nodes[node as usize].id)
            .or_default()
            .push(token);
    }
    Ok(tokens)
}

/// Plans the tokens of nodes that join. They need not be members yet to plan, but to apply the delta they must be.
///
/// Data moves to the new nodes, and a bounded little between others to even these out.
///
/// # Errors
/// [`Error::HasTokens`], [`Error::BadReplicas`], or what is wrong with a node.
pub fn join(ring: &Ring, new: &[NodeSpec], replicas: usize) -> Result<RingDelta, Error> {
    let has_tokens = |node: &&NodeSpec| {
        ring.member(node.id)
            .is_some_and(|member| !member.tokens.is_empty())
    };
    if let Some(node) = new.iter().find(has_tokens) {
        return Err(Error::HasTokens { node: node.id });
    }
    let mut draft = Draft::new(ring, |member| member.state.is_placeable());
    let members = draft.nodes.len();
    if members == 0 {
        let tokens = initial(new, replicas)?;
        let add = tokens
            .into_iter()
            .flat_map(|(id, tokens)| tokens.into_iter().map(move |token| (token, id)));
        return Ok(delta(ring, &BTreeMap::new(), add));
    }
    let mut new = new.to_vec();
    new.sort_by_key(|node| node.id);
    draft.nodes.append(&mut new);
    validate(&draft.nodes, replicas)?;
    // Where nodes that left have handed over tokens, arcs are short: new nodes need as many as the others have.
    let counts = token_counts(&draft.nodes);
    let usual: usize = counts[..members].iter().sum();
    let crowded = |count: usize| {
        (count * draft.tokens.len())
            .div_ceil(usual)
            .clamp(count, count * CROWDED)
    };
    let growing: Vec<(u32, usize)> = (0..)
        .zip(counts.iter().map(|&count| crowded(count)))
        .skip(members)
        .collect();
    let old = Layout::new(&draft.nodes[..members], replicas, draft.tokens.clone());
    let mut layout = draft.layout(replicas);
    grow(&mut layout, &growing);
    let budget = Budget {
        reference: &Reference::new(&old, Some),
        moved_max: moved_max(&layout, &old, Some),
    };
    relax(&mut layout, Some(&budget), |_, _| true);
    Ok(delta(ring, &draft.owned(), draft.owned_in(&layout)))
}

/// Plans the ring without the tokens of the given nodes, whatever state they are in.
///
/// Data moves away from them, and a bounded little between others to even these out.
///
/// # Errors
/// [`Error::UnknownNode`], [`Error::NoNodes`], [`Error::BadReplicas`].
pub fn leave(ring: &Ring, leaving: &[NodeId], replicas: usize) -> Result<RingDelta, Error> {
    let leaving: BTreeSet<NodeId> = leaving.iter().copied().collect();
    if let Some(&node) = leaving.iter().find(|&&node| ring.member(node).is_none()) {
        return Err(Error::UnknownNode { node });
    }
    let all = Draft::new(ring, |member| {
        member.state.is_placeable() || leaving.contains(&member.id)
    });
    let rest = Draft::new(ring, |member| {
        member.state.is_placeable() && !leaving.contains(&member.id)
    });
    validate(&rest.nodes, replicas)?;
    if rest.nodes.is_empty() {
        return Err(Error::NoNodes);
    }
    let mut layout = rest.layout(replicas);
    let index: Vec<Option<u32>> = all.nodes.iter().map(|node| rest.index(node.id)).collect();
    let freed: Vec<Token> = all
        .tokens
        .iter()
        .filter(|(_, node)| index[*node as usize].is_none())
        .map(|&(token, _)| token)
        .collect();
    let (old, index) = (all.layout(replicas), |node: u32| index[node as usize]);
    let budget = Budget {
        reference: &Reference::new(&old, index),
        moved_max: moved_max(&layout, &old, index),
    };
    bequeath(&mut layout, &budget, &freed, &token_counts(&rest.nodes));
    Ok(delta(ring, &all.owned(), rest.owned_in(&layout)))
}

/// Plans the tokens of a node for another weight. The member's own weight changes elsewhere, before or after.
///
/// Data moves to the node, or away from it, and a bounded little between others to even these out.
///
/// # Errors
/// [`Error::UnknownNode`], [`Error::NotPlaceable`], [`Error::BadWeight`], [`Error::BadReplicas`].
pub fn reweight(ring: &Ring, id: NodeId, weight: u32, replicas: usize) -> Result<RingDelta, Error> {
    let member = ring.member(id).ok_or(Error::UnknownNode { node: id })?;
    if !member.is_placeable() {
        return Err(Error::NotPlaceable { node: id });
    }
    let mut draft = Draft::new(ring, |member| member.state.is_placeable());
    let node = draft.index(id).ok_or(Error::NotPlaceable { node: id })?;
    let position = node as usize;
    let old = draft.layout(replicas);
    draft.nodes[position].weight = weight;
    validate(&draft.nodes, replicas)?;
    let mut layout = draft.layout(replicas);
    // The member may have its new weight already, so that only its load shows how far it has to go.
    let least = (layout.targets[position].load - layout.amounts[position].load).abs();
    let budget = Budget {
        reference: &Reference::new(&old, Some),
        moved_max: least * MOVED_MAX,
    };
    let (wanted, is) = (token_counts(&draft.nodes)[position], member.tokens.len());
    if wanted >= is {
        grow(&mut layout, &[(node, wanted - is)]);
        relax(&mut layout, Some(&budget), |_, _| true);
    } else {
        let freed = remove::remove(&mut layout, node, is - wanted);
        bequeath(&mut layout, &budget, &freed, &token_counts(&draft.nodes));
    }
    Ok(delta(ring, &draft.owned(), draft.owned_in(&layout)))
}

/// Plans shifts that bring the ring as near to its targets as moving at most `moved_max` allows, as a fraction of one
/// replica of all data.
///
/// # Errors
/// [`Error::NoNodes`], [`Error::BadReplicas`].
pub fn even_out(ring: &Ring, replicas: usize, moved_max: f64) -> Result<RingDelta, Error> {
    let draft = Draft::new(ring, |member| member.state.is_placeable());
    validate(&draft.nodes, replicas)?;
    if draft.nodes.is_empty() {
        return Err(Error::NoNodes);
    }
    let mut layout = draft.layout(replicas);
    let reference = Reference::new(&draft.layout(replicas), Some);
    relax(
        &mut layout,
        Some(&Budget {
            reference: &reference,
            moved_max,
        }),
        |_, _| true,
    );
    Ok(delta(ring, &draft.owned(), draft.owned_in(&layout)))
}

/// Inserts tokens of growing nodes and shifts them.
fn grow(layout: &mut Layout, growing: &[(u32, usize)]) {
    let most = growing.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let total = layout.tokens.len() + growing.iter().map(|&(_, count)| count).sum::<usize>();
    insert::insert(layout, growing, rounds(total, most));
    let nodes: Vec<u32> = growing.iter().map(|&(node, _)| node).collect();
    relax_own(layout, &nodes);
}

/// Gives nodes that lack load or share more tokens, up to [`CROWDED`] times `counts`, where shifting alone left them off.
fn densify(layout: &mut Layout, counts: &[usize]) {
    for _ in 0..DENSIFY_MAX {
        let lacks = |node: usize| {
            let (is, target) = (layout.amounts[node], layout.targets[node]);
            is.load < target.load * (1.0 - DENSIFY_BELOW)
                || is.share < target.share * (1.0 - DENSIFY_BELOW)
        };
        let room = |node: usize| {
            (counts[node] * CROWDED)
                .saturating_sub(layout.tokens_of(node))
                .min(counts[node] / 4)
        };
        let growing: Vec<(u32, usize)> = (0..)
            .zip(0..counts.len())
            .filter(|&(_, node)| lacks(node) && room(node) > 0)
            .map(|(id, node)| (id, room(node)))
            .collect();
        if growing.is_empty() {
            break;
        }
        let total = layout.tokens.len() + growing.iter().map(|&(_, count)| count).sum::<usize>();
        if total > SMALL_RING {
            break;
        }
        let most = growing.iter().map(|&(_, count)| count).max().unwrap_or(0);
        insert::insert(layout, &growing, most);
        relax(layout, None, |_, _| true);
    }
}

/// In how many rounds `count` tokens change on a ring of `total`: each looks at the whole ring anew.
fn rounds(total: usize, count: usize) -> usize {
    if total <= SMALL_RING {
        count
    } else {
        count.min(ROUNDS_ON_LARGE_RINGS)
    }
}

/// Shifts the tokens of these nodes only: data moves between them and others, never between others.
fn relax_own(layout: &mut Layout, nodes: &[u32]) {
    let mut is_own = vec![false; layout.topology.nodes()];
    nodes.iter().for_each(|&node| is_own[node as usize] = true);
    relax(layout, None, |layout, token| {
        is_own[layout.owners.owner(token, 0) as usize]
    });
}

/// The most that a join or a leave may move: a little more than any plan has to, to bring all nodes from their
/// old targets to the new ones. `index` maps nodes of the old layout to the new one.
fn moved_max(layout: &Layout, old: &Layout, index: impl Fn(u32) -> Option<u32>) -> f64 {
    let mut gains = layout.targets.clone();
    for (node, target) in (0..).zip(&old.targets) {
        if let Some(node) = index(node) {
            gains[node as usize].load -= target.load;
        }
    }
    gains.iter().map(|gain| gain.load.max(0.0)).sum::<f64>() * MOVED_MAX
}

/// Evens out what is left after tokens were `freed`, some by handing them to others. `counts` has the usual number of tokens of
/// each node.
fn bequeath(layout: &mut Layout, budget: &Budget<'_>, freed: &[Token], counts: &[usize]) {
    let tokens_max: Vec<usize> = counts.iter().map(|count| count * CROWDED).collect();
    hand_over::hand_over(
        layout,
        freed,
        budget,
        &tokens_max,
        rounds(layout.tokens.len(), freed.len()),
    );
    relax(layout, Some(budget), |_, _| true);
}

/// The nodes and tokens that a plan starts from.
struct Draft {
    nodes: Vec<NodeSpec>,
    tokens: Vec<(Token, u32)>,
}

impl Draft {
    /// Those members of a ring that have tokens and are `included`.
    fn new(ring: &Ring, included: impl Fn(&Member) -> bool) -> Self {
        let members = || {
            ring.members()
                .iter()
                .filter(|member| !member.tokens.is_empty() && included(member))
        };
        let tokens = members()
            .zip(0..)
            .flat_map(|(member, node)| member.tokens.iter().map(move |&token| (token, node)));
        Self {
            nodes: members().map(NodeSpec::from).collect(),
            tokens: tokens.collect(),
        }
    }

    /// The index of a node; nodes of a ring are ascending by id.
    fn index(&self, id: NodeId) -> Option<u32> {
        let index = self.nodes.binary_search_by_key(&id, |node| node.id).ok()?;
        u32::try_from(index).ok()
    }

    fn layout(&self, replicas: usize) -> Layout {
        Layout::new(&self.nodes, replicas, self.tokens.clone())
    }

    fn owned(&self) -> BTreeMap<Token, NodeId> {
        self.tokens
            .iter()
            .map(|&(token, node)| (token, self.nodes[node as usize].id))
            .collect()
    }

    fn owned_in<'a>(&'a self, layout: &'a Layout) -> impl Iterator<Item = (Token, NodeId)> + 'a {
        layout
            .owned_tokens()
            .map(|(token, node)| (token, self.nodes[node as usize].id))
    }
}

/// What turns the tokens `before` into those `after`.
fn delta(
    ring: &Ring,
    before: &BTreeMap<Token, NodeId>,
    after: impl Iterator<Item = (Token, NodeId)>,
) -> RingDelta {
    // Members that the plan leaves out (draining ones) keep their tokens: stay off these.
    let left_out = ring.members().iter().filter(|member| {
        member
            .tokens
            .first()
            .is_some_and(|token| !before.contains_key(token))
    });
    let hidden: BTreeSet<Token> = left_out
        .flat_map(|member| member.tokens.iter().copied())
        .collect();
    let after: BTreeMap<Token, NodeId> = after
        .map(|(mut token, id)| {
            while hidden.contains(&token) {
                token = Token(token.0.wrapping_add(1));
            }
            (token, id)
        })
        .collect();
    RingDelta {
        base_epoch: ring.epoch(),
        add: after
            .iter()
            .filter(|(token, id)| before.get(token) != Some(id))
            .map(|(&token, &id)| (id, token))
            .collect(),
        remove: before
            .iter()
            .filter(|(token, id)| after.get(token) != Some(id))
            .map(|(&token, _)| token)
            .collect(),
    }
}

/// How many tokens each node should have: proportional to its weight, within bounds.
fn token_counts(nodes: &[NodeSpec]) -> Vec<usize> {
    let total: u128 = nodes.iter().map(|node| u128::from(node.weight)).sum();
    let scale = TOKENS_PER_NODE as u128 * nodes.len() as u128;
    let count = |node: &NodeSpec| (u128::from(node.weight) * scale).div_ceil(total.max(1));
    nodes
        .iter()
        .map(|node| {
            usize::try_from(count(node))
                .unwrap_or(TOKENS_MAX)
                .clamp(TOKENS_MIN, TOKENS_MAX)
        })
        .collect()
}

fn validate(nodes: &[NodeSpec], replicas: usize) -> Result<(), Error> {
    if !(1..=MAX_REPLICAS).contains(&replicas) {
        return Err(Error::BadReplicas { replicas });
    }
    if nodes.len() > MAX_MEMBERS {
        return Err(Error::TooManyMembers { count: nodes.len() });
    }
    let mut ids = BTreeSet::new();
    for node in nodes {
        node.validate()?;
        if !ids.insert(node.id) {
            return Err(Error::DuplicateNode { node: node.id });
        }
    }
    Ok(())
}
