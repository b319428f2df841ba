//! Who asks over gRPC, where access keys are configured.
//!
//! Metadata `authorization: RINGKV-HMAC-SHA256 Credential=ID,Date=SECONDS,Signature=HEX`, where the signature is the
//! HMAC-SHA256 of `ringkv.kv.v1\nMETHOD\nSECONDS` under the secret. It proves who asks for which method and when, not for what:
//! gRPC libraries show their interceptors no message. So the secret never travels, but who can read the wire can use a signature
//! for five minutes; put TLS in front of networks that are not trusted.

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataMap;

use crate::dynamo::{AccessKey, Error, account_of};

pub const SCHEME: &str = "RINGKV-HMAC-SHA256";

/// How far the clock of a client may be off, seconds.
const SKEW_MAX: u64 = 5 * 60;

/// Who asks, and whose tables are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Principal {
    pub access_key: String,
    pub account: String,
}

#[derive(Debug)]
pub(super) struct Authority {
    keys: HashMap<String, AccessKey>,
    default_account: String,
    apart: Option<String>,
}

impl Authority {
    /// `apart` is the region of all calls, if without keys each access key and region has tables of its own.
    pub(super) fn new(
        keys: Vec<AccessKey>,
        default_account: String,
        apart: Option<String>,
    ) -> Self {
        Authority {
            keys: keys.into_iter().map(|key| (key.id.clone(), key)).collect(),
            default_account,
            apart,
        }
    }

    /// Who calls where there are no keys: whoever the claim names, if there is one.
    fn unsigned(&self, metadata: &MetadataMap) -> Result<Principal, Error> {
        let value = metadata.get("authorization");
        let claim = value.and_then(|value| Claim::parse(value.to_str().ok()?));
        let access_key = claim.map_or("", |claim| claim.credential);
        let account = match &self.apart {
            Some(region) if !access_key.is_empty() => {
                account_of(&self.default_account, access_key, region)?
            }
            _ => self.default_account.clone(),
        };
        Ok(Principal {
            access_key: access_key.to_owned(),
            account,
        })
    }

    /// Verifies a call of `method` (`Get`) at `now` (seconds since 1970).
    ///
    /// # Errors
    /// The authentication errors of the service.
    pub(super) fn verify(
        &self,
        metadata: &MetadataMap,
        method: &str,
        now: u64,
    ) -> Result<Principal, Error> {
        if self.keys.is_empty() {
            return self.unsigned(metadata);
        }
        let value = metadata
            .get("authorization")
            .ok_or(Error::MissingAuthenticationToken)?;
        let malformed = || {
            Error::IncompleteSignature(format!(
                "authorization must be: {SCHEME} Credential=ID,Date=SECONDS,Signature=HEX"
            ))
        };
        let claim = value.to_str().ok().and_then(Claim::parse);
        let claim = claim.ok_or_else(malformed)?;
        if claim.seconds.abs_diff(now) > SKEW_MAX {
            return Err(Error::InvalidSignature(format!(
                "Signature expired or not yet current: it is of {}, now is {now}, and {SKEW_MAX} seconds between them are allowed",
                claim.seconds
            )));
        }
        let key = self
            .keys
            .get(claim.credential)
            .ok_or(Error::UnrecognizedClient)?;
        let expected = signature(&key.secret, method, claim.seconds);
        if !bool::from(expected.ct_eq(&claim.signature)) {
            return Err(Error::InvalidSignature(
                "The signature is not that of this method and date under the secret of this key"
                    .into(),
            ));
        }
        Ok(Principal {
            access_key: key.id.clone(),
            account: key.account.clone(),
        })
    }
}

/// What the metadata claim.
#[derive(Debug)]
struct Claim<'m> {
    credential: &'m str,
    seconds: u64,
    signature: [u8; 32],
}

impl<'m> Claim<'m> {
    fn parse(text: &'m str) -> Option<Self> {
        let mut parts = text.strip_prefix(SCHEME)?.strip_prefix(' ')?.split(',');
        let mut part = |name: &str| -> Option<&'m str> {
            parts.next()?.trim().strip_prefix(name)?.strip_prefix('=')
        };
        let credential = part("Credential")?;
        let seconds = part("Date")?.parse().ok()?;
        let mut signature = [0; 32];
        hex::decode_to_slice(part("Signature")?, &mut signature).ok()?;
        Some(Claim {
            credential,
            seconds,
            signature,
        })
    }
}

/// The metadata's value for a call of `method` (`Get`) at `seconds` since 1970.
pub fn authorization(id: &str, secret: &str, method: &str, seconds: u64) -> String {
    let signature = hex::encode(signature(secret, method, seconds));
    format!("{SCHEME} Credential={id},Date={seconds},Signature={signature}")
}

fn signature(secret: &str, method: &str, seconds: u64) -> [u8; 32] {
    // HMAC takes keys of every length (RFC 2104), so this never fails; an all-zero signature matches no claim that is made.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return [0; 32];
    };
    mac.update(format!("ringkv.kv.v1\n{method}\n{seconds}").as_bytes());
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn verify(value: Option<&str>) -> Result<Principal, Error> {
        let key = AccessKey {
            id: "me".into(),
            secret: "s3cret".into(),
            account: "123456789012".into(),
        };
        let mut metadata = MetadataMap::new();
        if let Some(value) = value {
            metadata.insert("authorization", value.parse().expect("ASCII"));
        }
        Authority::new(vec![key], "0".into(), None).verify(&metadata, "Get", NOW)
    }

    #[test]
    fn a_signature_holds_for_its_method_and_five_minutes() {
        let good = verify(Some(&authorization("me", "s3cret", "Get", NOW - 299)));
        assert_eq!(good.expect("signed").account, "123456789012");
        for (bad, name) in [
            (
                authorization("me", "s3cret", "Get", NOW - 301),
                "InvalidSignatureException",
            ),
            (
                authorization("me", "s3cret", "Get", NOW + 301),
                "InvalidSignatureException",
            ),
            (
                authorization("me", "s3cret", "Put", NOW),
                "InvalidSignatureException",
            ),
            (
                authorization("me", "other", "Get", NOW),
                "InvalidSignatureException",
            ),
            (
                authorization("you", "s3cret", "Get", NOW),
                "UnrecognizedClientException",
            ),
            ("Bearer x".into(), "IncompleteSignatureException"),
            (
                format!("{SCHEME} Credential=me,Date=x,Signature=00"),
                "IncompleteSignatureException",
            ),
        ] {
            assert_eq!(verify(Some(&bad)).expect_err(&bad).name(), name, "{bad}");
        }
        assert_eq!(verify(None), Err(Error::MissingAuthenticationToken));
    }
}
