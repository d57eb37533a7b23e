//! The host's own settings that this instance has changed, so that its end can set them back.
//!
//! They are noted beside the state before they are changed. A note is good for the boot it was made in: the next boot
//! begins with the host's own settings again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::host;
use crate::model::reading;
use crate::net::Change;

#[derive(Deserialize, Serialize)]
struct Record {
    boot: String,
    changes: Vec<Change>,
}

/// Notes changes that are about to be made. What was noted first counts: it is what the host had.
pub fn note(state_dir: &Path, changes: &[Change]) -> io::Result<()> {
    let mut all = noted(state_dir);
    let known = all.len();
    all.extend(
        changes
            .iter()
            .filter(|new| all.iter().all(|old| old.setting != new.setting))
            .cloned()
            .collect::<Vec<_>>(),
    );
    if all.len() == known {
        return Ok(());
    }
    let record = Record { boot: host::boot_id(), changes: all };
    let new = state_dir.join("host-settings.new");
    fs::write(&new, serde_json::to_vec(&record).map_err(io::Error::other)?)?;
    fs::rename(new, place(state_dir))
}

/// What was changed in this boot.
#[must_use]
pub fn noted(state_dir: &Path) -> Vec<Change> {
    let text = fs::read(place(state_dir)).unwrap_or_default();
    let record = reading::from_slice::<Record>(&text).ok();
    record.filter(|record| record.boot == host::boot_id()).map(|record| record.changes).unwrap_or_default()
}

/// Forgets what was changed, after it was set back.
pub fn forget(state_dir: &Path) {
    // A note that stays does no harm: what it says was set is not so any more.
    let _ = fs::remove_file(place(state_dir));
}

fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("host-settings.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &str) -> Change {
        Change { setting: "net.ipv4.ip_forward".into(), before: before.into(), after: "1".into() }
    }

    #[test]
    fn what_was_noted_first_counts_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()), []);
        note(folder.path(), &[change("0")]).unwrap();
        note(folder.path(), &[change("2")]).unwrap();
        assert_eq!(noted(folder.path()), [change("0")]);
        forget(folder.path());
        assert_eq!(noted(folder.path()), []);
    }

    #[test]
    fn a_note_of_another_boot_is_void() {
        let folder = tempfile::tempdir().unwrap();
        let record = Record { boot: "another".into(), changes: vec![change("0")] };
        fs::write(place(folder.path()), serde_json::to_vec(&record).unwrap()).unwrap();
        assert_eq!(noted(folder.path()), []);
    }
}
