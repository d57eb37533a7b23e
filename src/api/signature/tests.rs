use std::time::{SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4::SigningParams,
};
use hyper::Request;
use proptest::prelude::*;

use super::*;

/// The credentials and the moment of AWS's published examples.
const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const DATE: &str = "20150830T123600Z";
const MOMENT: Timestamp = Timestamp(1_440_938_160_000);

const PLACE: Place<'_> = Place { region: "us-east-1", service: "service" };

fn head(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn authorization(id: &str, signed: &str, signature: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={id}/20150830/us-east-1/service/aws4_request, SignedHeaders={signed}, \
         Signature={signature}"
    )
}

fn judged(head: &Parts, keys: &Keys, body: &[u8], now: Timestamp) -> Result<(), Refused> {
    Signature::of(head, keys, &PLACE, now)?.verify(body)
}

fn kind_of(head: &Parts, now: Timestamp) -> &'static str {
    judged(head, &Keys::one(ID, SECRET), b"", now).unwrap_err().kind.name()
}

/// Method, address, headers beside host and date, names of the signed headers, signature.
type Vector<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);

/// Requests of the published test suite of Signature Version 4 and the signatures that belong to them.
const SUITE: &[Vector<'_>] = &[
    ("GET", "/", &[], "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("POST", "/", &[], "host;x-amz-date", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    (
        "GET",
        "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
        &[],
        "host;x-amz-date",
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    (
        "GET",
        "/",
        &[("My-Header1", "value2"), ("My-Header1", "value2"), ("My-Header1", "value1")],
        "host;my-header1;x-amz-date",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
    (
        "GET",
        "/",
        &[("My-Header1", " value1"), ("My-Header2", "\"a   b   c\"")],
        "host;my-header1;my-header2;x-amz-date",
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    (
        "GET",
        "/",
        &[
            ("My-Header1", "value4"),
            ("My-Header1", "value1"),
            ("My-Header1", "value3"),
            ("My-Header1", "value2"),
        ],
        "host;my-header1;x-amz-date",
        "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
    ),
    (
        "GET",
        "//example//",
        &[],
        "host;x-amz-date",
        "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84",
    ),
    (
        "GET",
        "/example/..",
        &[],
        "host;x-amz-date",
        "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    ),
    (
        "GET",
        "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
        &[],
        "host;x-amz-date",
        "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
    ),
    (
        "POST",
        "/",
        &[("My-Header1", "value1")],
        "host;my-header1;x-amz-date",
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
];

#[test]
fn the_published_requests_have_their_published_signatures() {
    for (method, uri, more, signed, signature) in SUITE {
        let authorization = authorization(ID, signed, signature);
        let mut headers = vec![("Host", "example.amazonaws.com"), ("X-Amz-Date", DATE)];
        headers.extend_from_slice(more);
        headers.push(("Authorization", &authorization));
        let head = head(method, uri, &headers);
        assert_eq!(judged(&head, &Keys::one(ID, SECRET), b"", MOMENT), Ok(()), "{method} {uri} {more:?}");
    }
}

/// A request that is signed by the official crate.
fn signed(uri: &str, target: &str, body: &[u8], secret: &str, at: SystemTime) -> Parts {
    let credentials = Credentials::new(ID, secret, None, None, "test").into();
    let params = SigningParams::builder()
        .identity(&credentials)
        .region("us-east-1")
        .name("service")
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = [
        ("host", "127.0.0.1:8080"),
        ("x-amz-target", target),
        ("content-type", "application/x-amz-json-1.1"),
    ];
    let address = format!("http://127.0.0.1:8080{uri}");
    let request =
        SignableRequest::new("POST", address, headers.into_iter(), SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &params).unwrap().into_parts();
    let mut request = Request::builder().method("POST").uri(uri);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(()).unwrap();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

fn now() -> (SystemTime, Timestamp) {
    let at = SystemTime::now();
    let since = at.duration_since(UNIX_EPOCH).unwrap();
    (at, Timestamp(u64::try_from(since.as_millis()).unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_official_crate_signs_is_taken_and_nothing_else(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        path in "(/[a-zA-Z0-9_.~@-]{1,8}(%2[0-9A-E])?){0,3}",
        query in "([a-z]{1,3}=[a-zA-Z0-9%]{0}[a-zA-Z0-9_.~-]{0,5}(&[a-z]{1,3}=(%[2-7][0-9A-F]){0,2})?)?",
        flip in any::<(usize, u8)>(),
    ) {
        let uri = format!("{}{}{query}", if path.is_empty() { "/" } else { &path }, if query.is_empty() { "" } else { "?" });
        let (at, here) = now();
        let keys = Keys::one(ID, SECRET);
        let head = signed(&uri, "Service.Operation", &body, SECRET, at);
        prop_assert_eq!(judged(&head, &keys, &body, here), Ok(()));
        let wrong = Keys::one(ID, "another secret");
        prop_assert!(judged(&head, &wrong, &body, here).is_err());
        let mut other = body.clone();
        if other.is_empty() {
            other.push(flip.1);
        } else {
            let at = flip.0 % other.len();
            other[at] ^= 1 << (flip.1 % 8);
        }
        prop_assert!(judged(&head, &keys, &other, here).is_err());
        let mut retold = signed(&uri, "Service.Operation", &body, SECRET, at);
        retold.headers.insert("x-amz-target", "Service.Other".parse().unwrap());
        prop_assert!(judged(&retold, &keys, &body, here).is_err());
    }
}

#[test]
fn a_signature_holds_five_minutes_to_both_sides() {
    let (_, uri, _, names, signature) = SUITE[0];
    let authorization = authorization(ID, names, signature);
    let headers =
        [("Host", "example.amazonaws.com"), ("X-Amz-Date", DATE), ("Authorization", &authorization)];
    let head = head("GET", uri, &headers);
    let keys = Keys::one(ID, SECRET);
    for (seconds, is_taken) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let now = Timestamp(MOMENT.0.checked_add_signed(seconds * 1000).unwrap());
        assert_eq!(judged(&head, &keys, b"", now).is_ok(), is_taken, "{seconds} seconds");
    }
    let late = judged(&head, &keys, b"", Timestamp(MOMENT.0 + 400_000)).unwrap_err().message;
    assert!(
        late.starts_with("Signature expired: 20150830T123600Z") && late.contains("20150830T124240Z"),
        "{late}"
    );
}

#[test]
fn requests_that_are_not_signed_well_are_refused_by_what_they_lack() {
    let good = SUITE[0].4;
    let with = |authorization: &str, more: &[(&str, &str)]| {
        let mut headers =
            vec![("Host", "example.amazonaws.com"), ("X-Amz-Date", DATE), ("Authorization", authorization)];
        headers.extend_from_slice(more);
        kind_of(&head("GET", "/", &headers), MOMENT)
    };
    let names = "host;x-amz-date";
    assert_eq!(kind_of(&head("GET", "/", &[("Host", "x")]), MOMENT), "MissingAuthenticationTokenException");
    assert_eq!(with("Basic YTpi", &[]), "IncompleteSignatureException");
    assert_eq!(with("AWS4-HMAC-SHA256 Credential=a", &[]), "IncompleteSignatureException");
    assert_eq!(with(&authorization(ID, names, "abc"), &[]), "IncompleteSignatureException");
    assert_eq!(with(&authorization("AKOTHER", names, good), &[]), "UnrecognizedClientException");
    assert_eq!(with(&authorization(ID, names, &"0".repeat(64)), &[]), "InvalidSignatureException");
    assert_eq!(with(&authorization(ID, "x-amz-date", good), &[]), "InvalidSignatureException");
    assert_eq!(
        with(&authorization(ID, names, good), &[("X-Amz-Target", "T.Op")]),
        "InvalidSignatureException"
    );
    let undated = [("Host", "x"), ("Authorization", &authorization(ID, names, good) as &str)];
    assert_eq!(kind_of(&head("GET", "/", &undated), MOMENT), "IncompleteSignatureException");
    for scope in ["20150829/us-east-1/service", "20150830/eu-west-1/service", "20150830/us-east-1/s3"] {
        let text = authorization(ID, names, good).replace("20150830/us-east-1/service", scope);
        assert_eq!(with(&text, &[]), "InvalidSignatureException", "{scope}");
    }
}

#[test]
fn dates_are_counted_from_1970_and_back() {
    for (seconds, text) in [
        (0, "19700101T000000Z"),
        (951_782_400, "20000229T000000Z"),
        (1_440_938_160, DATE),
        (1_735_689_599, "20241231T235959Z"),
        (4_107_542_399, "21000228T235959Z"),
    ] {
        assert_eq!(seconds_of(text), Some(seconds));
        assert_eq!(date_of(seconds), text);
    }
    for bad in ["", "2015", "20151330T123600Z", "20150830 123600Z", "20150830T123600+", "2015é830T12360Z"] {
        assert_eq!(seconds_of(bad), None, "{bad}");
    }
}
