//! Other shares for a class that processes are in, and processes that come to a class later.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Class, ResctrlError, Wish};
use crate::kernel::process::Pid;

/// How often it is looked for processes that were made meanwhile by those that had not moved yet.
const PASSES: usize = 16;

impl Class {
    /// Gives the class the shares of `wish`; those that it does not name stay. Only a class of the container's own: of
    /// another one others have their shares, too.
    pub fn change(&self, wish: &Wish) -> Result<(), ResctrlError> {
        if !self.is_own {
            let reason =
                format!("{} is not the container's own, and others' shares stay", self.dir.display());
            return Err(ResctrlError::Member { member: "closID", reason });
        }
        let (path, text) = (self.dir.join("schemata"), wish.lines.join("\n") + "\n");
        fs::write(&path, text).map_err(self.resctrl().error("write", &path))
    }

    /// Takes in the processes that `list` gives, with all their threads, and what those make meanwhile.
    pub fn take_in(&self, list: impl Fn() -> Vec<Pid>) -> Result<(), ResctrlError> {
        let resctrl = self.resctrl();
        for tasks in self.tasks() {
            let mut moved = Vec::new();
            for _ in 0..PASSES {
                let found: Vec<String> = list().into_iter().flat_map(threads).collect();
                let new: Vec<String> = found.into_iter().filter(|thread| !moved.contains(thread)).collect();
                if new.is_empty() {
                    break;
                }
                new.iter()
                    .try_for_each(|thread| put(&tasks, thread))
                    .map_err(resctrl.error("write", &tasks))?;
                moved.extend(new);
            }
        }
        Ok(())
    }
}

/// The threads of a process; none of one that has ended.
fn threads(pid: Pid) -> Vec<String> {
    let entries = fs::read_dir(PathBuf::from(format!("/proc/{pid}/task"))).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The file takes one number at a time. A thread that has ended meanwhile need not move.
fn put(tasks: &Path, thread: &str) -> io::Result<()> {
    match fs::OpenOptions::new().append(true).open(tasks)?.write_all(thread.as_bytes()) {
        Err(err) if err.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}
