//! What goes wrong and when: a plan drawn from the seed before the run begins.
//!
//! Faults have an end of their own. When the plan ends everything is healed, and the cluster must make progress again. At most one
//! node is lost for good, so that every group keeps a majority.

use super::network::Weather;
use super::random::Random;

/// True µs at which everything heals.
pub const FAULTS_END_US: u64 = 44_000_000;
const SECOND: u64 = 1_000_000;
/// The cluster has more than its first node by then.
const FOUNDED_US: u64 = 2 * SECOND;

/// Something that goes wrong, or right again. A `pick` chooses among what there is at that moment.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    Crash {
        node: u64,
    },
    /// Between two outputs of one step, after so many more of them.
    CrashBetween {
        node: u64,
        outputs: u64,
    },
    CrashAll,
    Start {
        node: u64,
    },
    /// The node's disk is gone, or a bit of its log flips; either way it never comes back.
    LoseDisk {
        node: u64,
    },
    FlipBit {
        node: u64,
        choice: u64,
    },
    Suspend {
        node: u64,
    },
    Resume {
        node: u64,
    },
    Cut {
        from: u64,
        to: u64,
    },
    Mend {
        from: u64,
        to: u64,
    },
    Isolate {
        node: u64,
    },
    Join {
        node: u64,
    },
    Weather(Weather),
    Drift {
        node: u64,
        ppm: i64,
    },
    Wall {
        node: u64,
        offset_ms: i64,
    },
    SlowDisk {
        node: u64,
    },
    UsualDisk {
        node: u64,
    },
    /// Nearly full: writes are refused; or full: whatever is written fails, and the process ends.
    NearlyFull {
        node: u64,
    },
    Full {
        node: u64,
    },
    Roomy {
        node: u64,
    },
    WantFlush {
        node: u64,
    },
    HandOver {
        node: u64,
    },
    /// Gossip tells a node that others are away, whether they are or not: bit n stands for node n.
    Gossip {
        node: u64,
        suspects: u64,
    },
    Transfer {
        pick: u64,
    },
    /// A transfer whose last word arrives late, when it was given up already and the leader is cut off.
    LateTransfer {
        pick: u64,
        late_us: u64,
    },
    /// A leader loses its connections, in both directions or one.
    IsolateLeader {
        pick: u64,
        for_us: u64,
    },
    SuspendLeader {
        pick: u64,
        for_us: u64,
    },
    /// A follower that keeps the leader's lease alive starts anew, while another has not heard the leader for a while. In a partition
    /// that saw no writes meanwhile that one may be elected.
    ForgetfulFollower {
        pick: u64,
        deaf_us: u64,
        for_us: u64,
    },
    /// A leader whose disk hardly syncs any more is asked to split its partition.
    StuckSplit {
        pick: u64,
        for_us: u64,
    },
    /// So is one whose answers don't reach some node.
    MuteSplit {
        pick: u64,
        for_us: u64,
    },
    /// Or one of whose followers a node is away.
    AbsentSplit {
        pick: u64,
        for_us: u64,
    },
    Heal,
}

/// What a run stresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Mixed,
    /// Leaders are cut off, stopped, transferred; clocks drift.
    Leaders,
    /// Small logs and long absences.
    Snapshots,
    /// Crashes and slow disks.
    Crashes,
}

/// A run's plan.
#[derive(Clone, Debug)]
pub struct Plan {
    pub nodes: u64,
    pub scenario: Scenario,
    pub flush_log_bytes: usize,
    pub drift_ppm: Vec<i64>,
    pub faults: Vec<(u64, Fault)>,
}

/// Draws a plan.
pub fn plan(seed: u64, random: &mut Random) -> Plan {
    let nodes = if seed % 3 == 2 { 5 } else { 3 };
    let scenario = [
        Scenario::Mixed,
        Scenario::Leaders,
        Scenario::Snapshots,
        Scenario::Crashes,
    ][(seed % 4) as usize];
    let sizes: &[usize] = if scenario == Scenario::Snapshots {
        &[3_000, 6_000, 12_000]
    } else {
        &[8_000, 40_000, 200_000]
    };
    let flush_log_bytes = *random.pick(sizes).unwrap_or(&40_000);
    let drifts = scenario == Scenario::Leaders || random.chance(300);
    let drift = |random: &mut Random| match drifts {
        true => *random.pick(&[-50_000, 50_000, 0, -20_000]).unwrap_or(&0),
        false => random.below(200) as i64 - 100,
    };
    let drift_ppm = (0..nodes).map(|_| drift(random)).collect();
    let mut drawing = Drawing {
        nodes,
        random,
        faults: Vec::new(),
        lost: false,
    };
    let mut at = if drawing.random.chance(200) {
        1_000
    } else {
        2 * SECOND
    };
    while at < FAULTS_END_US - SECOND {
        drawing.draw(scenario, at);
        at += drawing.random.between(100_000, 3 * SECOND);
    }
    let mut faults = drawing.faults;
    faults.retain(|(at, _)| *at < FAULTS_END_US);
    faults.push((FAULTS_END_US, Fault::Heal));
    faults.sort_by_key(|(at, _)| *at);
    Plan {
        nodes,
        scenario,
        flush_log_bytes,
        drift_ppm,
        faults,
    }
}

struct Drawing<'a> {
    nodes: u64,
    random: &'a mut Random,
    faults: Vec<(u64, Fault)>,
    lost: bool,
}

impl Drawing<'_> {
    fn node(&mut self) -> u64 {
        1 + self.random.below(self.nodes)
    }

    fn push(&mut self, at: u64, fault: Fault) {
        self.faults.push((at, fault));
    }

    fn draw(&mut self, scenario: Scenario, at: u64) {
        let kind = self.random.below(100);
        match scenario {
            Scenario::Mixed => match kind {
                0..20 => self.crash(at),
                20..30 => self.network(at),
                30..42 => self.leader(at),
                42..55 => self.disk(at),
                55..68 => self.clock(at),
                68..75 => self.hand_over(at),
                75..83 => self.cut(at),
                83..90 => self.suspend(at),
                _ => self.split(at),
            },
            Scenario::Leaders => match kind {
                0..62 => self.leader(at),
                62..72 => self.split(at),
                72..80 => self.cut(at),
                80..90 => self.suspend(at),
                90..95 => self.crash(at),
                _ => self.clock(at),
            },
            Scenario::Snapshots => match kind {
                0..42 => self.absence(at),
                42..50 => self.split(at),
                50..60 => self.crash(at),
                60..75 => self.cut(at),
                75..85 => self.network(at),
                _ => self.leader(at),
            },
            Scenario::Crashes => match kind {
                0..46 => self.crash(at),
                46..54 => self.split(at),
                54..70 => self.disk(at),
                70..80 => self.network(at),
                80..90 => self.leader(at),
                _ => self.hand_over(at),
            },
        }
    }

    fn crash(&mut self, at: u64) {
        let node = self.node();
        let back = at + self.random.between(20_000, 4 * SECOND);
        match self.random.below(20) {
            0..8 => self.push(at, Fault::Crash { node }),
            8..15 => {
                let outputs = 1 + self.random.below(12);
                self.push(at, Fault::CrashBetween { node, outputs });
            }
            15..18 => {
                self.push(at, Fault::CrashAll);
                for node in 1..=self.nodes {
                    let back = at + self.random.between(20_000, 3 * SECOND);
                    self.push(back, Fault::Start { node });
                }
            }
            _ if !self.lost && self.random.chance(300) => {
                self.lost = true;
                let choice = self.random.next_u64();
                let fault = if self.random.chance(500) {
                    Fault::LoseDisk { node }
                } else {
                    Fault::FlipBit { node, choice }
                };
                // Before the others have joined all there is may be on the one disk.
                let founded = at >= FOUNDED_US;
                self.push(
                    at,
                    if founded {
                        fault
                    } else {
                        Fault::Crash { node }
                    },
                );
            }
            _ => self.push(at, Fault::Crash { node }),
        }
        self.push(back, Fault::Start { node });
    }

    /// Away for so long that the others have moved on.
    fn absence(&mut self, at: u64) {
        let node = self.node();
        let back = at + self.random.between(3 * SECOND, 10 * SECOND);
        if self.random.chance(500) {
            self.push(at, Fault::Crash { node });
            self.push(back, Fault::Start { node });
        } else {
            self.push(at, Fault::Isolate { node });
            self.push(back, Fault::Join { node });
        }
    }

    fn network(&mut self, at: u64) {
        let weather = match self.random.below(3) {
            0 => Weather {
                loss_permille: 20 + self.random.below(200),
                ..Weather::FAIR
            },
            1 => Weather {
                duplicates_permille: 100 + self.random.below(300),
                late_permille: 100,
                late_us: 2 * SECOND,
                ..Weather::FAIR
            },
            _ => Weather {
                loss_permille: 10,
                duplicates_permille: 50,
                late_permille: 200,
                delay_us: 20_000,
                late_us: 600_000,
            },
        };
        self.push(at, Fault::Weather(weather));
        let end = at + self.random.between(SECOND, 5 * SECOND);
        self.push(end, Fault::Weather(Weather::FAIR));
    }

    fn cut(&mut self, at: u64) {
        let end = at + self.random.between(200_000, 5 * SECOND);
        let (from, to) = (self.node(), self.node());
        if self.random.chance(300) {
            self.push(at, Fault::Isolate { node: from });
            self.push(end, Fault::Join { node: from });
        } else if from != to {
            self.push(at, Fault::Cut { from, to });
            self.push(end, Fault::Mend { from, to });
            if self.random.chance(500) {
                self.push(at, Fault::Cut { from: to, to: from });
                self.push(end, Fault::Mend { from: to, to: from });
            }
        }
    }

    fn suspend(&mut self, at: u64) {
        let node = self.node();
        self.push(at, Fault::Suspend { node });
        let end = at + self.random.between(50_000, 5 * SECOND);
        self.push(end, Fault::Resume { node });
    }

    fn leader(&mut self, at: u64) {
        let pick = self.random.next_u64();
        let for_us = self.random.between(300_000, 4 * SECOND);
        let fault = match self.random.below(100) {
            0..20 => Fault::IsolateLeader { pick, for_us },
            20..35 => Fault::SuspendLeader { pick, for_us },
            35..55 => Fault::Transfer { pick },
            55..75 => Fault::LateTransfer {
                pick,
                late_us: self.random.between(1_050_000, 2_200_000),
            },
            _ => Fault::ForgetfulFollower {
                pick,
                deaf_us: self.random.between(400_000, 2_500_000),
                for_us,
            },
        };
        self.push(at, fault);
    }

    fn split(&mut self, at: u64) {
        let pick = self.random.next_u64();
        let fault = match self.random.below(3) {
            0 => Fault::StuckSplit {
                pick,
                for_us: self.random.between(2 * SECOND, 5 * SECOND),
            },
            1 => Fault::MuteSplit {
                pick,
                for_us: self.random.between(SECOND, 2 * SECOND),
            },
            _ => Fault::AbsentSplit {
                pick,
                for_us: self.random.between(200_000, 6 * SECOND),
            },
        };
        self.push(at, fault);
    }

    fn disk(&mut self, at: u64) {
        let node = self.node();
        let end = at + self.random.between(300_000, 5 * SECOND);
        match self.random.below(10) {
            0..5 => {
                self.push(at, Fault::SlowDisk { node });
                self.push(end, Fault::UsualDisk { node });
            }
            5..7 => {
                self.push(at, Fault::NearlyFull { node });
                self.push(end, Fault::Roomy { node });
            }
            7..8 => {
                self.push(at, Fault::Full { node });
                self.push(end, Fault::Roomy { node });
                self.push(end + 1_000, Fault::Start { node });
            }
            _ => self.push(at, Fault::WantFlush { node }),
        }
    }

    fn clock(&mut self, at: u64) {
        let node = self.node();
        if self.random.chance(500) {
            let ppm = *self.random.pick(&[-50_000, 50_000, 0]).unwrap_or(&0);
            self.push(at, Fault::Drift { node, ppm });
            return;
        }
        let offset_ms = *self
            .random
            .pick(&[-5_000, -700, 300, 900, 3_000])
            .unwrap_or(&0);
        self.push(at, Fault::Wall { node, offset_ms });
        let end = at + self.random.between(SECOND, 6 * SECOND);
        self.push(end, Fault::Wall { node, offset_ms: 0 });
    }

    /// A planned stop.
    fn hand_over(&mut self, at: u64) {
        let node = self.node();
        self.push(at, Fault::HandOver { node });
        let stop = at + self.random.between(100_000, SECOND);
        self.push(stop, Fault::Crash { node });
        let back = stop + self.random.between(100_000, 2 * SECOND);
        self.push(back, Fault::Start { node });
    }
}
