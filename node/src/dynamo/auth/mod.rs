//! Who asks: Signature Version 4, in the `Authorization` header or in the query string.
//!
//! The checks come in the service's order: presence and form of the parameters, date and clock skew, signed headers,
//! algorithm, scope, key id, and at last the signature, compared in constant time. Without configured keys only the
//! form is checked and any signature passes.
//!
//! Follows "AWS Signature Version 4 for API requests" of the IAM user guide.

mod canonical;
mod parameters;
mod skew;

use std::collections::HashMap;

use hmac::{Hmac, KeyInit, Mac};
use http::request::Parts;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::Error;
use parameters::Parameters;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "dynamodb";
const TERMINATOR: &str = "aws4_request";

/// Derived signing keys kept; they change once a day for each key and region.
const DERIVED_MAX: usize = 1024;

/// A key pair that may sign requests.
#[derive(Clone)]
pub struct AccessKey {
    pub id: String,
    pub secret: String,
    /// Whose tables it sees.
    pub account: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// Who a request comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub access_key: String,
    pub account: String,
    /// Region that the signature is scoped to; shown in ARNs.
    pub region: String,
}

/// Verifies signatures.
#[derive(Debug)]
pub struct Authority {
    keys: HashMap<String, AccessKey>,
    default_account: String,
    default_region: String,
    apart: bool,
    derived: Mutex<HashMap<Scope, [u8; 32]>>,
}

/// What a signing key is derived for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Scope {
    access_key: String,
    date: String,
    region: String,
}

impl Authority {
    /// Without keys, every request comes from `default_account`; or, if they are kept `apart`, from one within it for each access key and
    /// region that signs ([`account_of`]).
    pub fn new(
        keys: Vec<AccessKey>,
        default_account: String,
        default_region: String,
        apart: bool,
    ) -> Self {
        Authority {
            keys: keys.into_iter().map(|key| (key.id.clone(), key)).collect(),
            default_account,
            default_region,
            apart,
            derived: Mutex::default(),
        }
    }

    /// Verifies a request at `now` (seconds since 1970).
    ///
    /// # Errors
    /// The authentication errors of the service.
    pub fn verify(&self, parts: &Parts, body: &[u8], now: i64) -> Result<Principal, Error> {
        let parameters = Parameters::of(parts)?;
        if self.keys.is_empty() {
            let credential = parameters.credential.split('/').collect::<Vec<_>>();
            let region = credential.get(2).filter(|region| is_region(region));
            let region = region.map_or_else(|| self.default_region.clone(), |r| (*r).to_owned());
            let access_key = credential.first().copied().unwrap_or_default();
            let account = match self.apart {
                true => account_of(&self.default_account, access_key, &region)?,
                false => self.default_account.clone(),
            };
            return Ok(Principal {
                access_key: access_key.to_owned(),
                account,
                region,
            });
        }
        let date = skew::check(&parameters, now)?;
        if !parameters
            .signed_headers
            .split(';')
            .any(|name| name.eq_ignore_ascii_case("host"))
        {
            return Err(Error::InvalidSignature(
                "'Host' must be a 'SignedHeader' in the AWS Authorization.".into(),
            ));
        }
        if parameters.algorithm != ALGORITHM {
            return Err(Error::IncompleteSignature(format!(
                "Unsupported AWS 'algorithm': '{}' (only AWS4-HMAC-SHA256 for now). ",
                parameters.algorithm
            )));
        }
        let scope = check_scope(&parameters.credential, &date)?;
        let key = self
            .keys
            .get(&scope.access_key)
            .ok_or(Error::UnrecognizedClient)?;
        self.check_signature(parts, body, &parameters, &date, &scope, key)?;
        Ok(Principal {
            access_key: scope.access_key,
            account: key.account.clone(),
            region: scope.region,
        })
    }

    fn check_signature(
        &self,
        parts: &Parts,
        body: &[u8],
        parameters: &Parameters<'_>,
        date: &str,
        scope: &Scope,
        key: &AccessKey,
    ) -> Result<(), Error> {
        let canonical = canonical::request(parts, body, &parameters.signed_headers);
        let to_sign = format!(
            "{ALGORITHM}\n{date}\n{}/{}/{SERVICE}/{TERMINATOR}\n{}",
            scope.date,
            scope.region,
            hex::encode(Sha256::digest(canonical.as_bytes())),
        );
        let expected = hmac(&self.signing_key(scope, &key.secret), to_sign.as_bytes());
        let mut given = [0; 32];
        let formed = hex::decode_to_slice(parameters.signature.as_bytes(), &mut given).is_ok();
        if bool::from(expected.ct_eq(&given)) && formed {
            return Ok(());
        }
        Err(Error::InvalidSignature(format!(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret \
             Access Key and signing method. Consult the service documentation for details.\n\nThe Canonical String for \
             this request should have been\n'{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
        )))
    }

    /// The key of a day and region, derived once.
    fn signing_key(&self, scope: &Scope, secret: &str) -> [u8; 32] {
        if let Some(key) = self.derived.lock().get(scope) {
            return *key;
        }
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), scope.date.as_bytes());
        for part in [scope.region.as_str(), SERVICE, TERMINATOR] {
            key = hmac(&key, part.as_bytes());
        }
        let mut derived = self.derived.lock();
        if derived.len() >= DERIVED_MAX {
            derived.clear();
        }
        derived.insert(scope.clone(), key);
        key
    }
}

/// Longest access key that has tables of its own, bytes; AWS's have at most 128.
const ACCESS_KEY_LEN_MAX: usize = 128;

/// The account of whoever signs with an access key for a region, where each has tables of its own: in ARNs it shows as `account`.
///
/// # Errors
/// [`Error::UnrecognizedClient`]: no key is as long as that.
pub fn account_of(account: &str, access_key: &str, region: &str) -> Result<String, Error> {
    if access_key.len() > ACCESS_KEY_LEN_MAX {
        return Err(Error::UnrecognizedClient);
    }
    Ok(format!("{account}/{access_key}/{region}"))
}

/// The 12 digits of an account, as ARNs show them.
pub fn digits_of(account: &str) -> &str {
    account.split('/').next().unwrap_or_default()
}

/// Checks `keyid/date/region/service/term`.
fn check_scope(credential: &str, date: &str) -> Result<Scope, Error> {
    let elements: Vec<&str> = credential.trim_end_matches('/').split('/').collect();
    let [access_key, day, region, service, terminator] = elements[..] else {
        return Err(Error::IncompleteSignature(format!(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{credential}'"
        )));
    };
    let mut wrong = Vec::new();
    if !is_region(region) {
        wrong.push(format!(
            "Credential should be scoped to a valid region, not '{region}'. "
        ));
    }
    if service != SERVICE {
        wrong.push(format!(
            "Credential should be scoped to correct service: '{SERVICE}'. "
        ));
    }
    if terminator != TERMINATOR {
        wrong.push(format!(
            "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{terminator}'. "
        ));
    }
    let expected = date.get(..8).unwrap_or_default();
    if day != expected {
        wrong.push(format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{day}' != '{expected}', from '{date}'. "
        ));
    }
    if !wrong.is_empty() {
        return Err(Error::InvalidSignature(wrong.concat()));
    }
    Ok(Scope {
        access_key: access_key.into(),
        date: day.into(),
        region: region.into(),
    })
}

/// Regions are names of the user's own choice here.
fn is_region(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    // HMAC takes keys of every length (RFC 2104), so this never fails; an all-zero key would sign nothing valid.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(data);
    mac.finalize().into_bytes().into()
}
