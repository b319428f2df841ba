//! Who a certificate of the cluster speaks for, written as a URI SAN (DESIGN §5):
//! `ringkv://<cluster-id>/node/<id>` or `ringkv://<cluster-id>/operator`.
//!
//! Besides, every node's certificate carries the DNS name [`TLS_SERVER_NAME`]: addresses come and go (pods, port
//! forwards, loopback), so clients verify this fixed name against the cluster's own CA, and the id in the URI.

use std::fmt;
use std::str::FromStr;

/// The DNS SAN of every node's certificate; what clients verify instead of the host that they dialled.
pub const TLS_SERVER_NAME: &str = "ringkv-node";

/// Longest cluster id, in bytes.
pub const CLUSTER_ID_LEN_MAX: usize = 64;

const SCHEME: &str = "ringkv://";

/// The subject of a certificate. Displays and parses as its URI.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    pub cluster_id: String,
    pub role: Role,
}

/// What the subject may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A node: speaks to peers for this id only, and may call the admin service.
    Node(u64),
    /// The operator: may call the admin service.
    Operator,
}

/// A URI that is no ringkv identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form ringkv://<cluster-id>/node/<id> or ringkv://<cluster-id>/operator")]
pub struct InvalidIdentity;

impl Identity {
    pub fn node(cluster_id: impl Into<String>, node_id: u64) -> Self {
        Identity {
            cluster_id: cluster_id.into(),
            role: Role::Node(node_id),
        }
    }

    pub fn operator(cluster_id: impl Into<String>) -> Self {
        Identity {
            cluster_id: cluster_id.into(),
            role: Role::Operator,
        }
    }

    /// Whether a URI claims to be a ringkv identity, well formed or not.
    pub fn claims(uri: &str) -> bool {
        uri.starts_with(SCHEME)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/", self.cluster_id)?;
        match self.role {
            Role::Node(id) => write!(f, "node/{id}"),
            Role::Operator => f.write_str("operator"),
        }
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    /// Accepts exactly what `Display` writes: one spelling an identity, so that comparing is safe.
    fn from_str(uri: &str) -> Result<Self, InvalidIdentity> {
        let (cluster_id, path) = uri
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.split_once('/'))
            .ok_or(InvalidIdentity)?;
        let plain = cluster_id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if cluster_id.is_empty() || cluster_id.len() > CLUSTER_ID_LEN_MAX || !plain {
            return Err(InvalidIdentity);
        }
        let role = match path.split_once('/') {
            None if path == "operator" => Role::Operator,
            Some(("node", id)) => Role::Node(parse_node_id(id)?),
            _ => return Err(InvalidIdentity),
        };
        Ok(Identity {
            cluster_id: cluster_id.to_owned(),
            role,
        })
    }
}

fn parse_node_id(digits: &str) -> Result<u64, InvalidIdentity> {
    let canonical = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    if !canonical {
        return Err(InvalidIdentity);
    }
    digits.parse().map_err(|_| InvalidIdentity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for identity in [
            Identity::node("0b9e-A", 7),
            Identity::node("c", u64::MAX),
            Identity::operator("c-1"),
        ] {
            assert_eq!(identity.to_string().parse(), Ok(identity));
        }
        assert_eq!(Identity::node("c1", 3).to_string(), "ringkv://c1/node/3");
        assert_eq!(Identity::operator("c1").to_string(), "ringkv://c1/operator");
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("ringkv://{}/operator", "a".repeat(CLUSTER_ID_LEN_MAX + 1));
        let bad = [
            "",
            "ringkv://",
            "ringkv://c",
            "ringkv:///operator",
            "ringkv://c/node/",
            "ringkv://c/node/0",
            "ringkv://c/node/01",
            "ringkv://c/node/+1",
            "ringkv://c/node/1/",
            "ringkv://c/node/18446744073709551616",
            "ringkv://c/operator/",
            "ringkv://c_d/operator",
            "spiffe://c/operator",
            &long,
        ];
        for uri in bad {
            assert_eq!(uri.parse::<Identity>(), Err(InvalidIdentity), "{uri}");
        }
    }
}
