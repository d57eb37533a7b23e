//! Pressure stall information (Linux' psi.rst): how much time a group's processes lost for want of something.

use std::path::Path;

use super::group::read;

/// Time lost by some of the processes, and by all of them at once.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Pressure {
    /// By at least one.
    pub some: Lost,
    /// By all that had something to do.
    pub full: Lost,
}

/// Time lost: shares of the last 10, 60 and 300 seconds in percent, and microseconds in all.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Lost {
    /// In percent.
    pub shares: [f64; 3],
    /// In microseconds.
    pub total: u64,
}

impl Pressure {
    /// Reads a file of the kernel; `None` where it measures nothing.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = read(path).ok()?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).and_then(lost);
        // Until Linux 5.13 the processor had the first line only.
        Some(Self { some: line("some ")?, full: line("full ").unwrap_or_default() })
    }
}

/// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn lost(line: &str) -> Option<Lost> {
    let word = |name: &str| line.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let share = |name: &str| word(name)?.parse().ok();
    Some(Lost {
        shares: [share("avg10")?, share("avg60")?, share("avg300")?],
        total: word("total")?.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read_where_there_are_two() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let some = "some avg10=1.50 avg60=0.25 avg300=0.00 total=77\n";
        std::fs::write(file.path(), some).unwrap();
        let wanted = Lost { shares: [1.5, 0.25, 0.0], total: 77 };
        let read = Pressure::read(file.path()).unwrap();
        assert_eq!((read.some, read.full), (wanted.clone(), Lost::default()));
        std::fs::write(file.path(), some.to_owned() + &some.replace("some", "full")).unwrap();
        assert_eq!(Pressure::read(file.path()).unwrap().full, wanted);
    }
}
