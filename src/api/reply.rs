//! Answers as HTTP: whole documents, and lines of JSON that come as fast as the client takes them.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::Frame,
    header::{CONTENT_TYPE, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{
    live::Lines,
    refused::{Kind, Refused},
};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The type of ECS's documents.
pub(super) const ECS_JSON: &str = "application/x-amz-json-1.1";

/// What is to be answered.
pub(super) enum Reply {
    /// A document.
    Whole(Value),
    /// Lines, the last of which may be a refusal.
    Lines(Body),
    /// Bytes both ways, which go to this stream and come from it.
    Bytes(UnixStream),
}

/// Lines of a conversation.
pub(super) fn lines<T: Serialize + Send + 'static>(lines: Lines<T>) -> Reply {
    let values = lines.map(|line| match line {
        Ok(line) => serde_json::to_value(line).unwrap_or(Value::Null),
        Err(error) => Refused::from(error).document(),
    });
    values_of(values)
}

/// Lines of documents.
pub(super) fn values_of(values: impl Stream<Item = Value> + Send + 'static) -> Reply {
    let frames = values.map(|value| {
        let mut line = value.to_string();
        line.push('\n');
        Ok::<_, Infallible>(Frame::data(Bytes::from(line)))
    });
    Reply::Lines(StreamBody::new(frames).boxed_unsync())
}

/// The response that `answer` is, and whether it goes on for a while.
pub(super) fn response(
    answer: Result<Reply, Refused>,
    content_type: &'static str,
    id: &str,
) -> Response<Body> {
    let (status, content_type, body) = match answer {
        Ok(Reply::Whole(value)) => (StatusCode::OK, content_type, whole(&value)),
        Ok(Reply::Lines(body)) => (StatusCode::OK, "application/x-ndjson", body),
        Ok(Reply::Bytes(_)) => {
            (StatusCode::SWITCHING_PROTOCOLS, content_type, Full::default().boxed_unsync())
        }
        Err(refused) => (status(&refused), content_type, whole(&refused.document())),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

fn whole(value: &Value) -> Body {
    Full::new(Bytes::from(value.to_string())).boxed_unsync()
}

fn status(refused: &Refused) -> StatusCode {
    if refused.kind == Kind::ServerException {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::BAD_REQUEST
    }
}
