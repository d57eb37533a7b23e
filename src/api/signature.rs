//! Signature Version 4: whether a request comes from somebody who has a key.
//!
//! The rules are those of "AWS Signature Version 4 for API requests" in AWS's reference of identity management. A
//! request is signed by a chain of keyed hashes over what it says; the same chain is computed here and compared
//! without telling by its time how much of it was right. A signature holds for five minutes, and it may come again:
//! SDKs send the same bytes again when an answer was lost.

use std::time::Duration;

use hyper::{
    Method, Uri,
    header::{AUTHORIZATION, HeaderMap},
    http::request::Parts,
};
use ring::hmac;
use sha2::{Digest, Sha256};

use super::{
    keys::{Key, Keys},
    refused::{Kind, Refused},
};
use crate::model::time::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Before and after its date, a signature holds so long.
const SKEW: Duration = Duration::from_secs(5 * 60);

/// Headers that say what a request does: where they are there, they must be signed.
const MEANINGFUL: [&str; 5] =
    ["host", "x-amz-date", "x-amz-target", "x-amz-security-token", "x-amz-content-sha256"];

/// What the credentials of a signature must be for.
pub(super) struct Place<'a> {
    /// The region of this instance.
    pub(super) region: &'a str,
    /// `ecs`.
    pub(super) service: &'a str,
}

/// A signature whose head was found good; what it says of the body is still open.
pub(super) struct Signature<'a> {
    key: &'a Key,
    /// The canonical request up to its last line, the digest of the body.
    canonical: String,
    date: String,
    scope: Scope,
    given: Vec<u8>,
}

struct Scope {
    day: String,
    region: String,
    service: String,
}

fn missing(what: &str) -> Refused {
    let message = format!("The Authorization header of a signed request has {what}.");
    Refused::new(Kind::IncompleteSignatureException, message)
}

fn invalid(message: impl Into<String>) -> Refused {
    Refused::new(Kind::InvalidSignatureException, message)
}

impl<'a> Signature<'a> {
    /// Reads the signature of a request and checks everything that does not need the body.
    pub(super) fn of(
        head: &Parts,
        keys: &'a Keys,
        place: &Place<'_>,
        now: Timestamp,
    ) -> Result<Self, Refused> {
        let authorization = head.headers.get(AUTHORIZATION).ok_or_else(|| {
            Refused::new(
                Kind::MissingAuthenticationTokenException,
                "The request is not signed. Over TCP, hythe takes requests that are signed with one of its keys.",
            )
        })?;
        let text = authorization.to_str().map_err(|_| missing("letters of ASCII"))?;
        let fields = text.strip_prefix(ALGORITHM).ok_or_else(|| missing("the algorithm AWS4-HMAC-SHA256"))?;
        let field = |name: &str| {
            let mut pairs = fields.split(',').filter_map(|pair| pair.trim().split_once('='));
            pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
        };
        let credential = field("Credential").ok_or_else(|| missing("a Credential"))?;
        let signed = field("SignedHeaders").ok_or_else(|| missing("SignedHeaders"))?;
        let given = field("Signature").ok_or_else(|| missing("a Signature"))?;
        let given = bytes_of_hex(given).ok_or_else(|| missing("a Signature of 64 hexadecimal digits"))?;
        let (id, scope) = scope(credential)?;
        let key = keys.find(id).ok_or_else(|| {
            let message = "The security token included in the request is invalid: no key here has this id.";
            Refused::new(Kind::UnrecognizedClientException, message)
        })?;
        let date = head.headers.get("x-amz-date").and_then(|date| date.to_str().ok());
        let date = date.ok_or_else(|| missing("to come with an X-Amz-Date header"))?;
        is_now(date, now)?;
        is_here(&scope, place, date)?;
        is_said(signed, &head.headers)?;
        let canonical = canonical(&head.method, &head.uri, &head.headers, signed);
        Ok(Self { key, canonical, date: date.to_owned(), scope, given })
    }

    /// Whose it is.
    pub(super) fn name(&self) -> &str {
        &self.key.name
    }

    /// Whether the whole request, `body` included, was signed with the key.
    pub(super) fn verify(&self, body: &[u8]) -> Result<(), Refused> {
        let Scope { day, region, service } = &self.scope;
        let request = Sha256::digest(format!("{}{}", self.canonical, hex(&Sha256::digest(body))));
        let signed =
            format!("{ALGORITHM}\n{}\n{day}/{region}/{service}/aws4_request\n{}", self.date, hex(&request));
        let mut key = format!("AWS4{}", self.key.secret).into_bytes();
        for part in [day.as_str(), region, service, "aws4_request"] {
            key = hmac::sign(&hmac_key(&key), part.as_bytes()).as_ref().to_vec();
        }
        // Compares in constant time.
        hmac::verify(&hmac_key(&key), signed.as_bytes(), &self.given).map_err(|_| {
            invalid(
                "The request signature we calculated does not match the signature you provided. Check your secret \
                 access key and signing method.",
            )
        })
    }
}

fn hmac_key(bytes: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, bytes)
}

/// Splits `ID/DAY/REGION/SERVICE/aws4_request`.
fn scope(credential: &str) -> Result<(&str, Scope), Refused> {
    let parts: Vec<&str> = credential.split('/').collect();
    match parts.as_slice() {
        [id, day, region, service, "aws4_request"] => {
            let scope = Scope { day: (*day).into(), region: (*region).into(), service: (*service).into() };
            Ok((id, scope))
        }
        _ => Err(missing("a Credential of the form ID/DAY/REGION/SERVICE/aws4_request")),
    }
}

/// The signature is not older than it may be, and not from the future.
fn is_now(date: &str, now: Timestamp) -> Result<(), Refused> {
    let at = seconds_of(date).ok_or_else(|| missing("to come with an X-Amz-Date like 20150830T123600Z"))?;
    let now = now.0 / 1000;
    if at + SKEW.as_secs() < now {
        return Err(invalid(format!(
            "Signature expired: {date} is more than 5 minutes before the time here, {}.",
            date_of(now)
        )));
    }
    if now + SKEW.as_secs() < at {
        return Err(invalid(format!(
            "Signature not yet current: {date} is more than 5 minutes after the time here, {}.",
            date_of(now)
        )));
    }
    Ok(())
}

/// The credentials are for this service, in this region, on the day of the request.
fn is_here(scope: &Scope, place: &Place<'_>, date: &str) -> Result<(), Refused> {
    let what = if scope.region != place.region {
        format!("region: '{}' is not '{}'", scope.region, place.region)
    } else if scope.service != place.service {
        format!("service: '{}' is not '{}'", scope.service, place.service)
    } else if !date.starts_with(&scope.day) {
        format!("date: '{}' is not the day of {date}", scope.day)
    } else {
        return Ok(());
    };
    Err(invalid(format!("Credential should be scoped to a valid {what}.")))
}

/// Everything that gives the request its meaning is among what is signed.
fn is_said(signed: &str, headers: &HeaderMap) -> Result<(), Refused> {
    let is_signed = |name: &str| signed.split(';').any(|of| of == name);
    let left_out = MEANINGFUL.into_iter().find(|name| headers.contains_key(*name) && !is_signed(name));
    match left_out {
        None if headers.contains_key("host") => Ok(()),
        None => Err(missing("to come with a Host header")),
        Some(name) => Err(invalid(format!("The header {name} has to be among the SignedHeaders."))),
    }
}

/// The canonical request without its last line.
fn canonical(method: &Method, uri: &Uri, headers: &HeaderMap, signed: &str) -> String {
    let line = |name: &str| {
        let values = headers.get_all(name).iter();
        let values: Vec<String> =
            values.map(|value| trimmed(&String::from_utf8_lossy(value.as_bytes()))).collect();
        format!("{name}:{}\n", values.join(","))
    };
    let lines: String = signed.split(';').map(line).collect();
    format!("{method}\n{}\n{}\n{lines}\n{signed}\n", canonical_path(uri.path()), canonical_query(uri.query()))
}

/// A value without blanks at its ends, and with one where it has several.
fn trimmed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path without empty parts and dots, each part encoded once more.
fn canonical_path(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let is_directory =
        !parts.is_empty() && (path.ends_with('/') || path.ends_with("/.") || path.ends_with("/.."));
    let parts: Vec<String> = parts.into_iter().map(|part| encoded(part.as_bytes())).collect();
    format!("/{}{}", parts.join("/"), if is_directory { "/" } else { "" })
}

/// The query, each name and value decoded and encoded again, in order.
fn canonical_query(query: Option<&str>) -> String {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(&decoded(name)), encoded(&decoded(value)))
        })
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn encoded(bytes: &[u8]) -> String {
    let letter = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(*byte).to_string(),
        other => format!("%{other:02X}"),
    };
    bytes.iter().map(letter).collect::<Vec<_>>().concat()
}

fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut result, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let escaped = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        let value = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        result.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    result
}

fn hex(bytes: &[u8]) -> String {
    let digit = |number: u8| char::from_digit(u32::from(number), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Thirty-two bytes from their lower-case digits.
fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 64 || !text.bytes().all(is_hex) {
        return None;
    }
    (0..32).map(|at| u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).ok()).collect()
}

/// Seconds since 1970 of `20150830T123600Z`.
fn seconds_of(date: &str) -> Option<u64> {
    let bytes = date.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| {
        let digits = date.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok())?
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days_until(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01. A year is counted from March, so that the odd day is its last.
fn days_until(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    // 719468 days are from 0000-03-01 to 1970-01-01.
    of_years + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// The text of a moment, as clients write it.
fn date_of(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970 + days / 366;
    while days_until(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|&month| days_until(year, month, 1) <= days).unwrap_or(1);
    let day = days - days_until(year, month, 1) + 1;
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests;
