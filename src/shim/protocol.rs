//! What a shim and a daemon say to each other: JSON, one value a line, over a stream socket.
//!
//! ```text
//!   daemon                       shim
//!     Hello {from: 7}   ----->
//!                       <-----   Welcome {version, task, facts: 9}
//!                       <-----   Fact 7 · Fact 8 · Fact 9 · …as they are seen
//!     Stop {request}    ----->
//!                       <-----   …ContainerExited · AllStopped
//!                       <-----   (end of stream)
//! ```
//!
//! A connection on which [`Order::Exec`] is said belongs to that command from then on: what goes over it are the
//! frames of [`crate::model::exec`].
//!
//! Any number of daemons may be connected; each gets every fact from the number it asked for. A daemon that goes
//! away disturbs nothing, because facts are in the ledger before they are on a wire. Both sides pass over words they
//! do not know, so that an older shim goes on under a newer daemon.

use std::{fmt, io};

use serde::{Deserialize, Serialize};

use crate::model::{
    exec::{ExecRequest, ExecUser},
    fact::Fact,
    ids::{ContainerName, TaskId},
    task::StopRequest,
    time::Timestamp,
};

/// The version of this language.
pub const VERSION: u32 = 1;

/// The longest line either side reads.
pub const LINE_MAX: usize = 256 << 10;

/// What a daemon says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Order {
    /// Asks for every fact from this number on.
    Hello {
        /// A number in the ledger, from 1.
        from: u64,
    },
    /// Stops the task, for good. Saying it twice is saying it once.
    Stop {
        /// Who wants it, and why.
        request: StopRequest,
    },
    /// Sends a signal to the first process of a container.
    Signal {
        /// The container.
        container: ContainerName,
        /// The signal's number.
        signal: i32,
    },
    /// Runs a command in a container. What follows on this connection, both ways, is frames and nothing else.
    Exec {
        /// The container.
        container: ContainerName,
        /// What is run.
        request: Box<ExecRequest>,
        /// Whom the request's user is; none when it names none.
        user: Option<ExecUser>,
    },
    /// Brings the credentials of the task's role, in place of those before.
    Credentials {
        /// They.
        credentials: Box<Credentials>,
    },
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

impl Order {
    /// It as a line.
    pub(super) fn to_line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}

/// The credentials of a task's role for some time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// The name under which the task asks for them.
    pub id: String,
    /// What it is told: a JSON object of `RoleArn`, `AccessKeyId`, `SecretAccessKey`, `Token` and `Expiration`.
    pub document: Hidden,
    /// When they end.
    pub until: Timestamp,
}

/// A text that never shows in a log or an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for whom it is meant.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(hidden)")
    }
}

/// What a shim says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "say")]
pub enum Report {
    /// The answer to [`Order::Hello`].
    Welcome {
        /// The version of the language.
        version: u32,
        /// Whose shim it is.
        task: TaskId,
        /// How many facts the ledger holds.
        facts: u64,
    },
    /// Something that was seen.
    Fact {
        /// What.
        fact: Fact,
    },
    /// The shim cannot begin at all, such as when the control group cannot be made.
    Failed {
        /// A sentence.
        reason: String,
    },
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}
