//! A connection to systemd's bus: calls, their answers, and the ends of jobs.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::message::{FIXED, Heard, Target, Writer, call, length_of, read};
use super::{Manager, SystemdError};

/// How long systemd may take for a job.
const PATIENCE: Duration = Duration::from_secs(30);

const THE_BUS: Target = Target {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
};

/// systemd itself.
pub(super) const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};

/// The same, asked for what it says of itself.
pub(super) const PROPERTIES_OF_MANAGER: Target =
    Target { interface: "org.freedesktop.DBus.Properties", ..MANAGER };

/// The same, asked only whether it is there.
pub(super) const PEER_OF_MANAGER: Target = Target { interface: "org.freedesktop.DBus.Peer", ..MANAGER };

/// A connection to the bus of a systemd.
pub(super) struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Jobs that ended before they were asked for.
    ended: Vec<(String, String)>,
}

impl Bus {
    /// Connects and asks to hear of jobs.
    pub(super) fn connect(manager: Manager) -> Result<Self, SystemdError> {
        let error = |source| SystemdError::Connect { manager, source };
        let stream = UnixStream::connect(manager.bus()).map_err(error)?;
        let mut bus = Self { stream, serial: 0, ended: Vec::new() };
        bus.begin().map_err(error)?;
        Ok(bus)
    }

    /// Says who we are, and that we want to hear of jobs.
    fn begin(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.set_write_timeout(Some(PATIENCE))?;
        // Without a name the bus goes by what the kernel says of us, which holds in user namespaces, too.
        self.stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\n")?;
        if self.line()? != b"DATA\r\n" || !self.line()?.starts_with(b"OK ") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.stream.write_all(b"BEGIN\r\n")?;
        let refused = |(name, text): (String, String)| io::Error::other(format!("{text} ({name})"));
        let hello = self.call(THE_BUS, "Hello", "", &Writer::default())?;
        self.answer(hello)?.map_err(refused)?;
        let mut body = Writer::default();
        body.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
        let matched = self.call(THE_BUS, "AddMatch", "s", &body)?;
        self.answer(matched)?.map_err(refused)?;
        let subscribed = self.call(MANAGER, "Subscribe", "", &Writer::default())?;
        // Without it the jobs of our own are still told.
        let _ = self.answer(subscribed)?;
        Ok(())
    }

    /// A line of the greeting. Byte by byte, because messages may follow it.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") && line.len() < 512 {
            let mut byte = [0];
            self.stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        Ok(line)
    }

    /// Calls, and gives the number that the answer will bear.
    pub(super) fn call(
        &mut self,
        target: Target,
        member: &str,
        signature: &str,
        body: &Writer,
    ) -> io::Result<u32> {
        self.serial += 1;
        self.stream.write_all(&call(self.serial, target, member, signature, body))?;
        Ok(self.serial)
    }

    fn hear(&mut self) -> io::Result<Heard> {
        let mut fixed = [0; FIXED];
        self.stream.read_exact(&mut fixed)?;
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let mut whole = vec![0; length_of(&fixed).ok_or_else(bad)?];
        whole[..FIXED].copy_from_slice(&fixed);
        self.stream.read_exact(&mut whole[FIXED..])?;
        read(&whole).ok_or_else(bad)
    }

    /// The answer to a call, or the name and the words of its refusal.
    pub(super) fn answer(&mut self, serial: u32) -> io::Result<Result<String, (String, String)>> {
        loop {
            match self.hear()? {
                Heard::Answer { to, text } if to == serial => return Ok(Ok(text.unwrap_or_default())),
                Heard::Refusal { to, name, text } if to == serial => return Ok(Err((name, text))),
                Heard::JobRemoved { job, result } => self.ended.push((job, result)),
                Heard::Answer { .. } | Heard::Refusal { .. } | Heard::Other => {}
            }
        }
    }

    /// How a job ended, once it has.
    pub(super) fn job_result(&mut self, wanted: &str) -> io::Result<String> {
        loop {
            if let Some(at) = self.ended.iter().position(|(job, _)| job == wanted) {
                return Ok(self.ended.swap_remove(at).1);
            }
            if let Heard::JobRemoved { job, result } = self.hear()? {
                self.ended.push((job, result));
            }
        }
    }
}
