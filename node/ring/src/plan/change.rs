//! What a candidate change of the layout does to the distance from the targets.
//!
//! The distance is a sum of squares, of load and share of each node, each relative to its target:
//! Σ (load − target)² / target + ⅒ Σ (share − target)² / target. A change with one free length x adds a + b·x to some nodes'
//! loads and shares, so the distance is a parabola in x with a closed minimum.

use super::layout::{Amount, Layout};

/// What the distance of shares counts against that of loads: data is worth more than who is asked first.
const SHARE_WEIGHT: f64 = 0.1;

#[derive(Clone, Copy, Debug, Default)]
struct Line {
    node: u32,
    fixed: Amount,
    slope: Amount,
}

/// A candidate change: what nodes gain, as a line in one free length.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    lines: Vec<Line>,
}

/// A change at its best length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Optimum {
    pub length: f64,
    /// By how much the distance shrinks; negative if it grows.
    pub gain: f64,
}

impl Change {
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    fn line(&mut self, node: u32) -> &mut Line {
        let index = self
            .lines
            .iter()
            .position(|line| line.node == node)
            .unwrap_or_else(|| {
                self.lines.push(Line {
                    node,
                    ..Line::default()
                });
                self.lines.len() - 1
            });
        &mut self.lines[index]
    }

    /// The arc of that fixed length goes from the nodes of one list to those of another.
    pub fn relist(&mut self, from: &[u32], to: &[u32], length: f64) {
        difference(to, from).for_each(|node| self.line(node).fixed.load += length);
        difference(from, to).for_each(|node| self.line(node).fixed.load -= length);
    }

    /// A piece of the free length goes from one list to another, and from one first node to another.
    pub fn relist_free(&mut self, from: &[u32], to: &[u32], (first, then): (u32, u32)) {
        difference(to, from).for_each(|node| self.line(node).slope.load += 1.0);
        difference(from, to).for_each(|node| self.line(node).slope.load -= 1.0);
        self.line(then).slope.share += 1.0;
        self.line(first).slope.share -= 1.0;
    }

    /// A fixed length goes from one first node to another.
    pub fn reshare(&mut self, from: u32, to: u32, length: f64) {
        self.line(to).fixed.share += length;
        self.line(from).fixed.share -= length;
    }

    /// The length within `[low, high]` that brings the layout nearest to `targets`, where a unit of it costs `price`.
    pub fn optimum(
        &self,
        layout: &Layout,
        targets: &[Amount],
        (low, high): (f64, f64),
        price: f64,
    ) -> Optimum {
        let (mut constant, mut linear, mut square) = (0.0, price, 0.0);
        let mut add = |is: f64, target: f64, fixed: f64, slope: f64, weight: f64| {
            let error = is - target;
            constant += (2.0 * error + fixed) * fixed * weight / target;
            linear += 2.0 * (error + fixed) * slope * weight / target;
            square += slope * slope * weight / target;
        };
        for Line { node, fixed, slope } in &self.lines {
            let (is, target) = (layout.amounts[*node as usize], targets[*node as usize]);
            add(is.load, target.load, fixed.load, slope.load, 1.0);
            add(
                is.share,
                target.share,
                fixed.share,
                slope.share,
                SHARE_WEIGHT,
            );
        }
        let best = if square > 0.0 {
            -linear / (2.0 * square)
        } else {
            low
        };
        let length = best.clamp(low, high);
        Optimum {
            length,
            gain: -(constant + linear * length + square * length * length),
        }
    }

    /// Books the change at that length.
    pub fn book(&self, amounts: &mut [Amount], length: f64) {
        for Line { node, fixed, slope } in &self.lines {
            let amount = &mut amounts[*node as usize];
            amount.load += fixed.load + slope.load * length;
            amount.share += fixed.share + slope.share * length;
        }
    }
}

/// The nodes of `a` that are not in `b`.
fn difference<'a>(a: &'a [u32], b: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    a.iter()
        .copied()
        .filter(move |node| *node != super::layout::NOBODY && !b.contains(node))
}
