//! The filter of system calls that a task's containers get, and the ways around it that a definition may ask for.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{container, definition},
    tasks::with,
};

const STATE: &str = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t' | tr '\\n' ' '";

fn options(options: &[&str]) -> Value {
    json!({ "dockerSecurityOptions": options })
}

#[test]
fn every_container_is_filtered_and_gains_nothing_unless_it_asks_otherwise() {
    require!(host, busybox);
    let instance = Instance::with_busybox("filtered");
    let app = container("app", STATE);
    assert_eq!(instance.says(&app), "NoNewPrivs:1 Seccomp:2 \n");
    let other = with(app.clone(), options(&["no-new-privileges:false"]));
    assert_eq!(instance.says(&other), "NoNewPrivs:0 Seccomp:2 \n");
    let other = with(app.clone(), options(&["seccomp=unconfined"]));
    assert_eq!(instance.says(&other), "NoNewPrivs:1 Seccomp:0 \n");
    let user = with(app, json!({ "user": "1000" }));
    assert_eq!(instance.says(&user), "NoNewPrivs:1 Seccomp:2 \n");
}

#[test]
fn a_filter_that_is_not_known_does_not_quietly_become_another() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unknown-filter");
    let app = with(container("app", "true"), options(&["seccomp=/etc/own.json"]));
    let (_, task) = instance.ran(&definition("unknown-filter", &[app]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(task["stoppedReason"].to_string().contains("seccomp=/etc/own.json"), "{task:#}");
}

#[test]
fn namespaces_of_its_own_are_denied_by_the_filter_and_not_only_by_rights() {
    require!(host, busybox);
    let instance = Instance::with_busybox("unshare");
    // A user namespace needs no right at all, and brings every right inside: that is what the filter is for.
    let script = "unshare -U true 2>/dev/null && echo new users; unshare -Ur true 2>/dev/null && echo root in it; echo done";
    assert_eq!(instance.says(&container("app", script)), "done\n");
    assert_eq!(instance.says(&with(container("app", script), json!({ "user": "1000" }))), "done\n");
    let free = with(container("app", "unshare -U true && echo new"), options(&["seccomp=unconfined"]));
    let said = instance.says_in(&definition("unshare", &[with(free, json!({ "essential": true }))]));
    assert_eq!(said, "new\n", "without the filter nothing else stops it, so the test sees the filter");
}

#[test]
fn everyday_programs_do_not_notice_the_filter() {
    require!(host, busybox);
    let instance = Instance::with_busybox("everyday");
    let script = "set -e; mkdir /tmp/d; echo a >/tmp/d/f; mv /tmp/d/f /tmp/d/g; ln -s g /tmp/d/l; cat /tmp/d/l
        chmod 600 /tmp/d/g; chown 7:8 /tmp/d/g; stat -c '%u:%g %a' /tmp/d/g; touch -d 2001-02-03 /tmp/d/g
        (sleep 0.01 &); wait; chroot / true; mkfifo /tmp/p; find /tmp -name p; df / >/dev/null
        tar -C /tmp -cf - d | tar -tf - | sort | head -1; kill -0 $$; ulimit -n 64; sync; uname -s; date >/dev/null
        nc -l -p 9999 -e cat & sleep 0.1; echo over | nc 127.0.0.1 9999";
    let said = instance.says(&container("app", script));
    assert_eq!(said, "a\n7:8 600\n/tmp/p\nd/\nLinux\nover\n");
}
