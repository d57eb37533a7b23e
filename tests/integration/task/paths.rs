//! What paths cost that wait for nobody: instructions and allocations, which are the same however busy the host is.
//!
//! A probe of `scripts/bench` runs the path below callgrind, which counts the instructions of the probe's function
//! `inside`; the probe counts the allocations. It is built for tests, not for speed: the numbers say whether a change
//! made a path longer, not how long it takes. The ceilings are some 15 % above what was counted last, and are lowered
//! when a change allows it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::harness::require;

/// What a path takes.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

impl Cost {
    /// What a round of the probe that `words` name takes.
    fn of(words: &[&str], input: &serde_json::Value, rounds: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (seen, asked) = (place.path().join("seen"), place.path().join("asked"));
        fs::write(&asked, input.to_string()).unwrap();
        let probe = PathBuf::from(env!("CARGO_BIN_EXE_hythe")).with_file_name("examples").join("bench-probe");
        assert!(probe.exists(), "{} is built with the tests: cargo build --examples", probe.display());
        let done = Command::new("valgrind")
            .args(["--tool=callgrind", "--toggle-collect=*paths::inside*"])
            .arg(format!("--callgrind-out-file={}", seen.display()))
            .arg(probe)
            .args(words)
            .stdin(fs::File::open(&asked).unwrap())
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let instructions = instructions(&fs::read_to_string(&seen).unwrap());
        assert!(instructions > 0, "nothing ran inside of `inside`");
        let said: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        let said = if said.is_array() { &said[0] } else { &said };
        let allocations = said["allocations"].as_u64().unwrap();
        Self { instructions: instructions / rounds, allocations: allocations / rounds }
    }

    #[track_caller]
    fn is_within(&self, ceiling: &Self) {
        println!("{self:?}");
        let fits = self.instructions <= ceiling.instructions && self.allocations <= ceiling.allocations;
        assert!(fits, "{self:?}, and {ceiling:?} is allowed");
    }
}

/// `totals: 12345`
fn instructions(text: &str) -> u64 {
    let totals = text.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap_or("0");
    totals.trim().parse().unwrap()
}

/// One event in a cluster of so many services with ten tasks each.
fn decision(services: u32) -> Cost {
    Cost::of(&["decisions"], &json!({ "clusters": [[services, 10]], "rounds": 20 }), 20)
}

#[test]
fn a_decision_takes_no_more_than_it_did_and_the_same_in_a_cluster_ten_times_as_large() {
    require!(valgrind);
    let (small, large) = (decision(10), decision(100));
    small.is_within(&Cost { instructions: 132_000, allocations: 50 });
    assert_eq!(large.allocations, small.allocations, "allocations grow with the cluster");
    // A map with ten times as many entries is three steps deeper.
    assert!(large.instructions <= small.instructions * 5 / 4, "{large:?} and {small:?}");
}

#[test]
fn output_on_its_way_to_the_disk_takes_no_more_than_it_did() {
    require!(valgrind);
    Cost::of(&["paths", "output", "20"], &json!({}), 20)
        .is_within(&Cost { instructions: 940_000, allocations: 0 });
}

#[test]
fn an_archive_takes_no_more_than_it_did() {
    require!(valgrind);
    Cost::of(&["paths", "archive", "5"], &json!({}), 5)
        .is_within(&Cost { instructions: 10_900_000, allocations: 485 });
}
