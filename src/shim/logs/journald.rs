//! One line of output as an entry of the host's journal, in the journal's own protocol and with Docker's fields.
//!
//! A field is `NAME=value` and an end of line; a value that holds one itself is counted instead. An entry that is too
//! large for a message goes as a sealed file in memory, whose handle is the message.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};

use super::{
    Stream,
    queue::Line,
    time::{short, time},
};

/// The fields that all lines of a container have.
#[derive(Debug)]
pub(super) struct Journal {
    fields: Vec<u8>,
}

impl Journal {
    /// Entries that have these fields.
    pub(super) fn new(fields: &[(String, String)]) -> Self {
        let mut all = Vec::new();
        for (name, value) in fields {
            put(&mut all, name, value.as_bytes());
        }
        Self { fields: all }
    }

    /// Appends the entry of a line to `wire`.
    pub(super) fn encode(&self, line: &Line, wire: &mut Vec<u8>) {
        let priority = match line.stream {
            Stream::Stdout => "6",
            Stream::Stderr => "3",
            Stream::Note => "4",
        };
        wire.extend_from_slice(&self.fields);
        put(wire, "PRIORITY", priority.as_bytes());
        put(wire, "SYSLOG_TIMESTAMP", short(&time(line.nanos)).as_bytes());
        if !line.whole {
            put(wire, "CONTAINER_PARTIAL_MESSAGE", b"true");
        }
        put(wire, "MESSAGE", &line.bytes);
    }
}

fn put(wire: &mut Vec<u8>, name: &str, value: &[u8]) {
    wire.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        wire.push(b'\n');
        wire.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        wire.push(b'=');
    }
    wire.extend_from_slice(value);
    wire.push(b'\n');
}

/// An entry as a file that nobody can change any more.
pub(super) fn sealed(entry: &[u8]) -> io::Result<OwnedFd> {
    let mut file =
        File::from(memfd_create("hythe-entry", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?);
    file.write_all(entry)?;
    let seals =
        SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL;
    fcntl(file.as_fd(), FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_has_docker_s_fields() {
        let fields = [("CONTAINER_NAME", "web"), ("TEAM", "a\nb")];
        let journal = Journal::new(&fields.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let line = |stream, whole| Line {
            nanos: 1_795_254_097_120_000_000,
            stream,
            whole,
            bytes: b"hello".to_vec(),
        };
        let mut wire = Vec::new();
        journal.encode(&line(Stream::Stdout, true), &mut wire);
        let fixed = b"CONTAINER_NAME=web\nTEAM\n\x03\0\0\0\0\0\0\0a\nb\n".as_slice();
        let rest = b"PRIORITY=6\nSYSLOG_TIMESTAMP=2026-11-21T09:41:37.12Z\nMESSAGE=hello\n";
        assert_eq!(wire, [fixed, rest].concat());
        wire.clear();
        journal.encode(&line(Stream::Stderr, false), &mut wire);
        let text = String::from_utf8_lossy(&wire[fixed.len()..]).into_owned();
        assert!(
            text.starts_with("PRIORITY=3\n") && text.contains("\nCONTAINER_PARTIAL_MESSAGE=true\n"),
            "{text}"
        );
    }

    #[test]
    fn a_sealed_file_holds_the_entry_and_takes_no_more() {
        let file = sealed(b"MESSAGE=x\n").unwrap();
        let mut file = File::from(file);
        assert_eq!(file.metadata().unwrap().len(), 10);
        assert!(file.write_all(b"more").is_err());
    }
}
