//! A command in a container that runs already: what is asked for, and the frames that carry the conversation.
//!
//! ```text
//!   person                       shim
//!     Input · Size · Signal   ->
//!                             <-   Output · Errors · … · Ended | Failed
//! ```
//!
//! A frame is one byte for its kind, four for the length of what follows, most significant first, and that many
//! bytes. Whoever stands between the two passes the bytes on as they are. The end of the stream without a last frame
//! means that the other side is gone.

use serde::{Deserialize, Serialize};

use super::{ids::ContainerName, task::Exit};

use crate::model::reading;

/// The most bytes that a frame carries.
pub const FRAME_MAX: usize = 64 << 10;

/// The word for this conversation in the header `Upgrade`.
pub const PROTOCOL: &str = "hythe-exec";

/// Bytes in front of what a frame carries.
const HEAD: usize = 5;

/// What is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ExecRequest {
    /// In which container; may be left out where the task has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerName>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// `name|uid[:group|gid]`; as the container's own process when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `NAME=VALUE`, on top of the container's own variables; a name alone takes a variable away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Where it begins; as the container's own process when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_directory: Option<String>,
    /// Whether its streams are a terminal.
    pub terminal: bool,
    /// Whether anything will come on its standard input.
    pub input: bool,
    /// Rows of the terminal at the beginning.
    pub rows: u16,
    /// Columns of the terminal at the beginning.
    pub columns: u16,
}

/// Who a command runs as, all numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Further groups.
    pub additional_gids: Vec<u32>,
    /// The home directory.
    pub home: String,
}

/// One thing that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes for the standard input.
    Input(Vec<u8>),
    /// There will be no more of them.
    InputEnd,
    /// The terminal has this size now.
    Size {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// A signal for the command, by its number.
    Signal(i32),
    /// Bytes of the standard output, or of the terminal.
    Output(Vec<u8>),
    /// Bytes of the standard error.
    Errors(Vec<u8>),
    /// It ended; nothing follows.
    Ended(Exit),
    /// It could not be run; nothing follows.
    Failed {
        /// What a shell would end with: 127 for what is not there, 126 for what cannot be executed.
        code: u8,
        /// Why.
        message: String,
    },
}

/// Bytes that are no frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// No such kind.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// Too long.
    #[error("a frame of {0} bytes, of which {FRAME_MAX} are the most")]
    Length(usize),
    /// What it carries does not fit its kind.
    #[error("a frame of the kind {0} with something else in it")]
    Content(u8),
}

/// The last frame as it is on the wire.
#[derive(Serialize, Deserialize)]
struct Failure {
    code: u8,
    message: String,
}

impl Frame {
    /// Appends the frame to `wire`. Bytes that are more than one frame carries go into several.
    pub fn put(&self, wire: &mut Vec<u8>) {
        match self {
            Self::Input(bytes) => put_all(wire, 0, bytes),
            Self::InputEnd => put_one(wire, 1, &[]),
            Self::Size { rows, columns } => {
                put_one(wire, 2, &[rows.to_be_bytes(), columns.to_be_bytes()].concat());
            }
            Self::Signal(number) => put_one(wire, 3, &number.to_be_bytes()),
            Self::Output(bytes) => put_all(wire, 4, bytes),
            Self::Errors(bytes) => put_all(wire, 5, bytes),
            Self::Ended(Exit::Code(code)) => put_one(wire, 6, &code.to_be_bytes()),
            Self::Ended(Exit::Signal(signal)) => put_one(wire, 7, &signal.to_be_bytes()),
            Self::Failed { code, message } => {
                // A message longer than a frame is cut; nobody reads it to its end.
                let message = message.chars().take(FRAME_MAX / 8).collect();
                let text = serde_json::to_vec(&Failure { code: *code, message }).unwrap_or_default();
                put_one(wire, 8, &text);
            }
        }
    }

    fn read(kind: u8, content: &[u8]) -> Result<Self, BadFrame> {
        let bad = || BadFrame::Content(kind);
        let number = || content.try_into().map(i32::from_be_bytes).map_err(|_| bad());
        Ok(match kind {
            0 => Self::Input(content.to_vec()),
            1 if content.is_empty() => Self::InputEnd,
            2 => {
                let &[a, b, c, d] = content else { return Err(bad()) };
                Self::Size { rows: u16::from_be_bytes([a, b]), columns: u16::from_be_bytes([c, d]) }
            }
            3 => Self::Signal(number()?),
            4 => Self::Output(content.to_vec()),
            5 => Self::Errors(content.to_vec()),
            6 => Self::Ended(Exit::Code(number()?)),
            7 => Self::Ended(Exit::Signal(number()?)),
            8 => {
                let Failure { code, message } = reading::from_slice(content).map_err(|_| bad())?;
                Self::Failed { code, message }
            }
            1 => return Err(bad()),
            unknown => return Err(BadFrame::Kind(unknown)),
        })
    }
}

fn put_all(wire: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    bytes.chunks(FRAME_MAX).for_each(|chunk| put_one(wire, kind, chunk));
}

fn put_one(wire: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    wire.push(kind);
    wire.extend_from_slice(&length.to_be_bytes());
    wire.extend_from_slice(content);
}

/// Bytes from the wire, of which whole frames are taken.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
}

impl Frames {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, BadFrame> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
        let &[kind, a, b, c, d] = head;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_MAX {
            return Err(BadFrame::Length(length));
        }
        let Some(content) = rest.get(..length) else { return Ok(None) };
        let frame = Frame::read(kind, content)?;
        self.bytes.drain(..HEAD + length);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_frame() -> impl Strategy<Value = Frame> {
        let bytes = || proptest::collection::vec(any::<u8>(), 1..64);
        prop_oneof![
            bytes().prop_map(Frame::Input),
            Just(Frame::InputEnd),
            any::<(u16, u16)>().prop_map(|(rows, columns)| Frame::Size { rows, columns }),
            any::<i32>().prop_map(Frame::Signal),
            bytes().prop_map(Frame::Output),
            bytes().prop_map(Frame::Errors),
            any::<i32>().prop_map(|code| Frame::Ended(Exit::Code(code))),
            any::<i32>().prop_map(|signal| Frame::Ended(Exit::Signal(signal))),
            (any::<u8>(), ".{0,40}").prop_map(|(code, message)| Frame::Failed { code, message }),
        ]
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_wire_cuts_them(
            frames in proptest::collection::vec(any_frame(), 0..12),
            cut in 1..9_usize,
        ) {
            let mut wire = Vec::new();
            for frame in &frames {
                frame.put(&mut wire);
            }
            let (mut reader, mut read) = (Frames::default(), Vec::new());
            for piece in wire.chunks(cut) {
                reader.push(piece);
                while let Some(frame) = reader.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn any_bytes_are_frames_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Frames::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.next_frame() {}
        }
    }

    #[test]
    fn what_is_too_much_for_one_frame_goes_into_several() {
        let mut wire = Vec::new();
        Frame::Output(vec![7; FRAME_MAX + 1]).put(&mut wire);
        let mut reader = Frames::default();
        reader.push(&wire);
        assert_eq!(reader.next_frame(), Ok(Some(Frame::Output(vec![7; FRAME_MAX]))));
        assert_eq!(reader.next_frame(), Ok(Some(Frame::Output(vec![7]))));
        assert_eq!(reader.next_frame(), Ok(None));
    }

    #[test]
    fn a_frame_that_would_be_too_long_is_refused_before_it_is_there() {
        let mut reader = Frames::default();
        reader.push(&[0, 0xff, 0, 0, 0]);
        assert_eq!(reader.next_frame(), Err(BadFrame::Length(0xff00_0000)));
    }
}
