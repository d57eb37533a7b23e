//! Output: kept, followed, cut, rotated.

use std::{fs, io::Read as _, process::Stdio};

use serde_json::json;

use crate::harness::{
    Instance, require,
    stage::{FOREVER, container, definition},
    tasks::with,
};

#[test]
fn both_streams_of_every_container_are_kept_to_the_last_line() {
    require!(host, busybox);
    let instance = Instance::with_busybox("streams");
    let second = with(container("second", "echo two out; echo two err >&2"), json!({ "essential": false }));
    let first = with(
        container("first", "echo one out; echo one err >&2; printf 'no end'"),
        json!({ "dependsOn": [
            { "containerName": "second", "condition": "SUCCESS" },
            { "containerName": "third", "condition": "SUCCESS" },
        ] }),
    );
    let third = with(container("third", "seq 1 3"), json!({ "essential": false }));
    let (id, _) = instance.ran(&definition("streams", &[first, second, third]));
    let said = instance.cli(&["logs", &id]);
    assert_eq!(said.code, 0, "{}", said.err);
    for line in ["first | one out", "first | no end", "second | two out"] {
        assert!(said.out.contains(line), "{}", said.out);
    }
    assert!(said.err.contains("first | one err") && said.err.contains("second | two err"), "{}", said.err);
    let one = instance.cli(&["logs", &id, "--container", "second"]);
    assert_eq!((one.out.as_str(), one.err.as_str()), ("two out\n", "two err\n"));
    let tail = instance.cli(&["logs", &id, "--container", "third", "--tail", "2"]).ok();
    assert_eq!(tail, "2\n3\n");
}

#[test]
fn following_goes_on_until_the_task_has_stopped() {
    require!(host, busybox);
    let instance = Instance::with_busybox("follow");
    let script = "echo before; until [ -e /tmp/go ]; do usleep 20000; done; echo after";
    let id = instance.launch(&definition("follow", &[container("app", script)]));
    instance.printed(&id, "app", "before");
    let mut follower = instance.command(&["logs", "--follow", &id]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follower.stdout.take().unwrap();
    let mut first = [0; 7];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"before\n");
    fs::write(format!("/proc/{}/root/tmp/go", instance.pid(&id, "app")), "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "after\n");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_moment_cuts_off_what_is_older() {
    require!(host, busybox);
    let instance = Instance::with_busybox("since");
    let script = "echo old; until [ -e /tmp/go ]; do usleep 20000; done; echo new";
    let id = instance.launch(&definition("since", &[container("app", script)]));
    instance.printed(&id, "app", "old");
    let line = instance.lines(&format!("/hythe/v1/logs?task={id}")).remove(0);
    let written = line["time"].as_u64().unwrap();
    // The next line is at least one unit of the clock later.
    let later = crate::harness::wait_for("a later moment", crate::harness::PATIENCE, || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        u64::try_from(now).ok().filter(|now| *now > written)
    });
    fs::write(format!("/proc/{}/root/tmp/go", instance.pid(&id, "app")), "").unwrap();
    instance.stopped(&id);
    let lines = instance.lines(&format!("/hythe/v1/logs?task={id}&since={later}"));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["line"], "new");
    let all = instance.cli(&["logs", "--since", "1h", &id]).ok();
    assert_eq!(all, "old\nnew\n");
    assert_eq!(instance.cli(&["logs", "--since", "2099-01-02T03:04:05Z", &id]).ok(), "");
}

#[test]
fn the_files_of_a_container_have_a_ceiling() {
    require!(host, busybox);
    let limits = "[containers]\nlog_max_size = \"64k\"\nlog_max_files = 2\n";
    let instance = Instance::with_busybox_and("ceiling", limits);
    let script = "i=0; while [ $i -lt 8000 ]; do echo line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done";
    let blocking =
        json!({ "logConfiguration": { "logDriver": "json-file", "options": { "mode": "blocking" } } });
    let (id, _) = instance.ran(&definition("ceiling", &[with(container("app", script), blocking)]));
    let files: Vec<u64> = fs::read_dir(instance.path(format!("state/logs/{id}")))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!((1..=2).contains(&files.len()), "{files:?}");
    assert!(files.iter().all(|length| *length <= 64 * 1024), "{files:?}");
    let said = instance.said(&id, "app");
    let numbers: Vec<u32> =
        said.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers.last(), Some(&7999));
    assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "no line is lost in between");
    assert!(numbers.len() > 100 && numbers[0] > 0, "the oldest are gone: {} lines", numbers.len());
}

#[test]
fn the_logs_of_a_service_are_those_of_its_tasks() {
    require!(host, busybox);
    let instance = Instance::with_busybox("service-logs");
    let arn = instance
        .register(definition("talks", &[container("app", &format!("echo I am $(hostname); {FOREVER}"))]));
    instance.service("talks", &arn, 2);
    let ids = instance.steady("talks", 2);
    for id in &ids {
        instance.printed(id, "app", "I am");
    }
    let said = instance.cli(&["logs", "talks"]).ok();
    for id in &ids {
        assert!(said.contains(&format!("I am {}", &id[..8])), "{said}");
    }
}

#[test]
fn output_that_is_no_text_does_not_end_the_conversation() {
    require!(host, busybox);
    let instance = Instance::with_busybox("bytes");
    let script =
        "printf '\\377\\376 bytes\\n\\0nul\\n'; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last";
    let (id, _) = instance.ran(&definition("bytes", &[container("app", script)]));
    let said = instance.said(&id, "app");
    assert!(
        said.contains(" bytes\n") && said.contains("nul\n") && said.ends_with("last\n"),
        "{} bytes",
        said.len()
    );
    assert_eq!(said.matches('x').count(), 300_000, "a long line is whole");
}
