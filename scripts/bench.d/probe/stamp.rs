//! What a container runs to say when its first instruction came, and the ear that hears it.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixCredentials, recvmsg, setsockopt};

use crate::{Failure, numbers};

/// `stamp SOCKET [stay]`: sends the moment, and ends or stays.
pub(crate) fn run(words: &[String]) -> Result<(), Failure> {
    let at = numbers::now()?;
    let socket = words.first().ok_or("stamp SOCKET")?;
    let nanos = u64::try_from(at.as_nanos())?;
    UnixDatagram::unbound()?.send_to(&nanos.to_le_bytes(), socket)?;
    if words.get(1).is_some_and(|word| word == "stay") {
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

/// Waits for SIGTERM, which a first process gets only when it asks for it.
pub(crate) fn rest() -> Result<(), Failure> {
    let mut wanted = SigSet::empty();
    wanted.add(Signal::SIGTERM);
    wanted.thread_block()?;
    wanted.wait()?;
    Ok(())
}

/// Hears stamps.
pub(crate) struct Ear(UnixDatagram);

/// A stamp, and who sent it as this process numbers it.
pub(crate) struct Heard {
    pub at: Duration,
    pub pid: i32,
}

impl Ear {
    /// Listens at `path`; what listened there before is gone.
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let _ = std::fs::remove_file(path);
        let socket = UnixDatagram::bind(path)?;
        setsockopt(&socket, PassCred, &true)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(socket))
    }

    /// The next stamp.
    pub(crate) fn next(&self) -> Result<Heard, Failure> {
        let mut bytes = [0_u8; 8];
        let mut space = cmsg_space!(UnixCredentials);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::empty())
            .map_err(|errno| format!("no container came to life: {errno}"))?;
        let mut pid = None;
        for one in message.cmsgs()? {
            if let ControlMessageOwned::ScmCredentials(who) = one {
                pid = Some(who.pid());
            }
        }
        let pid = pid.ok_or("a stamp without its sender")?;
        Ok(Heard { at: Duration::from_nanos(u64::from_le_bytes(bytes)), pid })
    }
}
