//! Compressed bodies, both ways: `Content-Encoding: gzip` of requests, `Accept-Encoding: gzip` of answers.
//!
//! Signature and checksum are over the bytes on the wire. What a body grows to is bounded as a body itself is.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::HeaderName;
use http::header::{self, HeaderMap};

use super::error::Error;

/// Smaller answers go as they are: they fit one packet anyhow.
const ANSWER_BYTES_MIN: usize = 1024;

/// A request's body as it was before it was compressed.
///
/// # Errors
/// It is no gzip, of another encoding, or larger than `bytes_max`.
pub fn inflate<'b>(
    headers: &HeaderMap,
    body: &'b [u8],
    bytes_max: usize,
) -> Result<Cow<'b, [u8]>, Error> {
    match text(headers, header::CONTENT_ENCODING).map(str::trim) {
        None | Some("") => return Ok(Cow::Borrowed(body)),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => {
            return Ok(Cow::Borrowed(body));
        }
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => {}
        Some(_) => return Err(Error::Serialization(None)),
    }
    let mut plain = Vec::with_capacity((body.len() * 4).min(bytes_max));
    // One byte more tells that there is more.
    let mut reader = MultiGzDecoder::new(body).take(bytes_max as u64 + 1);
    reader
        .read_to_end(&mut plain)
        .map_err(|_| Error::Serialization(None))?;
    if plain.len() > bytes_max {
        return Err(Error::Serialization(Some(
            "The decompressed request is too large",
        )));
    }
    Ok(Cow::Owned(plain))
}

/// Whether an answer of so many bytes is to be compressed.
pub fn is_wanted(headers: &HeaderMap, bytes: usize) -> bool {
    let accepted = || text(headers, header::ACCEPT_ENCODING).unwrap_or_default();
    bytes >= ANSWER_BYTES_MIN
        && accepted().split(',').any(|one| {
            let (coding, weight) = one.split_once(';').unwrap_or((one, ""));
            let refused = matches!(weight.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00");
            coding.trim().eq_ignore_ascii_case("gzip") && !refused
        })
}

/// An answer's body, compressed.
pub fn deflate(plain: &[u8]) -> Vec<u8> {
    let out = Vec::with_capacity(plain.len() / 2);
    let mut encoder = GzEncoder::new(out, Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(plain);
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        [(name, HeaderValue::from_static(value))]
            .into_iter()
            .collect()
    }

    #[test]
    fn a_body_comes_back_within_its_bound() {
        let plain = vec![b'x'; 5000];
        let packed = deflate(&plain);
        assert!(packed.len() < 100);
        let gzip = headers(header::CONTENT_ENCODING, "GZip");
        assert_eq!(inflate(&gzip, &packed, 5000).as_deref(), Ok(&plain[..]));
        assert!(inflate(&gzip, &packed, 4999).is_err());
        assert!(inflate(&gzip, b"no gzip", 5000).is_err());
        assert!(inflate(&gzip, &packed[..packed.len() - 9], 5000).is_err());
        let other = headers(header::CONTENT_ENCODING, "br");
        assert!(inflate(&other, &packed, 5000).is_err());
        assert_eq!(
            inflate(&HeaderMap::new(), b"{}", 5000).as_deref(),
            Ok(&b"{}"[..])
        );
    }

    #[test]
    fn only_large_answers_to_those_who_accept_it() {
        for (accepted, wanted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip; q=0", false),
            ("identity", false),
        ] {
            let sent = headers(header::ACCEPT_ENCODING, accepted);
            assert_eq!(is_wanted(&sent, 2000), wanted, "{accepted}");
            assert!(!is_wanted(&sent, 1000), "{accepted}");
        }
        assert!(!is_wanted(&HeaderMap::new(), 2000));
    }
}
