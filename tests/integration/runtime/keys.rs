//! Keys of the caller's session stay with the caller.

use std::process::Command;

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::require;

#[test]
fn a_key_of_the_callers_session_is_not_found_inside() {
    require!(root, busybox, compiler);
    let mut container = Container::new();
    let program = container.rootfs().join("bin/keys");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/runtime/keys.c");
    let made = Command::new("cc").args(["-static", "-o"]).arg(&program).arg(source).status();
    assert!(made.unwrap().success());
    container.config["process"]["args"] = json!(["/bin/keys", "find"]);
    container.save();
    let held = |container: &Container, words: &[&str]| -> Ran {
        let oci = container.command(&[]);
        let mut command = Command::new(&program);
        command.arg("hold").arg(oci.get_program()).args(oci.get_args()).args(words).output().unwrap().into()
    };
    let bundle = container.bundle().display().to_string();
    let ran = held(&container, &["run", "--bundle", &bundle, &container.id]);
    assert_eq!((ran.out.as_str(), ran.code), ("ENOKEY", 0), "{ran:?}");
    // Who asks for it keeps the session; so the key is there to be found.
    let ran = held(&container, &["run", "--no-new-keyring", "--bundle", &bundle, &container.id]);
    assert_eq!((ran.out.as_str(), ran.code), ("found", 0), "{ran:?}");
    // A later process has none of the caller's either.
    container.config["process"]["args"] = json!(["/bin/sleep", "1000"]);
    container.start();
    let ran = held(&container, &["exec", &container.id, "/bin/keys", "find"]);
    assert_eq!((ran.out.as_str(), ran.code), ("ENOKEY", 0), "{ran:?}");
}
