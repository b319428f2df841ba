//! The parameters of a signature, from the header or from the query string.

use std::borrow::Cow;

use http::header::AUTHORIZATION;
use http::request::Parts;

use super::canonical::query_pairs;
use crate::dynamo::error::Error;

/// A signature and what it claims.
#[derive(Debug)]
pub(super) struct Parameters<'r> {
    pub algorithm: Cow<'r, str>,
    /// `keyid/date/region/service/term`
    pub credential: Cow<'r, str>,
    /// Names joined by `;`.
    pub signed_headers: Cow<'r, str>,
    /// Hex.
    pub signature: Cow<'r, str>,
    pub date: Cow<'r, str>,
    /// How long a presigned request holds, seconds.
    pub expires: Option<i64>,
}

impl<'r> Parameters<'r> {
    pub fn of(parts: &'r Parts) -> Result<Self, Error> {
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .map(|value| value.to_str().unwrap_or("?"));
        let query = parts.uri.query().unwrap_or_default();
        let in_query = query_pairs(query).any(|(name, _)| name == "X-Amz-Algorithm");
        match (header, in_query) {
            (Some(_), true) => Err(Error::InvalidSignature(
                "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.".into(),
            )),
            (Some(header), false) if header.trim_start().starts_with("AWS4-") => {
                Self::of_header(parts, header)
            }
            (None, true) => Self::of_query(query),
            (_, false) => Err(Error::MissingAuthenticationToken),
        }
    }

    fn of_header(parts: &'r Parts, header: &'r str) -> Result<Self, Error> {
        let mut pieces = header.split([' ', ',']).filter(|piece| !piece.is_empty());
        let algorithm = pieces.next().unwrap_or_default();
        let (mut credential, mut signature, mut signed_headers) = ("", "", "");
        for piece in pieces {
            match piece.split_once('=') {
                Some(("Credential", value)) => credential = value,
                Some(("Signature", value)) => signature = value,
                Some(("SignedHeaders", value)) => signed_headers = value,
                Some(_) => {}
                None => {
                    return Err(Error::IncompleteSignature(format!(
                        "'{piece}' not a valid key=value pair (missing equal-sign) in Authorization header: '{header}'."
                    )));
                }
            }
        }
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let date = text("x-amz-date")
            .or_else(|| text("date"))
            .unwrap_or_default();
        let mut message = String::new();
        for (name, value) in [
            ("Credential", credential),
            ("Signature", signature),
            ("SignedHeaders", signed_headers),
        ] {
            if value.is_empty() {
                message.push_str(&format!(
                    "Authorization header requires '{name}' parameter. "
                ));
            }
        }
        if date.is_empty() {
            message.push_str("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ");
        }
        if !message.is_empty() {
            return Err(Error::IncompleteSignature(format!(
                "{message}Authorization={header}"
            )));
        }
        Ok(Parameters {
            algorithm: algorithm.into(),
            credential: credential.into(),
            signed_headers: signed_headers.into(),
            signature: signature.into(),
            date: date.into(),
            expires: None,
        })
    }

    fn of_query(query: &'r str) -> Result<Self, Error> {
        let get = |wanted: &str| {
            query_pairs(query)
                .find(|(name, _)| name == wanted)
                .map_or(Cow::Borrowed(""), |(_, value)| value)
        };
        let parameters = Parameters {
            algorithm: get("X-Amz-Algorithm"),
            credential: get("X-Amz-Credential"),
            signature: get("X-Amz-Signature"),
            signed_headers: get("X-Amz-SignedHeaders"),
            date: get("X-Amz-Date"),
            expires: get("X-Amz-Expires").parse().ok(),
        };
        let mut message = String::new();
        for (name, value) in [
            ("X-Amz-Algorithm", &parameters.algorithm),
            ("X-Amz-Credential", &parameters.credential),
            ("X-Amz-Signature", &parameters.signature),
            ("X-Amz-SignedHeaders", &parameters.signed_headers),
            ("X-Amz-Date", &parameters.date),
        ] {
            if value.is_empty() {
                message.push_str(&format!(
                    "AWS query-string parameters must include '{name}'. "
                ));
            }
        }
        if !message.is_empty() {
            message.push_str("Re-examine the query-string parameters.");
            return Err(Error::IncompleteSignature(message));
        }
        Ok(parameters)
    }
}
