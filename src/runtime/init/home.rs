//! Where the user of a container is at home, which programs want to know and specifications leave to the runtime.
//!
//! The answer is in the container's own list of users, so it is looked for by the child, as that user.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use crate::kernel::process::PointerList;
use crate::runtime::steps::Program;

/// A list of users longer than this is not read to its end.
const LONGEST: u64 = 1 << 20;

/// The environment with `HOME`; `None` if it has one already.
pub(super) fn environment(program: &Program) -> Option<PointerList> {
    let uid = program.home_of?;
    let home = home_of(&users(), uid).unwrap_or_else(|| "/".to_owned());
    let variable = CString::new(format!("HOME={home}")).ok()?;
    Some(program.env.with(variable))
}

/// The list of users; nothing if there is none, or something else in its place.
fn users() -> String {
    let mut text = String::new();
    let open =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open("/etc/passwd");
    let is_plain = |file: &File| file.metadata().is_ok_and(|found| found.is_file());
    if let Some(file) = open.ok().filter(is_plain) {
        // As much as could be read serves.
        let _ = file.take(LONGEST).read_to_string(&mut text);
    }
    text
}

/// The sixth field of the line whose third is the number (passwd(5)).
fn home_of(users: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = fields.into_iter().find(|fields| fields.get(2) == Some(&uid.as_str()))?;
    found.get(5).filter(|home| home.starts_with('/')).map(|home| (*home).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_the_sixth_field() {
        let users = "root:x:0:0:root:/root:/bin/sh\nbad line\nweb:x:33:33::/srv/web:\nnone:x:44:44:::\n";
        assert_eq!(home_of(users, 0).unwrap(), "/root");
        assert_eq!(home_of(users, 33).unwrap(), "/srv/web");
        assert_eq!((home_of(users, 44), home_of(users, 7), home_of("", 0)), (None, None, None));
    }
}
