//! Paths inside a root that is not ours to trust.
//!
//! Every lookup is one `openat2` with RESOLVE_IN_ROOT, so `..` and absolute links stop at the root whoever changes
//! the tree meanwhile, and magic links of /proc are refused.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, SFlag, mkdirat, mknodat};

/// The longest path the kernel takes, with its end.
const PATH_MAX: usize = 4096;

/// Dangling links followed before it is called a loop, as the kernel counts.
const MAX_LINKS: usize = 40;

/// What [`make_in`] makes where nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeKind {
    /// A directory.
    Directory,
    /// An empty regular file.
    File,
}

/// Opens a directory of the host as a root to look things up in.
pub fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

/// What `path` leads to within `root`, as a place (O_PATH).
pub fn open_in(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    look_up(root, path, ResolveFlag::empty())
}

/// The same, refusing every symbolic link on the way and at the end.
pub fn open_in_no_links(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    look_up(root, path, ResolveFlag::RESOLVE_NO_SYMLINKS)
}

fn look_up(root: BorrowedFd<'_>, path: &CStr, extra: ResolveFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS | extra);
    loop {
        match openat2(root, path, how) {
            // The kernel saw a rename it could not rule out as an escape; the answer is to look again.
            Err(Errno::EAGAIN) => {}
            found => return found,
        }
    }
}

/// What `path` leads to within `root`; what is missing is made, directories with mode 0755.
///
/// A dangling link is followed, within the root, to where it wants to lead.
pub fn make_in(root: BorrowedFd<'_>, path: &CStr, kind: MadeKind) -> Result<OwnedFd, Errno> {
    match open_in(root, path) {
        Err(Errno::ENOENT) => {}
        found => return found,
    }
    let mut walk = Walk::new(path)?;
    let mut links = 0;
    'again: loop {
        let (mut parent, mut end) = walk.begin(root)?;
        while let Some((start, stop)) = walk.next(end) {
            end = stop;
            let (found, made) = walk.step(root, parent.as_fd(), start, stop, kind)?;
            match (found, made) {
                (Some(found), _) => parent = found,
                (None, true) => parent = walk.open_prefix(root, stop)?,
                (None, false) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    walk.follow(parent.as_fd(), start, stop)?;
                    continue 'again;
                }
            }
        }
        return Ok(parent);
    }
}

/// A path being walked, in a buffer of its own because the kernel wants each prefix to end with a zero.
struct Walk {
    bytes: [u8; PATH_MAX],
    len: usize,
}

impl Walk {
    fn new(path: &CStr) -> Result<Self, Errno> {
        let mut walk = Self { bytes: [0; PATH_MAX], len: 0 };
        walk.push(path.to_bytes())?;
        Ok(walk)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), Errno> {
        let end = self.len + text.len();
        if end >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.bytes[self.len..end].copy_from_slice(text);
        self.len = end;
        Ok(())
    }

    /// The component that begins at or after `from`, without its slashes.
    fn next(&self, from: usize) -> Option<(usize, usize)> {
        let start = from + self.bytes[from..self.len].iter().position(|byte| *byte != b'/')?;
        let length = self.bytes[start..self.len].iter().position(|byte| *byte == b'/');
        Some((start, length.map_or(self.len, |length| start + length)))
    }

    /// Where to begin: mostly only the last component is missing, so above that, or else at the root.
    fn begin(&mut self, root: BorrowedFd<'_>) -> Result<(OwnedFd, usize), Errno> {
        let last = self.bytes[..self.len].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        if last > 0
            && let Ok(above) = self.open_prefix(root, last)
        {
            return Ok((above, last));
        }
        Ok((open_in(root, c".")?, 0))
    }

    /// Opens the prefix up to `stop`, or makes its last component; neither means that a link dangles there.
    fn step(
        &mut self,
        root: BorrowedFd<'_>,
        parent: BorrowedFd<'_>,
        start: usize,
        stop: usize,
        kind: MadeKind,
    ) -> Result<(Option<OwnedFd>, bool), Errno> {
        match self.open_prefix(root, stop) {
            Ok(found) => return Ok((Some(found), false)),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let is_last = self.next(stop).is_none();
        let made = self.with_end(stop, |bytes| {
            let name = c_str(&bytes[start..=stop])?;
            match kind {
                MadeKind::File if is_last => {
                    mknodat(parent, name, SFlag::S_IFREG, Mode::from_bits_retain(0o644), 0)
                }
                MadeKind::File | MadeKind::Directory => mkdirat(parent, name, Mode::from_bits_retain(0o755)),
            }
        });
        match made {
            Ok(()) => Ok((None, true)),
            Err(Errno::EEXIST) => Ok((None, false)),
            Err(errno) => Err(errno),
        }
    }

    fn open_prefix(&mut self, root: BorrowedFd<'_>, stop: usize) -> Result<OwnedFd, Errno> {
        self.with_end(stop, |bytes| open_in(root, c_str(&bytes[..=stop])?))
    }

    /// Runs `act` with a zero at `stop`, then puts back what was there.
    fn with_end<T>(&mut self, stop: usize, act: impl FnOnce(&[u8]) -> T) -> T {
        let saved = std::mem::replace(&mut self.bytes[stop], 0);
        let result = act(&self.bytes);
        self.bytes[stop] = saved;
        result
    }

    /// Replaces the component between `start` and `stop`, a link in `parent`, by where it leads.
    fn follow(&mut self, parent: BorrowedFd<'_>, start: usize, stop: usize) -> Result<(), Errno> {
        let mut target = [0_u8; PATH_MAX];
        let length =
            self.with_end(stop, |bytes| read_link(parent, c_str(&bytes[start..=stop])?, &mut target))?;
        let target = &target[..length];
        let mut rest = [0_u8; PATH_MAX];
        let tail = self.len - stop;
        rest[..tail].copy_from_slice(&self.bytes[stop..self.len]);
        self.len = if target.starts_with(b"/") { 0 } else { start };
        self.push(target)?;
        self.push(&rest[..tail])
    }
}

fn c_str(bytes: &[u8]) -> Result<&CStr, Errno> {
    CStr::from_bytes_until_nul(bytes).map_err(|_| Errno::ENAMETOOLONG)
}

fn read_link(dir: BorrowedFd<'_>, name: &CStr, into: &mut [u8; PATH_MAX]) -> Result<usize, Errno> {
    // SAFETY: the name is a C string and the buffer is writable for the length given, both across the call.
    let length =
        unsafe { libc::readlinkat(dir.as_raw_fd(), name.as_ptr(), into.as_mut_ptr().cast(), PATH_MAX - 1) };
    usize::try_from(Errno::result(length)?).map_err(|_| Errno::EINVAL)
}

/// Writes the path `/proc/self/fd/N` of an open descriptor, for calls that know no descriptors.
pub fn path_of<'a>(fd: BorrowedFd<'_>, buffer: &'a mut [u8; 32]) -> Result<&'a CStr, Errno> {
    use std::io::Write;
    let mut rest = &mut buffer[..31];
    write!(rest, "/proc/self/fd/{}\0", fd.as_raw_fd()).map_err(|_| Errno::ENAMETOOLONG)?;
    c_str(&buffer[..])
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn root_of(dir: &Path) -> OwnedFd {
        open_directory(&CString::new(dir.as_os_str().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn missing_directories_are_made_on_the_way() {
        let dir = tempfile::tempdir().unwrap();
        let root = root_of(dir.path());
        make_in(root.as_fd(), c"/a/b/c.conf", MadeKind::File).unwrap();
        assert!(dir.path().join("a/b/c.conf").is_file());
        make_in(root.as_fd(), c"a/b/d", MadeKind::Directory).unwrap();
        assert!(dir.path().join("a/b/d").is_dir());
    }

    #[test]
    fn links_lead_no_further_than_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("root");
        std::fs::create_dir_all(inside.join("etc")).unwrap();
        symlink("/run/resolve/stub.conf", inside.join("etc/absolute")).unwrap();
        symlink("../../../../run/other.conf", inside.join("etc/climbing")).unwrap();
        symlink("/tmp", inside.join("escape")).unwrap();
        let root = root_of(&inside);

        make_in(root.as_fd(), c"/etc/absolute", MadeKind::File).unwrap();
        assert!(inside.join("run/resolve/stub.conf").is_file());
        make_in(root.as_fd(), c"/etc/climbing", MadeKind::File).unwrap();
        assert!(inside.join("run/other.conf").is_file());
        make_in(root.as_fd(), c"/escape/made", MadeKind::Directory).unwrap();
        assert!(inside.join("tmp/made").is_dir());
    }

    #[test]
    fn a_loop_of_links_ends_with_an_error() {
        let dir = tempfile::tempdir().unwrap();
        symlink("two", dir.path().join("one")).unwrap();
        symlink("one", dir.path().join("two")).unwrap();
        let root = root_of(dir.path());
        assert_eq!(make_in(root.as_fd(), c"one/x", MadeKind::File).unwrap_err(), Errno::ELOOP);
        assert_eq!(open_in_no_links(root.as_fd(), c"one").unwrap_err(), Errno::ELOOP);
    }

    #[test]
    fn a_file_on_the_way_is_not_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let root = root_of(dir.path());
        assert_eq!(make_in(root.as_fd(), c"file/x", MadeKind::File).unwrap_err(), Errno::ENOTDIR);
    }
}
