//! What the transport counts. Counters a lane are resolved once, so that counting costs one atomic addition.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::refusal::Reason;
use super::{Fingerprint, Lane};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneLabel {
    lane: Lane,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabel {
    lane: Lane,
    reason: DropReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabel {
    reason: Reason,
}

/// Why a message was dropped before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The lane's queue is at its bound.
    Full,
    /// The peer can't be reached, or the link ended with messages waiting.
    Unreachable,
    /// No address is known.
    NoAddress,
    /// Above the largest message.
    TooLarge,
}

impl EncodeLabelValue for DropReason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(match self {
            DropReason::Full => "full",
            DropReason::Unreachable => "unreachable",
            DropReason::NoAddress => "no-address",
            DropReason::TooLarge => "too-large",
        })
    }
}

impl EncodeLabelValue for Lane {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(self.as_str())
    }
}

impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
        encoder.write_str(self.as_str())
    }
}

/// Cheap to clone; all clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    sent_messages: Family<LaneLabel, Counter>,
    sent_frames: Family<LaneLabel, Counter>,
    sent_bytes: Family<LaneLabel, Counter>,
    received_messages: Family<LaneLabel, Counter>,
    received_bytes: Family<LaneLabel, Counter>,
    dropped: Family<DropLabel, Counter>,
    refused: Family<RefusalLabel, Counter>,
    refused_by_peers: Family<RefusalLabel, Counter>,
    pub(super) links: Gauge,
    pub(super) sessions: Gauge,
    pub(super) connect_failures: Counter,
    certificate_expiry: Gauge,
    pub(super) certificate_reload_failures: Counter,
}

/// The counters of one lane.
#[derive(Debug)]
pub(super) struct LaneMetrics {
    pub(super) sent_messages: Counter,
    pub(super) sent_frames: Counter,
    pub(super) sent_bytes: Counter,
    pub(super) received_messages: Counter,
    pub(super) received_bytes: Counter,
}

impl Metrics {
    /// Names all of it in the node's registry.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("peer");
        registry.register(
            "sent_messages",
            "Messages written to peers",
            self.sent_messages.clone(),
        );
        registry.register(
            "sent_frames",
            "Frames written to peers; messages a frame is how well they batch",
            self.sent_frames.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Payload written to peers",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register(
            "received_messages",
            "Messages read from peers",
            self.received_messages.clone(),
        );
        registry.register_with_unit(
            "received",
            "Payload read from peers",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        registry.register(
            "dropped_messages",
            "Messages dropped before they were sent",
            self.dropped.clone(),
        );
        registry.register(
            "refusals",
            "Streams of peers that this node refused",
            self.refused.clone(),
        );
        registry.register(
            "refused_by_peers",
            "Streams of this node that peers refused",
            self.refused_by_peers.clone(),
        );
        registry.register(
            "links",
            "Connections to peers that are open for sending",
            self.links.clone(),
        );
        registry.register(
            "sessions",
            "Streams of peers that are open for receiving",
            self.sessions.clone(),
        );
        registry.register(
            "connect_failures",
            "Connections to peers that failed or broke",
            self.connect_failures.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the node's certificate expires",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "certificate_reload_failures",
            "Times that changed certificates could not be used",
            self.certificate_reload_failures.clone(),
        );
    }

    /// Messages dropped so far on a lane for a reason.
    pub fn dropped(&self, lane: Lane, reason: DropReason) -> u64 {
        self.dropped
            .get_or_create(&DropLabel { lane, reason })
            .get()
    }

    /// Streams refused so far for a reason.
    pub fn refused(&self, reason: Reason) -> u64 {
        self.refused.get_or_create(&RefusalLabel { reason }).get()
    }

    /// Messages sent so far on a lane.
    pub fn sent(&self, lane: Lane) -> u64 {
        self.sent_messages.get_or_create(&LaneLabel { lane }).get()
    }

    pub(super) fn count_dropped(&self, lane: Lane, reason: DropReason, messages: usize) {
        self.dropped
            .get_or_create(&DropLabel { lane, reason })
            .inc_by(messages as u64);
    }

    pub(super) fn count_refusal(&self, reason: Reason) {
        self.refused.get_or_create(&RefusalLabel { reason }).inc();
    }

    pub(super) fn count_refused_by_peer(&self, reason: Reason) {
        self.refused_by_peers
            .get_or_create(&RefusalLabel { reason })
            .inc();
    }

    pub(super) fn set_certificate(&self, fingerprint: &Fingerprint) {
        self.certificate_expiry
            .set(fingerprint.expires_unix_seconds);
    }

    pub(super) fn lane(&self, lane: Lane) -> LaneMetrics {
        let label = LaneLabel { lane };
        LaneMetrics {
            sent_messages: self.sent_messages.get_or_create_owned(&label),
            sent_frames: self.sent_frames.get_or_create_owned(&label),
            sent_bytes: self.sent_bytes.get_or_create_owned(&label),
            received_messages: self.received_messages.get_or_create_owned(&label),
            received_bytes: self.received_bytes.get_or_create_owned(&label),
        }
    }
}
