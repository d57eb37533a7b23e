//! How a command fails: a sentence on standard error and an exit code by kind.
//!
//! ```text
//!   0  done
//!   1  it failed
//!   2  the command line makes no sense
//!   3  what was named is not there
//!   4  the daemon refused, or a file is not valid
//!   5  the daemon cannot be reached
//!   6  `doctor`: it works, with less than it could
//! ```
//!
//! `hythe run --wait` ends with the container's own code instead.

use std::{fmt, process::ExitCode};

use crate::{api::client::ClientError, model::report::chain};

/// It failed.
pub(super) const FAILED: u8 = 1;
/// The command line makes no sense.
pub(super) const USAGE: u8 = 2;
/// What was named is not there.
pub(super) const NOT_FOUND: u8 = 3;
/// The daemon refused, or a file is not valid.
pub(super) const REFUSED: u8 = 4;
/// The daemon cannot be reached.
pub(super) const UNREACHABLE: u8 = 5;

/// It works, with less than it could.
pub(super) const DEGRADED: u8 = 6;

/// Why a command did not do what it should.
#[derive(Debug)]
pub(super) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// It failed.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self { code: FAILED, message: message.into() }
    }

    /// The command line makes no sense.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into() }
    }

    /// What was named is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { code: NOT_FOUND, message: message.into() }
    }

    /// A file is not valid, or the daemon refused.
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into() }
    }

    /// Says it on standard error.
    pub(super) fn tell(self) -> ExitCode {
        if !self.message.is_empty() {
            eprintln!("hythe: {}", self.message);
        }
        ExitCode::from(self.code)
    }

    /// The exit code.
    #[cfg(test)]
    pub(super) const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let mut message = chain(&error);
        let code = match &error {
            ClientError::Unreachable { source, .. } => {
                message.push_str(hint(source.kind()));
                UNREACHABLE
            }
            ClientError::Refused { code, message } => kind_of(code, message),
            ClientError::Broken(_) | ClientError::NotJson(_) => FAILED,
            ClientError::BadRequest { .. } => USAGE,
        };
        Self { code, message }
    }
}

fn hint(kind: std::io::ErrorKind) -> &'static str {
    if kind == std::io::ErrorKind::PermissionDenied {
        " (run as root, or as a user that the daemon's configuration names)"
    } else {
        " (is it running? start it with `hythe daemon`, or name its socket with --socket)"
    }
}

/// The exit code for a refusal. ECS has no own error for a missing task or definition, so the words decide there.
fn kind_of(code: &str, message: &str) -> u8 {
    let missing = ["not found", "Unable to describe"];
    match code {
        "ServerException" | "ServiceUnavailableException" | "InternalError" => FAILED,
        code if code.ends_with("NotFoundException") => NOT_FOUND,
        "ClientException" | "InvalidParameterException"
            if missing.iter().any(|words| message.contains(words)) =>
        {
            NOT_FOUND
        }
        _ => REFUSED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, message: &str) -> u8 {
        Failure::from(ClientError::Refused { code: code.to_owned(), message: message.to_owned() }).code()
    }

    #[test]
    fn a_missing_thing_and_a_refused_one_end_differently() {
        assert_eq!(refused("ServiceNotFoundException", "Service not found."), NOT_FOUND);
        assert_eq!(refused("ClientException", "TaskDefinition not found."), NOT_FOUND);
        assert_eq!(refused("InvalidParameterException", "The referenced task was not found"), NOT_FOUND);
        assert_eq!(refused("ClientException", "Container.name should not be null or empty."), REFUSED);
        assert_eq!(refused("ServerException", "the disk is full"), FAILED);
    }

    #[test]
    fn a_daemon_that_is_not_there_has_a_code_and_a_hint() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let failure = Failure::from(ClientError::Unreachable { socket: "/run/x.sock".into(), source });
        assert_eq!(failure.code(), UNREACHABLE);
        assert!(failure.to_string().contains("/run/x.sock"), "{failure}");
        assert!(failure.to_string().contains("hythe daemon"), "{failure}");
    }
}
