//! The network between nodes: delay, loss, duplication, reordering within the delays, and cuts of one direction.
//!
//! It carries the bytes that a real one would; what is lost is lost silently.

use std::collections::{BTreeMap, BTreeSet};

use super::random::Random;

/// How the network behaves at present.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub loss_permille: u64,
    pub duplicates_permille: u64,
    /// Frames that take up to `late_us` instead of `delay_us`.
    pub late_permille: u64,
    pub delay_us: u64,
    pub late_us: u64,
}

impl Weather {
    pub const FAIR: Weather = Weather {
        loss_permille: 0,
        duplicates_permille: 0,
        late_permille: 2,
        delay_us: 900,
        late_us: 30_000,
    };
}

/// Links of all pairs.
#[derive(Debug)]
pub struct Network {
    pub weather: Weather,
    /// (from, to) of the directions that are cut.
    cut: BTreeSet<(u64, u64)>,
    /// Directions whose frames arrive only after a true moment.
    held: BTreeMap<(u64, u64), u64>,
    pub lost: u64,
    pub duplicated: u64,
}

impl Default for Network {
    fn default() -> Self {
        Network {
            weather: Weather::FAIR,
            cut: BTreeSet::new(),
            held: BTreeMap::new(),
            lost: 0,
            duplicated: 0,
        }
    }
}

impl Network {
    pub fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    pub fn mend(&mut self, from: u64, to: u64) {
        self.cut.remove(&(from, to));
    }

    /// Frames of a direction wait until a true moment, as behind a full buffer.
    pub fn hold(&mut self, from: u64, to: u64, until_us: u64) {
        self.held.insert((from, to), until_us);
    }

    pub fn mend_all(&mut self) {
        self.cut.clear();
        self.held.clear();
        self.weather = Weather::FAIR;
    }

    pub fn is_cut(&self, from: u64, to: u64) -> bool {
        self.cut.contains(&(from, to))
    }

    /// After how many µs a frame arrives: not at all, once, or twice.
    pub fn delays(
        &mut self,
        from: u64,
        to: u64,
        at_us: u64,
        random: &mut Random,
    ) -> [Option<u64>; 2] {
        let weather = self.weather;
        if self.is_cut(from, to) || random.chance(weather.loss_permille) {
            self.lost += 1;
            return [None, None];
        }
        let held_us = self
            .held
            .get(&(from, to))
            .map_or(0, |until| until.saturating_sub(at_us));
        let mut delay = || {
            let most = if random.chance(weather.late_permille) {
                weather.late_us
            } else {
                weather.delay_us
            };
            held_us + 50 + random.below(most)
        };
        let first = delay();
        if random.chance(weather.duplicates_permille) {
            self.duplicated += 1;
            let most = weather.late_us;
            return [Some(first), Some(50 + random.below(most))];
        }
        [Some(first), None]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_one_direction_only() {
        let mut network = Network::default();
        let mut random = Random::new(1);
        network.cut(1, 2);
        assert_eq!(network.delays(1, 2, 0, &mut random), [None, None]);
        assert!(network.delays(2, 1, 0, &mut random)[0].is_some());
        network.mend_all();
        assert!(network.delays(1, 2, 0, &mut random)[0].is_some());
        assert_eq!(network.lost, 1);
    }
}
