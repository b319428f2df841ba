//! The local platform: nodes are child processes below one directory, all on loopback.
//!
//! Processes survive the operator: the next one finds them by their pid files ([`process`]) and takes them over. Invariant: at
//! most one process runs for a node, whoever started it ([`launch`]).

pub mod backoff;
pub mod dir;
mod error;
pub mod identity;
pub mod launch;
mod log;
pub mod node_config;
mod place;
pub mod ports;
pub mod process;
mod slot;
pub mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use kv_ring::NodeId;
use rustix::process::Signal;

pub use error::Error;
pub use slot::Event;

use super::authorities::Policy;
use super::node_config::{Advertise, AuthConfig, Listen, NodeConfig, Seed, Tls};
use super::{
    Action, Addresses, Certify, ClusterIdentity, Defaults, Disk, Inventory, NodeObject, Platform,
    Presence,
};
use crate::plan::seats::Seat;
use dir::{Dir, NodeDir};
use identity::IdentityFile;
use launch::Programs;
use place::Place;
use ports::{Ports, Preference};
use slot::Slot;

/// How long a node that is told to end may take beyond the time for which it serves on.
const FORCE_AFTER: Duration = Duration::from_secs(30);
/// Everyone on this machine is served, and nodes are dealt to three zones as if it had them.
pub const DEFAULTS: Defaults = Defaults {
    zones: &["a", "b", "c"],
    is_open: true,
};
/// All nodes of a local cluster run on this machine.
const HOST: &str = "localhost";

/// What starting nodes takes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name.
    pub cluster_name: String,
    /// The programs.
    pub programs: Programs,
    /// Which ports are tried first.
    pub ports: Preference,
}

/// A local cluster. With `options` it can start nodes, without it only looks and stops them.
#[derive(Debug)]
pub struct LocalPlatform {
    dir: Dir,
    options: Option<Options>,
    policy: Option<Policy>,
    slots: BTreeMap<NodeId, Slot>,
    events: Vec<Event>,
}

impl LocalPlatform {
    /// For who holds the lock of the directory.
    #[must_use]
    pub const fn new(dir: Dir, options: Options) -> Self {
        Self {
            dir,
            options: Some(options),
            policy: None,
            slots: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// For who only looks, or stops.
    #[must_use]
    pub const fn reader(dir: Dir) -> Self {
        Self {
            dir,
            options: None,
            policy: None,
            slots: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Takes what is wanted of certificates now.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = Some(policy);
    }

    fn policy(&self) -> Policy {
        self.policy.clone().unwrap_or_default()
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Keeps logs within their bound.
    pub fn trim_logs(&self) {
        for slot in self.slots.values() {
            if let Err(error) = log::trim(&slot.dir) {
                tracing::warn!(
                    node = slot.name,
                    error = &error as &dyn std::error::Error,
                    "can't trim the log"
                );
            }
        }
    }

    /// Sends a signal to a node's process; whether there is one.
    ///
    /// # Errors
    /// The system refuses.
    pub fn signal(&mut self, id: NodeId, signal: Signal) -> Result<bool, Error> {
        let Some(slot) = self.slots.get_mut(&id) else {
            return Ok(false);
        };
        slot.signal(signal)
    }

    /// The configured nodes, by id.
    fn configs(&self) -> Result<BTreeMap<NodeId, NodeConfig>, Error> {
        let mut configs = BTreeMap::new();
        let entries = match fs::read_dir(self.dir.nodes()) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(configs),
            Err(error) => return Err(Error::io("read", &self.dir.nodes())(error)),
        };
        for entry in entries {
            let path = entry.map_err(Error::io("read", &self.dir.nodes()))?.path();
            if let Some(config) = node_config::read(&NodeDir::at(path).config())? {
                configs.insert(NodeId(config.node_id), config);
            }
        }
        Ok(configs)
    }

    fn keep_identity(&self, cluster_id: &str, name: &str) -> Result<(), Error> {
        let path = self.dir.identity();
        match identity::read(&path)? {
            Some(there) if there.cluster_id == cluster_id => Ok(()),
            Some(_) => Err(Error::IdentityTaken { path }),
            None => {
                let cluster_id = cluster_id.to_owned();
                let format = identity::FORMAT;
                identity::write(
                    &path,
                    &IdentityFile {
                        format,
                        cluster_id,
                        name: name.to_owned(),
                        is_formed: false,
                        founders: BTreeSet::new(),
                    },
                )
            }
        }
    }

    /// Puts aside what is left of a cluster whose data are lost, and keeps a new identity. The old one goes last: until then all of
    /// this is done again.
    fn renew(&self, old_id: &str, cluster_id: &str) -> Result<(), Error> {
        let path = self.dir.identity();
        let Some(old) = identity::read(&path)? else {
            return Err(Error::IdentityMissing { path });
        };
        if old.cluster_id != old_id {
            return Err(Error::IdentityTaken { path });
        }
        let aside = self.dir.retired(old_id);
        dir::make_dir(&aside)?;
        dir::move_if_there(&self.dir.nodes(), &aside.join("nodes"))?;
        dir::move_if_there(&self.dir.tls(), &aside.join("tls"))?;
        let cluster_id = cluster_id.to_owned();
        identity::write(
            &path,
            &IdentityFile {
                cluster_id,
                is_formed: false,
                founders: BTreeSet::new(),
                ..old
            },
        )
    }

    fn certify(&self, step: &Certify) -> Result<(), Error> {
        let path = self.dir.identity();
        let Some(IdentityFile { cluster_id, .. }) = identity::read(&path)? else {
            return Err(Error::IdentityMissing { path });
        };
        let given = match step {
            Certify::Give(ids) => ids.clone(),
            _ => BTreeSet::new(),
        };
        let configs = self.configs()?;
        let nodes = configs.iter().filter(|(id, _)| given.contains(id));
        let nodes = nodes.map(|(id, config)| {
            let name = config.name.as_str();
            (id.0, name, self.dir.node(name))
        });
        tls::certify(&self.dir, &cluster_id, &self.policy(), step, nodes)
    }

    fn stop(&mut self, id: NodeId) -> Result<(), Error> {
        let drain = self
            .configs()?
            .get(&id)
            .map_or(0, |config| config.drain_seconds);
        let Some(slot) = self.slots.get_mut(&id) else {
            return Ok(());
        };
        slot.stop(Duration::from_secs(drain) + FORCE_AFTER)
    }

    /// Puts aside what is left of a node, or deletes it.
    fn forget(&mut self, id: NodeId, deletes_disk: bool) -> Result<(), Error> {
        let Some(config) = self.configs()?.remove(&id) else {
            return Ok(());
        };
        let node = self.dir.node(&config.name);
        if let Some(slot) = self.slots.get(&id)
            && slot.pid().is_some()
        {
            return Ok(());
        }
        if deletes_disk {
            // The configuration first: without it the rest is nobody's, and is not taken for a node.
            dir::remove_if_there(&node.config())?;
            dir::remove_if_there(node.root())?;
            self.events.push(Event::Deleted { name: config.name });
        } else {
            let aside = self.dir.retired(&config.cluster_id);
            dir::make_dir(&aside)?;
            let to = aside.join(&config.name);
            dir::move_if_there(node.root(), &to)?;
            self.events.push(Event::PutAside {
                name: config.name,
                to,
            });
        }
        self.slots.remove(&id);
        Ok(())
    }

    fn mark_formed(&self, founders: &BTreeSet<NodeId>) -> Result<(), Error> {
        let path = self.dir.identity();
        let identity =
            identity::read(&path)?.ok_or(Error::IdentityMissing { path: path.clone() })?;
        identity::write(
            &path,
            &IdentityFile {
                is_formed: true,
                founders: founders.iter().map(|id| id.0).collect(),
                ..identity
            },
        )
    }

    /// Certificates, ports and configurations. Ports that a node has it keeps; paths are those of today, in case the directory
    /// was moved.
    fn prepare(
        &mut self,
        cluster_id: &str,
        seats: &[Seat],
        preference: Preference,
    ) -> Result<(), Error> {
        let nodes = seats
            .iter()
            .map(|seat| (seat.id.0, seat.name.as_str(), self.dir.node(&seat.name)));
        if tls::make_all(&self.dir, cluster_id, &self.policy(), nodes)? {
            self.events.push(Event::CertificatesMade);
        }
        let there = self.configs()?;
        let mut taken: BTreeSet<u16> = there.values().flat_map(used_ports).collect();
        let mut ports = BTreeMap::new();
        for seat in seats {
            let index = u16::try_from(seat.id.0.saturating_sub(1)).unwrap_or(u16::MAX);
            let kept = there.get(&seat.id).and_then(ports_of);
            let chosen = match kept {
                Some(kept) => kept,
                None => ports::choose(index, preference, &mut taken)?,
            };
            ports.insert(seat.id, chosen);
        }
        let address = |port: u16| format!("127.0.0.1:{port}");
        let mut seeds: BTreeMap<u64, String> = there
            .values()
            .map(|config| (config.node_id, config.advertise.peer.clone()))
            .collect();
        seeds.extend(ports.iter().map(|(id, ports)| (id.0, address(ports.peer))));
        let seeds: Vec<Seed> = seeds
            .into_iter()
            .map(|(id, address)| Seed { id, address })
            .collect();
        for seat in seats {
            let Some(Ports {
                dynamo,
                kv,
                peer,
                metrics,
            }) = ports.get(&seat.id).copied()
            else {
                continue;
            };
            let node = self.dir.node(&seat.name);
            let config = NodeConfig {
                cluster_id: cluster_id.to_owned(),
                node_id: seat.id.0,
                name: seat.name.clone(),
                zone: seat.zone.clone(),
                host: HOST.to_owned(),
                data_dir: node.data(),
                listen: Listen {
                    dynamo: address(dynamo),
                    kv: address(kv),
                    peer: address(peer),
                    metrics: address(metrics),
                },
                advertise: Advertise {
                    dynamo: address(dynamo),
                    kv: address(kv),
                    peer: address(peer),
                },
                tls: Tls {
                    ca: tls::ca_path(&self.dir),
                    cert: node.cert(),
                    key: node.key(),
                },
                seeds: seeds.clone(),
                auth: AuthConfig::default(),
                drain_seconds: there.get(&seat.id).map_or(0, |config| config.drain_seconds),
            };
            let place = Place::read(&node.place())?;
            Place {
                group: seat.group.clone(),
                ..place
            }
            .write(&node.place())?;
            node_config::write(&node.config(), &config)?;
        }
        Ok(())
    }

    fn start(&mut self, id: NodeId, revision: &str, drain_seconds: u32) -> Result<(), Error> {
        let Some(options) = &self.options else {
            return Ok(());
        };
        let Some(mut config) = self.configs()?.remove(&id) else {
            return Ok(());
        };
        let node = self.dir.node(&config.name);
        let slot = self
            .slots
            .entry(id)
            .or_insert_with(|| Slot::new(&config.name, node.clone()));
        if !slot.may_start(Instant::now()) {
            return Ok(());
        }
        // The directory may have been moved since.
        config.data_dir = node.data();
        config.tls = Tls {
            ca: tls::ca_path(&self.dir),
            cert: node.cert(),
            key: node.key(),
        };
        let own = (id.0, config.name.as_str(), node.clone());
        let give = Certify::Give([id].into());
        let policy = self.policy.clone().unwrap_or_default();
        tls::certify(
            &self.dir,
            &config.cluster_id,
            &policy,
            &give,
            [own].into_iter(),
        )?;
        config.drain_seconds = u64::from(drain_seconds);
        node_config::write(&node.config(), &config)?;
        // Before the process: one that was started by an operator that died just then must not count as something else.
        let place = Place::read(&node.place())?;
        Place {
            revision: Some(revision.to_owned()),
            ..place
        }
        .write(&node.place())?;
        if let Some(port) = used_ports(&config)
            .into_iter()
            .find(|&port| !ports::is_free(port))
        {
            let error = Error::PortTaken {
                node: config.name,
                port,
            };
            self.events
                .push(slot.cannot_start(Instant::now(), &error.to_string()));
            return Err(error);
        }
        match launch::spawn(&options.programs, &node) {
            Ok(child) => {
                self.events.push(slot.started(child, Instant::now()));
                Ok(())
            }
            Err(error) => {
                self.events.push(
                    slot.cannot_start(Instant::now(), &crate::reconcile::apply::chain(&error)),
                );
                Err(error)
            }
        }
    }

    fn object(slot: &Slot, config: &NodeConfig, place: Place, presence: Presence) -> NodeObject {
        let Place { group, revision } = place;
        let Advertise { dynamo, kv, peer } = config.advertise.clone();
        NodeObject {
            id: NodeId(config.node_id),
            name: config.name.clone(),
            zone: config.zone.clone(),
            group,
            started_revision: revision,
            host: config.host.clone(),
            addresses: Addresses { dynamo, kv, peer },
            presence,
            disk: disk(&slot.dir.data()),
            pid: slot.pid(),
            // One that was started again just now may end again at once: the slot tells when the trouble is over.
            trouble: if matches!(presence, Presence::Absent | Presence::Running) {
                slot.trouble()
            } else {
                None
            },
        }
    }
}

impl Platform for LocalPlatform {
    type Error = Error;

    const DEFAULTS: Defaults = DEFAULTS;

    async fn observe(&mut self) -> Result<Inventory, Error> {
        let identity = identity::read(&self.dir.identity())?;
        let mut inventory = Inventory {
            identity: identity.map(
                |IdentityFile {
                     format: _,
                     name: _,
                     cluster_id,
                     is_formed,
                     founders,
                 }| ClusterIdentity {
                    cluster_id,
                    is_formed,
                    founders: founders.into_iter().map(NodeId).collect(),
                },
            ),
            nodes: BTreeMap::new(),
            orphaned: None,
            trust: tls::trust(&self.dir)?,
        };
        for (id, config) in self.configs()? {
            let node = self.dir.node(&config.name);
            let slot = self
                .slots
                .entry(id)
                .or_insert_with(|| Slot::new(&config.name, node));
            let presence = slot.look(Instant::now(), &mut self.events);
            let place = Place::read(&slot.dir.place())?;
            inventory
                .nodes
                .insert(id, Self::object(slot, &config, place, presence));
        }
        Ok(inventory)
    }

    async fn apply(&mut self, action: &Action) -> Result<(), Error> {
        let Some(options) = self.options.clone() else {
            return Ok(());
        };
        match action {
            Action::KeepIdentity { cluster_id } => {
                self.keep_identity(cluster_id, &options.cluster_name)
            }
            Action::Prepare { cluster_id, seats } => self.prepare(cluster_id, seats, options.ports),
            Action::Renew { old_id, cluster_id } => self.renew(old_id, cluster_id),
            Action::Start {
                id,
                revision,
                drain_seconds,
            } => self.start(*id, revision, *drain_seconds),
            // What ended is found Absent and started as what is wanted then.
            Action::Stop(id) | Action::Restart { id, .. } => self.stop(*id),
            Action::Forget { id, deletes_disk } => self.forget(*id, *deletes_disk),
            Action::MarkFormed { founders } => self.mark_formed(founders),
            Action::Certify(step) => self.certify(step),
        }
    }
}

fn disk(data: &Path) -> Disk {
    match fs::read_dir(data) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                Disk::Used
            } else {
                Disk::Empty
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Disk::Empty,
        Err(_) => Disk::Unknown,
    }
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

fn ports_of(config: &NodeConfig) -> Option<Ports> {
    let Listen {
        dynamo,
        kv,
        peer,
        metrics,
    } = &config.listen;
    Some(Ports {
        dynamo: port_of(dynamo)?,
        kv: port_of(kv)?,
        peer: port_of(peer)?,
        metrics: port_of(metrics)?,
    })
}

fn used_ports(config: &NodeConfig) -> Vec<u16> {
    let ports = ports_of(config);
    ports
        .map(
            |Ports {
                 dynamo,
                 kv,
                 peer,
                 metrics,
             }| vec![dynamo, kv, peer, metrics],
        )
        .unwrap_or_default()
}
