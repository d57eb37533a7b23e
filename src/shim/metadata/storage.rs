//! What a task has written: what its project counts, where it has one, otherwise the files of its containers' writable
//! layers, counted when somebody asks.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use crate::{
    model::time::Moment,
    shim::{spec::TaskSpec, storage::used},
};

/// Entries that are looked at, at most: whoever has more is told what these take.
const MOST: usize = 20_000;

/// How long a count is good, however often somebody asks.
const GOOD: Duration = Duration::from_secs(10);

/// What was counted last.
#[derive(Debug, Default)]
pub(super) struct Usage {
    counted: Option<(Moment, u64)>,
}

impl Usage {
    /// MiB, the begun one included.
    pub(super) fn mebibytes(&mut self, spec: &TaskSpec, now: Moment) -> u64 {
        let counted = spec.containers.first().and_then(|container| used(&container.bundle));
        if let Some(used) = counted {
            return used.bytes.div_ceil(1 << 20);
        }
        if let Some((at, count)) = self.counted
            && now.since(at) < GOOD
        {
            return count;
        }
        let layers = spec.containers.iter().map(|container| container.bundle.join("upper")).collect();
        let count = bytes_below(layers, MOST).div_ceil(1 << 20);
        self.counted = Some((now, count));
        count
    }
}

/// The bytes that the files below these directories take on the disk.
fn bytes_below(mut open: Vec<PathBuf>, most: usize) -> u64 {
    let (mut seen, mut bytes) = (0, 0);
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            seen += 1;
            if seen > most {
                return bytes;
            }
            // Links are not followed: what they name may be the host's.
            let Ok(metadata) = entry.metadata() else { continue };
            bytes += metadata.blocks() * 512;
            if metadata.is_dir() {
                open.push(entry.path());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_written_is_counted_and_no_link_is_followed() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("upper/a/b")).unwrap();
        fs::write(path("upper/a/b/file"), vec![1; 3 << 20]).unwrap();
        fs::write(path("outside"), vec![1; 8 << 20]).unwrap();
        symlink(path("outside"), path("upper/link")).unwrap();
        symlink("/", path("upper/root")).unwrap();
        let counted = bytes_below(vec![path("upper"), path("none")], MOST);
        assert!((3 << 20..5 << 20).contains(&counted), "{counted}");
        assert!(bytes_below(vec![path("upper")], 1) < 1 << 20, "there is an end to it");
    }
}
