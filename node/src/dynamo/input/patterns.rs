//! The patterns of the service model beside that of names, each as a function of the whole text.

/// `\p{Print}+`
pub fn printable(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// `[\u0020-\uD7FF\uE000-\uFFFD\uD800\uDC00-\uDBFF\uDFFF\r\n\t]*`
pub fn characters(text: &str) -> bool {
    text.chars().all(|c| {
        c >= ' ' && !('\u{fffe}'..='\u{ffff}').contains(&c) || matches!(c, '\r' | '\n' | '\t')
    })
}

/// `([0-9a-f]{16})+`
pub fn token(text: &str) -> bool {
    !text.is_empty() && text.len().is_multiple_of(16) && text.bytes().all(is_hex)
}

/// `^[^\$]+$`
pub fn no_dollar(text: &str) -> bool {
    !text.is_empty() && !text.contains('$')
}

/// `^[a-z0-9A-Z]+[\.\-\w]*[a-z0-9A-Z]+$`
pub fn bucket(text: &str) -> bool {
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() >= 2
        && ends(bytes.first())
        && ends(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

/// `[0-9]{12}`
pub fn account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[,;:|\t ]`
pub fn delimiter(text: &str) -> bool {
    matches!(text, "," | ";" | ":" | "|" | "\t" | " ")
}

/// `[\x20-\x21\x23-\x2B\x2D-\x7E]*`
pub fn header(text: &str) -> bool {
    text.bytes()
        .all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b','))
}

fn is_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_match_as_the_expressions_say() {
        type Row = (
            fn(&str) -> bool,
            &'static [&'static str],
            &'static [&'static str],
        );
        let table: &[Row] = &[
            (printable, &["a b~"], &["", "\t", "é"]),
            (characters, &["", "é\r\n\t😀"], &["\u{1}", "\u{ffff}"]),
            (
                token,
                &["0123456789abcdef"],
                &["", "0123456789abcde", "0123456789ABCDEF"],
            ),
            (no_dollar, &["a", " "], &["", "a$"]),
            (
                bucket,
                &["ab", "a_.-b", "0a"],
                &["a", "", ".ab", "ab-", "a/b"],
            ),
            (account, &["000000000000"], &["00000000000", "00000000000a"]),
            (delimiter, &["\t", "|"], &["", "a", ",,"]),
            (header, &["", "a b"], &["a,b", "\"", "é"]),
        ];
        for (matches, right, wrong) in table {
            for text in *right {
                assert!(matches(text), "{text:?}");
            }
            for text in *wrong {
                assert!(!matches(text), "{text:?}");
            }
        }
    }
}
