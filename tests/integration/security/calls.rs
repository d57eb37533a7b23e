//! Calls to the kernel that no shell makes, made by a small program inside.

use std::{fs, process::Command};

use serde_json::json;

use crate::harness::{Instance, require, stage::container, tasks::with};

#[test]
fn calls_that_have_led_out_of_containers_are_refused() {
    require!(host, busybox, compiler);
    let instance = Instance::with_busybox("calls");
    let layer = instance.path("layer");
    fs::create_dir_all(layer.join("bin")).unwrap();
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/security/probe.c");
    let made = Command::new("cc").args(["-static", "-o"]).arg(layer.join("bin/probe")).arg(source).status();
    assert!(made.unwrap().success());
    instance.load_packed(&layer, "probe", &[]);
    // A terminal, so that pushing input into it would work where nothing refuses.
    let app = with(
        container("app", ""),
        json!({ "image": "probe", "command": ["/bin/probe"], "pseudoTerminal": true }),
    );
    let said = instance.says(&app);
    let answers: Vec<&str> = said.lines().map(str::trim).collect();
    let expected = [
        "push-input EPERM",
        "push-input-wide EPERM",
        "add-key EPERM",
        "search-keys EPERM",
        "open-by-handle EPERM",
        "new-users EPERM",
        "new-users-by-clone3 ENOSYS",
        "mount EPERM",
        "io-ring EPERM",
        "faults EPERM",
        "host-machines EPERM",
    ];
    assert_eq!(answers[..expected.len()], expected, "{said}");
    // The same without the filter: some of it works then, so the program asks for what it says it asks for.
    let free = with(app, json!({ "dockerSecurityOptions": ["seccomp=unconfined"] }));
    let said = instance.says(&free);
    assert!(said.contains("new-users done") && said.contains("add-key done"), "{said}");
}
