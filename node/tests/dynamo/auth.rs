//! Signatures, made here by the book ("Create a signed AWS API request", IAM user guide).

use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use jiff::Timestamp;
use kv_node::dynamo::{AccessKey, Config};
use sha2::{Digest, Sha256};

use crate::support::{Answer, Server};

const BODY: &str = "{}";

/// A request to sign; tests change one part of it.
struct Signing {
    id: &'static str,
    secret: &'static str,
    region: &'static str,
    service: &'static str,
    /// Seconds that the client's clock is ahead.
    ahead: i64,
    /// Body that is signed; another may be sent.
    body: &'static str,
}

const GOOD: Signing = Signing {
    id: "AKID",
    secret: "secret",
    region: "eu-test-1",
    service: "dynamodb",
    ahead: 0,
    body: BODY,
};

fn hmac(key: &[u8], data: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(data.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha(data: &str) -> String {
    hex::encode(Sha256::digest(data.as_bytes()))
}

impl Signing {
    fn date(&self) -> String {
        let now = Timestamp::now().as_second() + self.ahead;
        Timestamp::from_second(now)
            .expect("a date")
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string()
    }

    fn scope(&self, date: &str) -> String {
        format!(
            "{}/{}/{}/aws4_request",
            &date[..8],
            self.region,
            self.service
        )
    }

    fn signature(&self, date: &str, canonical: &str) -> String {
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{date}\n{}\n{}",
            self.scope(date),
            sha(canonical)
        );
        let key = hmac(format!("AWS4{}", self.secret).as_bytes(), &date[..8]);
        let key = hmac(
            &hmac(&hmac(&key, self.region), self.service),
            "aws4_request",
        );
        hex::encode(hmac(&key, &to_sign))
    }

    /// Sends it signed in the header.
    async fn send(&self, server: &Server) -> Answer {
        let host = server.url.trim_start_matches("http://");
        let target = "DynamoDB_20120810.ListTables";
        let date = self.date();
        let signed = "host;x-amz-date;x-amz-target";
        let canonical = format!(
            "POST\n/\n\nhost:{host}\nx-amz-date:{date}\nx-amz-target:{target}\n\n{signed}\n{}",
            sha(self.body)
        );
        let signature = self.signature(&date, &canonical);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={signed}, Signature={signature}",
            self.id,
            self.scope(&date)
        );
        let headers = [
            ("content-type", "application/x-amz-json-1.0"),
            ("x-amz-target", target),
            ("x-amz-date", &date),
            ("authorization", &authorization),
        ];
        server.raw(Method::POST, "/", &headers, BODY).await
    }
}

async fn guarded() -> Server {
    let key = AccessKey {
        id: "AKID".into(),
        secret: "secret".into(),
        account: "123456789012".into(),
    };
    Server::start_with(Config {
        keys: vec![key],
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn good_signatures_pass() {
    let server = guarded().await;
    // Twice: the second finds the derived key in the cache.
    for ahead in [0, -600, 600, 0] {
        let answer = Signing { ahead, ..GOOD }.send(&server).await;
        assert_eq!(answer.status, 200, "{ahead} s: {}", answer.text);
    }
}

#[tokio::test]
async fn bad_signatures_are_refused_as_the_service_refuses() {
    let server = guarded().await;
    let invalid = "InvalidSignatureException";
    for (signing, kind, words) in [
        (
            Signing {
                secret: "other",
                ..GOOD
            },
            invalid,
            "The request signature we calculated does not match the signature you provided.",
        ),
        (
            Signing {
                body: "{ }",
                ..GOOD
            },
            invalid,
            "The request signature we calculated does not match",
        ),
        (
            Signing {
                id: "nobody",
                ..GOOD
            },
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ),
        (
            Signing {
                ahead: -1000,
                ..GOOD
            },
            invalid,
            "Signature expired: ",
        ),
        (
            Signing {
                ahead: 1000,
                ..GOOD
            },
            invalid,
            "Signature not yet current: ",
        ),
        (
            Signing {
                service: "s3",
                ..GOOD
            },
            invalid,
            "Credential should be scoped to correct service: 'dynamodb'. ",
        ),
    ] {
        let answer = signing.send(&server).await;
        assert_eq!(answer.status, 400, "{}", answer.text);
        let json = answer.json();
        assert_eq!(json["__type"], format!("com.amazon.coral.service#{kind}"));
        let message = json["message"].as_str().expect("a message");
        assert!(message.starts_with(words), "{message}");
    }
}

#[tokio::test]
async fn signatures_in_the_query_string_pass_too() {
    let server = guarded().await;
    let host = server.url.trim_start_matches("http://");
    let date = GOOD.date();
    let credential = format!("{}/{}", GOOD.id, GOOD.scope(&date)).replace('/', "%2F");
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={date}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    );
    let canonical = format!("POST\n/\n{query}\nhost:{host}\n\nhost\n{}", sha(BODY));
    let signature = GOOD.signature(&date, &canonical);
    let headers = [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "DynamoDB_20120810.ListTables"),
    ];
    for (signature, status) in [(signature.as_str(), 200), ("00", 400)] {
        let path = format!("/?{query}&X-Amz-Signature={signature}");
        let answer = server.raw(Method::POST, &path, &headers, BODY).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}
