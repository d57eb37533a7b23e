//! What scripts say when they cannot do what they are for.

use std::{path::Path, process::Command};

use crate::harness::{instance::Said, require};

/// A maker that needs more room than there is, between what `scripts/vm-test` does before and after it.
const TOO_MUCH: &str = r#"
    set -eu
    mount -t tmpfs -o size=4m none "$1"
    HYTHE_VM_CACHE=$1
    . scripts/host
    . scripts/vm/cache
    room_needed=1
    trap 'ls -A "$cache"' EXIT
    make_much() { head -c 2M /dev/zero >"$1/first"; head -c 8M /dev/zero >"$1/second"; }
    cached thing recipe make_much
"#;

#[test]
fn a_disk_that_fills_while_a_machine_is_made_is_told_and_nothing_half_made_stays() {
    require!(root, unshare);
    let place = tempfile::tempdir().expect("a temporary directory");
    let ran = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", TOO_MUCH, "sh"])
        .arg(place.path())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .expect("unshare runs");
    let said = Said::from(ran);
    let sentence = format!(
        "making thing\nvm-test: making thing has filled {}: make room, or name another place in HYTHE_VM_CACHE\n",
        place.path().display()
    );
    assert_eq!((said.code, said.err), (2, sentence));
    assert_eq!(said.out, "lock\nthing.log\n");
}
