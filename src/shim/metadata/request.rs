//! What is asked and what is answered, as HTTP/1.1 has it: a `GET` or a `PUT`, one answer, the end.

use std::io::Write as _;

/// The longest head of a request that is read.
pub(super) const HEAD_MAX: usize = 8 << 10;

/// The longest body.
const BODY_MAX: usize = 4 << 10;

/// Which version of the endpoint is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// `/v3`.
    Three,
    /// `/v4`.
    Four,
}

/// What of a task is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// The container that asks.
    Container,
    /// Its task.
    Task,
    /// Its task, with tags.
    TaskWithTags,
    /// What the container uses.
    Stats,
    /// What each container of the task uses.
    TaskStats,
}

/// A request that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// Metadata, by the name under which a container asks.
    Metadata {
        /// Of which version.
        version: Version,
        /// The name.
        endpoint: &'a str,
        /// What of it.
        page: Page,
    },
    /// Credentials, by their name.
    Credentials(&'a str),
    /// The task's protection, by the name under which a container asks.
    Protection {
        /// The name.
        endpoint: &'a str,
        /// Whether the body says what it is to be.
        change: bool,
    },
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// A document that was asked for.
    pub(super) fn document(body: Vec<u8>) -> Self {
        Self { status: 200, body }
    }

    /// A refusal: its status and a sentence, which is a JSON text as ECS has it.
    pub(super) fn refusal(status: u16, sentence: &str) -> Self {
        Self { status, body: serde_json::Value::from(sentence).to_string().into_bytes() }
    }

    /// A refusal that is a document.
    pub(super) fn refused_with(status: u16, body: &serde_json::Value) -> Self {
        Self { status, body: body.to_string().into_bytes() }
    }

    /// The bytes that go over the wire.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let phrase = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            411 => "Length Required",
            413 => "Content Too Large",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "Internal Server Error",
        };
        let mut bytes = Vec::with_capacity(self.body.len() + 160);
        // A vector takes everything.
        let _ = write!(
            bytes,
            "HTTP/1.1 {} {phrase}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.body.len()
        );
        bytes.extend(self.body);
        bytes
    }
}

/// The end of the head in what was read so far; none while it is not whole.
pub(super) fn head_end(heard: &[u8]) -> Option<usize> {
    heard.windows(4).position(|window| window == b"\r\n\r\n")
}

/// What a whole head asks for, or the refusal.
pub(super) fn read(head: &[u8]) -> Result<Asked<'_>, Answer> {
    let bad = || Answer::refusal(400, "this is not a request of HTTP/1.1");
    let line = std::str::from_utf8(head).ok().and_then(|head| head.lines().next()).ok_or_else(bad)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad());
    };
    if !version.starts_with("HTTP/1.") {
        return Err(bad());
    }
    let asked = asked(path(target));
    match (method, asked) {
        ("PUT", Some(Asked::Protection { endpoint, .. })) => Ok(Asked::Protection { endpoint, change: true }),
        ("GET", Some(asked)) => Ok(asked),
        ("GET", None) => Err(Answer::refusal(404, "there is nothing at this path")),
        _ => Err(Answer::refusal(405, "only GET is answered here")),
    }
}

/// How long the body behind a whole head is.
pub(super) fn body_length(head: &[u8]) -> Result<usize, Answer> {
    let head = std::str::from_utf8(head).unwrap_or_default();
    let mut fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let Some((_, length)) = length else {
        return Err(Answer::refusal(411, "the request does not say how long its body is"));
    };
    match length.trim().parse() {
        Ok(length) if length <= BODY_MAX => Ok(length),
        _ => Err(Answer::refusal(413, "the body of a request may have 4 KiB here")),
    }
}

/// The path of a target, which a proxy would write with the scheme and the host before it.
fn path(target: &str) -> &str {
    let after_host = target.strip_prefix("http://").and_then(|rest| Some(&rest[rest.find('/')?..]));
    let target = after_host.unwrap_or(target);
    let path = target.split(['?', '#']).next().unwrap_or_default();
    path.strip_suffix('/').unwrap_or(path)
}

fn asked(path: &str) -> Option<Asked<'_>> {
    let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let (version, rest) = match parts.as_slice() {
        ["v2", "credentials", id] => return Some(Asked::Credentials(id)),
        ["api", endpoint, "task-protection", "v1", "state"] if !endpoint.is_empty() => {
            return Some(Asked::Protection { endpoint, change: false });
        }
        ["v3", rest @ ..] => (Version::Three, rest),
        ["v4", rest @ ..] => (Version::Four, rest),
        _ => return None,
    };
    let (endpoint, rest) = rest.split_first()?;
    let page = match rest {
        [] => Page::Container,
        ["task"] => Page::Task,
        ["taskWithTags"] => Page::TaskWithTags,
        ["stats"] => Page::Stats,
        ["task", "stats"] => Page::TaskStats,
        _ => return None,
    };
    (!endpoint.is_empty()).then_some(Asked::Metadata { version, endpoint, page })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(head: &[u8]) -> Option<u16> {
        read(head).err().map(|answer| answer.status)
    }

    #[test]
    fn every_path_leads_to_its_page() {
        let pages = [
            ("", Page::Container),
            ("/", Page::Container),
            ("?x", Page::Container),
            ("/task", Page::Task),
            ("/taskWithTags", Page::TaskWithTags),
            ("/stats", Page::Stats),
            ("/task/stats", Page::TaskStats),
        ];
        for (number, version) in [("v3", Version::Three), ("v4", Version::Four)] {
            for (rest, page) in pages {
                let expected = Ok(Asked::Metadata { version, endpoint: "id", page });
                let head = format!("GET /{number}/id{rest} HTTP/1.1\r\nHost: x");
                assert_eq!(read(head.as_bytes()), expected, "{rest}");
                let head = format!("GET http://169.254.170.2/{number}/id{rest} HTTP/1.0");
                assert_eq!(read(head.as_bytes()), expected, "{rest}");
            }
        }
        assert_eq!(read(b"GET /v2/credentials/id HTTP/1.1"), Ok(Asked::Credentials("id")));
        for (method, change) in [("GET", false), ("PUT", true)] {
            let head = format!("{method} /api/id/task-protection/v1/state HTTP/1.1");
            assert_eq!(read(head.as_bytes()), Ok(Asked::Protection { endpoint: "id", change }));
        }
    }

    #[test]
    fn anything_else_is_refused_by_its_kind() {
        for head in ["", "GET", "GET / FTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1 x", "\u{0} \u{0} \u{0}"] {
            assert_eq!(status(head.as_bytes()), Some(400), "{head:?}");
        }
        assert_eq!(status(b"GET /\xff HTTP/1.1"), Some(400));
        assert_eq!(status(b"PUT /v4/id HTTP/1.1"), Some(405));
        assert_eq!(status(b"DELETE /api/id/task-protection/v1/state HTTP/1.1"), Some(405));
        for path in [
            "/",
            "/v4",
            "/v4/",
            "/v4//task",
            "/v4/id/tasks",
            "/v5/id",
            "/v2/credentials",
            "http://x",
            "/api/id",
        ] {
            assert_eq!(status(format!("GET {path} HTTP/1.1").as_bytes()), Some(404), "{path}");
        }
    }

    #[test]
    fn a_body_says_how_long_it_is_and_is_not_long() {
        let length = |field: &str| body_length(format!("PUT / HTTP/1.1\r\nHost: x\r\n{field}").as_bytes());
        assert_eq!(length("content-LENGTH: 12"), Ok(12));
        for (field, status) in [("X: 1", 411), ("Content-Length: 5000", 413), ("Content-Length: -1", 413)] {
            assert_eq!(length(field).unwrap_err().status, status, "{field}");
        }
    }

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        let bytes = Answer::refusal(404, "no \"x\"").into_bytes();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 404 Not Found\r\n") && head.contains("Connection: close"),
            "{head}"
        );
        assert_eq!(body, r#""no \"x\"""#);
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    }
}
