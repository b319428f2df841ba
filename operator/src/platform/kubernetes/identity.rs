//! The Secret `<cluster>-identity`: the identity that is chosen once, and the CA that vouches for it. It outlives every node, and the
//! `KvCluster` too where its volumes do.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kv_proto::client::ClientTls;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::names;
use super::objects;
use super::wanted::Wanted;
use crate::platform::Certify;
use crate::platform::authorities::{Authorities, Ca, Policy, Trust};
use crate::platform::local::identity::{FORMAT, IdentityFile};
use crate::platform::pki::{Pair, Subject};

const IDENTITY: &str = "cluster.json";
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CA_CERT: &str = "next-ca.crt";
const NEXT_CA_KEY: &str = "next-ca.key";
const ROTATION: &str = "rotation.json";
const OPERATOR_CERT: &str = "operator.crt";
const OPERATOR_KEY: &str = "operator.key";

/// What the Secret holds.
#[derive(Clone, Debug)]
pub struct Kept {
    /// As it was read, for the next write.
    secret: Secret,
    /// The identity, in the format of the local platform's file.
    pub file: IdentityFile,
    /// The `KvCluster` that it belongs to.
    pub owner_uid: String,
    authorities: Authorities,
    operator: Pair,
    /// What is to be known of its CAs.
    pub trust: Trust,
}

/// How far a rotation is, beside the CAs themselves. A Secret of before there were rotations has none.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rotation {
    is_issuing: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    turned_for: Option<String>,
}

/// A Secret for a new identity.
///
/// # Errors
/// Certificates can't be made.
pub fn make(wanted: &Wanted, cluster_id: &str, offered: Option<&Pair>) -> Result<Secret, Error> {
    let failed = |source| Error::Certificate {
        cluster_id: cluster_id.to_owned(),
        source,
    };
    let authorities = Authorities::new(cluster_id, &wanted.tls, offered).map_err(failed)?;
    let operator = authorities
        .issue(cluster_id, Subject::Operator, &wanted.tls)
        .map_err(failed)?;
    let file = IdentityFile {
        format: FORMAT,
        cluster_id: cluster_id.to_owned(),
        name: wanted.name.clone(),
        is_formed: false,
        founders: BTreeSet::new(),
    };
    let mut secret = Secret {
        metadata: objects::kept_meta(wanted, names::identity(&wanted.name)),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    };
    secret.annotations_mut().extend([
        (names::CLUSTER_ID.to_owned(), cluster_id.to_owned()),
        (names::CLUSTER_UID.to_owned(), wanted.uid.clone()),
    ]);
    let data = secret.data.get_or_insert_default();
    write_certificates(data, &authorities, &operator)?;
    write_file(data, &file)?;
    Ok(secret)
}

fn write_certificates(
    data: &mut BTreeMap<String, ByteString>,
    authorities: &Authorities,
    operator: &Pair,
) -> Result<(), Error> {
    let Authorities {
        current,
        next,
        is_issuing,
        turned_for,
    } = authorities.clone();
    let rotation = Rotation {
        is_issuing,
        turned_for,
    };
    let rotation = serde_json::to_string(&rotation).map_err(|source| Error::Json {
        kind: "Secret",
        source,
    })?;
    let mut put = |name: &str, text: Option<String>| match text {
        Some(text) => data.insert(name.to_owned(), ByteString(text.into_bytes())),
        None => data.remove(name),
    };
    let (next_cert, next_key) = next.map(|Pair { cert, key }| (cert, key)).unzip();
    put(CA_CERT, Some(current.cert));
    put(CA_KEY, Some(current.key));
    put(NEXT_CA_CERT, next_cert);
    put(NEXT_CA_KEY, next_key);
    put(ROTATION, Some(rotation));
    put(OPERATOR_CERT, Some(operator.cert.clone()));
    put(OPERATOR_KEY, Some(operator.key.clone()));
    Ok(())
}

fn write_file(data: &mut BTreeMap<String, ByteString>, file: &IdentityFile) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(file).map_err(|source| Error::Json {
        kind: "Secret",
        source,
    })?;
    data.insert(IDENTITY.to_owned(), ByteString(text));
    Ok(())
}

impl Kept {
    /// Reads a Secret.
    ///
    /// # Errors
    /// It is damaged, or of a newer operator.
    pub fn read(secret: Secret) -> Result<Self, Error> {
        let name = secret.name_any();
        let damaged = |what: String| Error::Damaged {
            name: name.clone(),
            what,
        };
        let text = |key: &str| {
            let bytes = secret.data.as_ref().and_then(|data| data.get(key));
            let bytes = bytes.ok_or_else(|| damaged(format!("{key} is missing")))?;
            String::from_utf8(bytes.0.clone()).map_err(|_| damaged(format!("{key} is no text")))
        };
        let file: serde_json::Value = serde_json::from_str(&text(IDENTITY)?)
            .map_err(|error| damaged(format!("{IDENTITY}: {error}")))?;
        let format = file.get("format").and_then(serde_json::Value::as_u64);
        let format = format.and_then(|format| u32::try_from(format).ok());
        if let Some(found) = format.filter(|&found| found > FORMAT) {
            return Err(Error::Newer {
                name,
                found,
                known: FORMAT,
            });
        }
        let file = serde_json::from_value(file)
            .map_err(|error| damaged(format!("{IDENTITY}: {error}")))?;
        let pair = |cert, key| -> Result<Pair, Error> {
            Ok(Pair {
                cert: text(cert)?,
                key: text(key)?,
            })
        };
        let has = |key: &str| {
            secret
                .data
                .as_ref()
                .is_some_and(|data| data.contains_key(key))
        };
        let next = has(NEXT_CA_CERT).then(|| pair(NEXT_CA_CERT, NEXT_CA_KEY));
        let rotation = has(ROTATION).then(|| text(ROTATION)).transpose()?;
        let rotation: Option<Rotation> = rotation
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| damaged(format!("{ROTATION}: {error}")))?;
        let Rotation {
            is_issuing,
            turned_for,
        } = rotation.unwrap_or_default();
        let authorities = Authorities {
            current: pair(CA_CERT, CA_KEY)?,
            next: next.transpose()?,
            is_issuing,
            turned_for,
        };
        let operator = pair(OPERATOR_CERT, OPERATOR_KEY)?;
        let trust = authorities.trust(&operator);
        let trust = trust.map_err(|error| damaged(format!("{CA_CERT}: {error}")))?;
        let owner_uid = names::annotation(&secret.metadata, names::CLUSTER_UID);
        Ok(Self {
            owner_uid: owner_uid.unwrap_or_default().to_owned(),
            file,
            authorities,
            operator,
            trust,
            secret,
        })
    }

    /// The operator's certificates.
    #[must_use]
    pub fn operator(&self) -> ClientTls {
        ClientTls {
            ca: self.authorities.bundle().into_bytes(),
            certificate: self.operator.cert.clone().into_bytes(),
            key: self.operator.key.clone().into_bytes(),
        }
    }

    /// The CAs.
    #[must_use]
    pub const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// What certificates that are issued now differ by from others: the CAs that are trusted, and which of them issues.
    #[must_use]
    pub fn issue_mark(&self) -> String {
        let Trust {
            current,
            next,
            is_issuing,
            ..
        } = &self.trust;
        let short = |ca: &Ca| ca.fingerprint.chars().take(16).collect::<String>();
        let next = next.as_ref().map(short).unwrap_or_default();
        format!("{}.{next}.{is_issuing}", short(current))
    }

    /// The Secret after a step of a rotation, to be put in the place of this very one; none if nothing is left to do of it.
    ///
    /// # Errors
    /// Certificates can't be made.
    pub fn certified(
        &self,
        step: &Certify,
        wanted: &Wanted,
        offered: Option<&Pair>,
    ) -> Result<Option<Secret>, Error> {
        let cluster_id = &self.file.cluster_id;
        let failed = |source| Error::Certificate {
            cluster_id: cluster_id.clone(),
            source,
        };
        let before = &self.authorities;
        let authorities = match step {
            Certify::TrustNext => before
                .with_next(cluster_id, &wanted.tls, offered)
                .map_err(failed)?,
            Certify::IssueByNext => before.issuing_by_next(),
            Certify::DropOld => before.without_old(),
            Certify::RenewOperator | Certify::Give(_) => before.clone(),
        };
        let now = Timestamp::now().as_second();
        let operator = if authorities.is_good(&self.operator, &wanted.tls, now) {
            self.operator.clone()
        } else {
            let issued = authorities.issue(cluster_id, Subject::Operator, &wanted.tls);
            issued.map_err(failed)?
        };
        if (&authorities, &operator) == (before, &self.operator) {
            return Ok(None);
        }
        let mut secret = self.secret.clone();
        let data = secret.data.get_or_insert_default();
        write_certificates(data, &authorities, &operator)?;
        Ok(Some(secret))
    }

    /// A certificate for a node.
    ///
    /// # Errors
    /// The CA is damaged.
    pub fn issue(&self, id: u64, name: &str, policy: &Policy) -> Result<Pair, Error> {
        let cluster_id = &self.file.cluster_id;
        let subject = Subject::Node(id, name);
        let issued = self.authorities.issue(cluster_id, subject, policy);
        issued.map_err(|source| Error::Certificate {
            cluster_id: cluster_id.clone(),
            source,
        })
    }

    /// The Secret with another identity file, to be put in the place of this very one.
    ///
    /// # Errors
    /// None in practice.
    pub fn with(&self, file: &IdentityFile) -> Result<Secret, Error> {
        let mut secret = self.secret.clone();
        write_file(secret.data.get_or_insert_default(), file)?;
        Ok(secret)
    }

    /// The Secret as another cluster's, with a CA of its own, to be put in the place of this very one.
    ///
    /// # Errors
    /// Certificates can't be made.
    pub fn renewed(
        &self,
        wanted: &Wanted,
        cluster_id: &str,
        offered: Option<&Pair>,
    ) -> Result<Secret, Error> {
        let mut secret = make(wanted, cluster_id, offered)?;
        secret.metadata.resource_version = self.secret.metadata.resource_version.clone();
        Ok(secret)
    }

    /// The Secret as it should be for its `KvCluster` of now, if it differs: whose it is, and whether it goes with it.
    #[must_use]
    pub fn adopted(&self, wanted: &Wanted) -> Option<Secret> {
        let meta = objects::kept_meta(wanted, names::identity(&wanted.name));
        let mut secret = self.secret.clone();
        secret.metadata.owner_references = meta.owner_references;
        secret
            .annotations_mut()
            .insert(names::CLUSTER_UID.to_owned(), wanted.uid.clone());
        let is_same = secret.metadata.owner_references.clone().unwrap_or_default()
            == self
                .secret
                .metadata
                .owner_references
                .clone()
                .unwrap_or_default()
            && self.owner_uid == wanted.uid;
        (!is_same).then_some(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::{KvCluster, KvClusterSpec};

    fn wanted(uid: &str) -> Wanted {
        let mut object = KvCluster::new("rides", KvClusterSpec::default());
        object.metadata.namespace = Some("there".into());
        object.metadata.uid = Some(uid.into());
        Wanted::of(&object, "image")
    }

    #[test]
    fn what_is_made_is_read() {
        let wanted = wanted("uid-1");
        let kept = Kept::read(make(&wanted, "c-1", None).expect("made")).expect("read");
        assert_eq!(
            (kept.file.cluster_id.as_str(), kept.owner_uid.as_str()),
            ("c-1", "uid-1")
        );
        assert!(!kept.file.is_formed);
        assert!(kept.issue(1, "rides-1", &wanted.tls).is_ok());
        assert!(kept.adopted(&wanted).is_none(), "it is as it should be");
        let mut file = kept.file.clone();
        file.is_formed = true;
        file.founders = [1, 2].into();
        let formed = Kept::read(kept.with(&file).expect("made")).expect("read");
        assert_eq!(formed.file, file);
        assert_eq!(
            formed.authorities(),
            kept.authorities(),
            "a CA outlives the mark"
        );
    }

    #[test]
    fn another_kvcluster_takes_it_over_as_it_is() {
        let kept = Kept::read(make(&wanted("uid-1"), "c-1", None).expect("made")).expect("read");
        let adopted = kept.adopted(&wanted("uid-2")).expect("it differs");
        let adopted = Kept::read(adopted).expect("read");
        assert_eq!(adopted.owner_uid, "uid-2");
        let both = |kept: &Kept| (kept.authorities().clone(), kept.file.clone());
        assert_eq!(both(&adopted), both(&kept));
    }

    #[test]
    fn a_rotation_is_kept_step_by_step() {
        let wanted = wanted("uid-1");
        let mut secret = make(&wanted, "c-1", None).expect("made");
        // As a Secret of before there were rotations.
        secret.data.get_or_insert_default().remove(ROTATION);
        let mut kept = Kept::read(secret).expect("read");
        let first = kept.trust.clone();
        assert_eq!(first.operator_issuer, first.current.fingerprint);
        let give = Certify::Give(BTreeSet::new());
        for idle in [Certify::RenewOperator, Certify::DropOld, give] {
            let after = kept.certified(&idle, &wanted, None).expect("made");
            assert!(after.is_none(), "{idle:?} has nothing to do");
        }
        let mut marks = BTreeSet::from([kept.issue_mark()]);
        for step in [Certify::TrustNext, Certify::IssueByNext, Certify::DropOld] {
            let after = kept.certified(&step, &wanted, None).expect("made");
            kept = Kept::read(after.expect("one more step")).expect("read");
            marks.insert(kept.issue_mark());
            let again = kept.certified(&step, &wanted, None).expect("made");
            assert!(again.is_none(), "{step:?} was done");
        }
        assert_eq!(marks.len(), 4, "nodes are given each of them");
        let Trust {
            current,
            next,
            operator_issuer,
            ..
        } = &kept.trust;
        assert_ne!(*current, first.current);
        assert_eq!((next, operator_issuer), (&None, &current.fingerprint));
    }

    #[test]
    fn newer_and_damaged_secrets_are_told_apart() {
        let mut secret = make(&wanted("uid-1"), "c-1", None).expect("made");
        let data = secret.data.get_or_insert_default();
        data.insert(IDENTITY.into(), ByteString(b"{\"format\": 99}".to_vec()));
        assert!(matches!(
            Kept::read(secret.clone()),
            Err(Error::Newer { found: 99, .. })
        ));
        let data = secret.data.get_or_insert_default();
        data.insert(IDENTITY.into(), ByteString(b"{".to_vec()));
        assert!(matches!(
            Kept::read(secret.clone()),
            Err(Error::Damaged { .. })
        ));
        secret.data.get_or_insert_default().remove(IDENTITY);
        let error = Kept::read(secret).expect_err("incomplete");
        assert!(
            error.to_string().contains("cluster.json is missing"),
            "{error}"
        );
    }
}
