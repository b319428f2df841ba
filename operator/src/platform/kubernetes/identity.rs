//! The Secret `<cluster>-identity`: the identity that is chosen once, and the CA that vouches for it. It outlives every node, and the
//! `KvCluster` too where its volumes do.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kv_proto::client::ClientTls;

use super::error::Error;
use super::names;
use super::objects;
use super::wanted::Wanted;
use crate::platform::local::identity::{FORMAT, IdentityFile};
use crate::platform::pki::{Authority, Pair, Subject};

const IDENTITY: &str = "cluster.json";
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
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
    ca: Pair,
    operator: Pair,
}

/// A Secret for a new identity.
///
/// # Errors
/// Certificates can't be made.
pub fn make(wanted: &Wanted, cluster_id: &str) -> Result<Secret, Error> {
    let failed = |source| Error::Certificate {
        cluster_id: cluster_id.to_owned(),
        source,
    };
    let (authority, ca) = Authority::generate(cluster_id).map_err(failed)?;
    let operator = authority
        .issue(cluster_id, Subject::Operator)
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
    for (name, text) in [
        (CA_CERT, ca.cert),
        (CA_KEY, ca.key),
        (OPERATOR_CERT, operator.cert),
        (OPERATOR_KEY, operator.key),
    ] {
        data.insert(name.to_owned(), ByteString(text.into_bytes()));
    }
    write_file(data, &file)?;
    Ok(secret)
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
        let (ca, operator) = (pair(CA_CERT, CA_KEY)?, pair(OPERATOR_CERT, OPERATOR_KEY)?);
        let owner_uid = names::annotation(&secret.metadata, names::CLUSTER_UID);
        Ok(Self {
            owner_uid: owner_uid.unwrap_or_default().to_owned(),
            file,
            ca,
            operator,
            secret,
        })
    }

    /// The operator's certificates.
    #[must_use]
    pub fn operator(&self) -> ClientTls {
        ClientTls {
            ca: self.ca.cert.clone().into_bytes(),
            certificate: self.operator.cert.clone().into_bytes(),
            key: self.operator.key.clone().into_bytes(),
        }
    }

    /// The CA's certificate.
    #[must_use]
    pub fn ca(&self) -> &str {
        &self.ca.cert
    }

    /// A certificate for a node.
    ///
    /// # Errors
    /// The CA is damaged.
    pub fn issue(&self, id: u64, name: &str) -> Result<Pair, Error> {
        let cluster_id = &self.file.cluster_id;
        let issued = Authority::load(&self.ca)
            .and_then(|authority| authority.issue(cluster_id, Subject::Node(id, name)));
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
    pub fn renewed(&self, wanted: &Wanted, cluster_id: &str) -> Result<Secret, Error> {
        let mut secret = make(wanted, cluster_id)?;
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
        let kept = Kept::read(make(&wanted, "c-1").expect("made")).expect("read");
        assert_eq!(
            (kept.file.cluster_id.as_str(), kept.owner_uid.as_str()),
            ("c-1", "uid-1")
        );
        assert!(!kept.file.is_formed);
        assert!(kept.issue(1, "rides-1").is_ok());
        assert!(kept.adopted(&wanted).is_none(), "it is as it should be");
        let mut file = kept.file.clone();
        file.is_formed = true;
        file.founders = [1, 2].into();
        let formed = Kept::read(kept.with(&file).expect("made")).expect("read");
        assert_eq!(formed.file, file);
        assert_eq!(formed.ca(), kept.ca(), "a CA outlives the mark");
    }

    #[test]
    fn another_kvcluster_takes_it_over_as_it_is() {
        let kept = Kept::read(make(&wanted("uid-1"), "c-1").expect("made")).expect("read");
        let adopted = kept.adopted(&wanted("uid-2")).expect("it differs");
        let adopted = Kept::read(adopted).expect("read");
        assert_eq!(adopted.owner_uid, "uid-2");
        assert_eq!((adopted.ca(), &adopted.file), (kept.ca(), &kept.file));
    }

    #[test]
    fn newer_and_damaged_secrets_are_told_apart() {
        let mut secret = make(&wanted("uid-1"), "c-1").expect("made");
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
