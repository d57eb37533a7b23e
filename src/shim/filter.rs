//! A container's filter of system calls, compiled before its shim begins.
//!
//! The agent writes many bundles with the same profile and compiles it once; a shim would do it anew for each task. So
//! the program lies beside the bundle's `config.json`. It holds for the very text that it was made with: where that was
//! changed since, the shim compiles what is there now.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::ledger::checksum;
use crate::kernel::security::seccomp::Filter;

/// Its name in a bundle.
const FILE: &str = "filter";

/// Keeps the program of `spec` in the bundle at `directory`, whose `config.json` is `text`.
pub fn keep(directory: &Path, spec: &Spec, text: &[u8]) -> io::Result<()> {
    // What cannot be compiled is refused where the container is made.
    let Some(Ok(filter)) = profile(spec).map(Filter::compiled) else { return Ok(()) };
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(directory.join(FILE))?;
    file.write_all(&[&checksum(text).to_le_bytes()[..], &filter.to_bytes()].concat())
}

/// Makes that program known to this process, if there is one.
pub(super) fn know(directory: &Path, spec: &Spec, text: &[u8]) {
    let Some(profile) = profile(spec) else { return };
    let kept = fs::read(directory.join(FILE)).unwrap_or_default();
    if let Some((sum, program)) = kept.split_first_chunk()
        && u64::from_le_bytes(*sum) == checksum(text)
    {
        Filter::know(profile, program);
    }
}

fn profile(spec: &Spec) -> Option<&LinuxSeccomp> {
    spec.linux().as_ref()?.seccomp().as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_holds_for_the_text_that_it_was_made_with() {
        let place = tempfile::tempdir().unwrap();
        let spec = |name: &str| -> Spec {
            let rule = serde_json::json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
            let seccomp = serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
            serde_json::from_value(
                serde_json::json!({ "ociVersion": "1.2.0", "linux": { "seccomp": seccomp } }),
            )
            .unwrap()
        };
        let (read, write) = (spec("read"), spec("write"));
        keep(place.path(), &read, b"text").unwrap();
        let compiled = |spec: &Spec| Filter::compiled(profile(spec).unwrap()).unwrap();
        know(place.path(), &write, b"another");
        assert_ne!(compiled(&write), compiled(&read));
        know(place.path(), &write, b"text");
        assert_eq!(compiled(&write), Filter::compile(profile(&read).unwrap()).unwrap());
        Filter::know(
            profile(&write).unwrap(),
            &Filter::compile(profile(&write).unwrap()).unwrap().to_bytes(),
        );
    }
}
