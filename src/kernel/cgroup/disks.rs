//! What a group has read from disks and written to them, as both versions tell it.

/// What a group read from a disk and wrote to it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// One count of a disk: of bytes, or of operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskCount {
    /// The device's major number.
    pub major: u64,
    /// Its minor number.
    pub minor: u64,
    /// What was done, such as `Read`.
    pub operation: String,
    /// How much of it.
    pub count: u64,
}

/// Lines `8:0 Read 4096` of version 1; the sum at the end is of no disk.
pub(super) fn counts_v1(text: &str) -> Vec<DiskCount> {
    let one = |line: &str| {
        let mut words = line.split_whitespace();
        let (major, minor) = device(words.next()?)?;
        let operation = words.next()?.to_owned();
        Some(DiskCount { major, minor, operation, count: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(one).collect()
}

/// Lines `8:0 rbytes=4096 wbytes=0 rios=1 wios=0` of version 2, of which `names` are wanted and how to call them.
pub(super) fn counts_v2(text: &str, names: [(&str, &str); 2]) -> Vec<DiskCount> {
    let mut counts = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some((major, minor)) = words.next().and_then(device) else { continue };
        for (name, count) in words.filter_map(|word| word.split_once('=')) {
            let wanted = names.iter().find(|(known, _)| *known == name);
            if let (Some((_, operation)), Ok(count)) = (wanted, count.parse()) {
                counts.push(DiskCount { major, minor, operation: (*operation).to_owned(), count });
            }
        }
    }
    counts
}

/// The same disk by disk.
pub(super) fn disks(bytes: &[DiskCount], operations: &[DiskCount]) -> Vec<Disk> {
    let mut disks = Vec::new();
    let all = bytes.iter().map(|one| (one, true)).chain(operations.iter().map(|one| (one, false)));
    for (one, is_bytes) in all {
        let disk = of(&mut disks, (one.major, one.minor));
        let counter = match (one.operation.as_str(), is_bytes) {
            ("Read", true) => &mut disk.read_bytes,
            ("Write", true) => &mut disk.written_bytes,
            ("Read", false) => &mut disk.reads,
            ("Write", false) => &mut disk.writes,
            _ => continue,
        };
        *counter = one.count;
    }
    disks
}

fn device(word: &str) -> Option<(u64, u64)> {
    let (major, minor) = word.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The disk in the list; a new one at its end when it is not there.
fn of(disks: &mut Vec<Disk>, (major, minor): (u64, u64)) -> &mut Disk {
    let known = disks.iter().position(|disk| (disk.major, disk.minor) == (major, minor));
    let at = known.unwrap_or_else(|| {
        disks.push(Disk { major, minor, ..Disk::default() });
        disks.len() - 1
    });
    &mut disks[at]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_tell_of_disks_in_their_own_words() {
        let disk = |minor, read_bytes, written_bytes, reads, writes| Disk {
            major: 8,
            minor,
            read_bytes,
            written_bytes,
            reads,
            writes,
        };
        let wanted = [disk(0, 4096, 512, 2, 1), disk(16, 1, 0, 0, 0)];
        let bytes = counts_v1("8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\n8:16 Read 1\nTotal 4609\n");
        let operations = counts_v1("8:0 Read 2\n8:0 Write 1\nTotal 3\n");
        assert_eq!(bytes[2], DiskCount { major: 8, minor: 0, operation: "Sync".to_owned(), count: 1 });
        assert_eq!(disks(&bytes, &operations), wanted);
        let text = "8:0 rbytes=4096 wbytes=512 rios=2 wios=1 dbytes=0 dios=0\n8:16 rbytes=1\n8:32 \n";
        let bytes = counts_v2(text, [("rbytes", "Read"), ("wbytes", "Write")]);
        let operations = counts_v2(text, [("rios", "Read"), ("wios", "Write")]);
        assert_eq!(disks(&bytes, &operations), wanted);
    }
}
