//! The canonical form of a request, of which the signature is made.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::request::Parts;
use sha2::{Digest, Sha256};

/// Method, path, query, signed headers and the hash of the body.
pub(super) fn request(parts: &Parts, body: &[u8], signed_headers: &str) -> String {
    let mut out = String::with_capacity(512);
    out.push_str(parts.method.as_str());
    out.push('\n');
    path(parts.uri.path(), &mut out);
    out.push('\n');
    query(parts.uri.query().unwrap_or_default(), &mut out);
    out.push('\n');
    for name in signed_headers.split(';') {
        out.push_str(&name.to_ascii_lowercase());
        out.push(':');
        header(parts, name, &mut out);
        out.push('\n');
    }
    out.push('\n');
    out.push_str(signed_headers);
    out.push('\n');
    out.push_str(&hex::encode(Sha256::digest(body)));
    out
}

/// Segments are encoded once more than they came; all services but one want it so.
fn path(path: &str, out: &mut String) {
    if path.is_empty() {
        out.push('/');
        return;
    }
    for (i, segment) in path.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        encode(segment.as_bytes(), out);
    }
}

/// Sorted by name, then by value, without the signature itself.
fn query(query: &str, out: &mut String) {
    let mut pairs: Vec<(String, String)> = query_pairs(query)
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| {
            let (mut n, mut v) = (String::new(), String::new());
            encode(name.as_bytes(), &mut n);
            encode(value.as_bytes(), &mut v);
            (n, v)
        })
        .collect();
    pairs.sort();
    for (i, (name, value)) in pairs.iter().enumerate() {
        if i > 0 {
            out.push('&');
        }
        out.push_str(name);
        out.push('=');
        out.push_str(value);
    }
}

/// All values of a header, joined by commas, with runs of spaces as one.
fn header(parts: &Parts, name: &str, out: &mut String) {
    let mut first = true;
    for value in parts.headers.get_all(name) {
        if !first {
            out.push(',');
        }
        first = false;
        let text = String::from_utf8_lossy(value.as_bytes());
        for (i, word) in text.split_ascii_whitespace().enumerate() {
            if i > 0 {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    // HTTP/2 carries the host as the authority.
    if first
        && name.eq_ignore_ascii_case("host")
        && let Some(authority) = parts.uri.authority()
    {
        out.push_str(authority.as_str());
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            // Writing to a string does not fail.
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// Names and values of a query string, decoded.
pub(super) fn query_pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|b| matches!(b, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(byte) = bytes.get(i) {
        let mut digits = [0];
        let escaped = *byte == b'%'
            && bytes
                .get(i + 1..i + 3)
                .is_some_and(|pair| hex::decode_to_slice(pair, &mut digits).is_ok());
        if escaped {
            out.push(digits[0]);
            i += 3;
        } else {
            out.push(if *byte == b'+' { b' ' } else { *byte });
            i += 1;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}
