//! As much of an HTTP client as the bench needs: one connection that is kept, answers with a length or in chunks.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use crate::Failure;

const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

/// A connection to an API on a unix socket.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
    body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(socket: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket).map_err(|err| format!("{}: {err}", socket.display()))?;
        Ok(Self { stream: BufReader::new(stream), body: Vec::new() })
    }

    /// An operation of ECS.
    pub(crate) fn ecs(&mut self, operation: &str, input: &Value) -> Result<Value, Failure> {
        let request = ecs(operation, input);
        let status = self.exchange(&request)?;
        if status != 200 {
            return Err(format!("{operation}: {status}: {}", String::from_utf8_lossy(&self.body)).into());
        }
        Ok(serde_json::from_slice(&self.body)?)
    }

    /// A request with JSON, to whatever address; nothing comes back as null.
    pub(crate) fn json(&mut self, method: &str, path: &str, input: Option<&Value>) -> Result<Value, Failure> {
        let body = input.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let status = self.exchange(request.as_bytes())?;
        if status >= 300 {
            return Err(format!("{method} {path}: {status}: {}", String::from_utf8_lossy(&self.body)).into());
        }
        if self.body.is_empty() { Ok(Value::Null) } else { Ok(serde_json::from_slice(&self.body)?) }
    }

    /// Sends a request as it is and reads the whole answer. Gives the status.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<u16, Failure> {
        self.stream.get_mut().write_all(request)?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).ok_or("no answer")?.parse()?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                is_chunked = true;
            }
        }
        self.body.clear();
        if is_chunked {
            self.chunks()?;
        } else {
            self.body.resize(length, 0);
            self.stream.read_exact(&mut self.body)?;
        }
        Ok(status)
    }

    fn chunks(&mut self) -> Result<(), Failure> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16)?;
            let from = self.body.len();
            self.body.resize(from + size, 0);
            self.stream.read_exact(&mut self.body[from..])?;
            self.stream.read_line(&mut line)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

/// The bytes of an operation of ECS.
pub(crate) fn ecs(operation: &str, input: &Value) -> Vec<u8> {
    let body = input.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: {TARGET}.{operation}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
