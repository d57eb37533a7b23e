//! The credentials of the task's role, as the daemon last brought them.
//!
//! They are in the shim's memory and nowhere else. A shim without a daemon tells those it has until they end; it cannot
//! get others.

use serde_json::json;

use super::request::Answer;
use crate::{model::time::Timestamp, shim::protocol::Credentials};

/// The answer to a question for the credentials of that name.
pub(super) fn answer(held: Option<&Credentials>, id: &str, now: Timestamp) -> Answer {
    let refused = |status, code: &str, message: &str| {
        let message = format!("CredentialsV2Request: {message}");
        Answer::refused_with(status, &json!({ "code": code, "message": message, "HTTPErrorCode": status }))
    };
    match held {
        _ if id.is_empty() => refused(400, "NoIdInRequest", "No Credential ID in the request"),
        Some(held) if held.id == id && held.until <= now => {
            let message =
                "the credentials have expired, and the daemon has brought no others: look at its log";
            refused(503, "CredentialsUninitialized", message)
        }
        Some(held) if held.id == id => Answer::document(held.document.reveal().as_bytes().to_vec()),
        Some(_) | None => refused(400, "InvalidIdInRequest", "Credentials not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::protocol::Hidden;

    #[test]
    fn credentials_are_told_by_their_name_until_they_end() {
        let held = Credentials {
            id: "one".to_owned(),
            document: Hidden::new(r#"{"AccessKeyId":"A"}"#.to_owned()),
            until: Timestamp(10),
        };
        let told =
            |id: &str, at| String::from_utf8(answer(Some(&held), id, Timestamp(at)).into_bytes()).unwrap();
        assert!(told("one", 9).ends_with(r#"{"AccessKeyId":"A"}"#));
        assert!(told("one", 9).starts_with("HTTP/1.1 200 "));
        assert!(told("one", 10).starts_with("HTTP/1.1 503 ") && !told("one", 10).contains("AccessKeyId"));
        for id in ["two", "on", "onee", ""] {
            assert!(told(id, 9).starts_with("HTTP/1.1 400 "), "{id}");
        }
        assert!(!format!("{held:?}").contains("AccessKeyId"));
    }
}
