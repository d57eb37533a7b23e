//! The output of containers.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use crate::harness::{
    Instance, require,
    tasks::{document, id, shell},
};

#[test]
fn output_is_kept_line_by_line_and_stream_by_stream() {
    require!(host, busybox);
    let instance = Instance::start("streams");
    let arn = instance.run(document("streams", &[shell("main", "echo out; echo err >&2; printf 'no end'")]));
    instance.stopped(&arn);
    let said = instance.cli(&["logs", id(&arn)]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("out\nno end\n", "err\n"));
    assert_eq!(instance.cli(&["logs", "--tail", "1", id(&arn)]).out, "no end\n");
    assert_eq!(instance.cli(&["logs", "--since", "2000-01-01", id(&arn)]).out, "out\nno end\n");
    assert_eq!(instance.cli(&["logs", "--since", "2100-01-01", id(&arn)]).out, "");
}

#[test]
fn a_followed_log_goes_on_to_the_end_of_the_task() {
    require!(host, busybox);
    let instance = Instance::start("follow");
    let arn = instance.run(document(
        "follow",
        &[shell("main", "trap 'echo last; exit 0' TERM; echo first; while :; do sleep 3600 & wait $!; done")],
    ));
    instance.running(&arn);
    let mut follower =
        instance.command(&["logs", "--follow", id(&arn)]).stdout(Stdio::piped()).spawn().expect("hythe runs");
    let mut lines = BufReader::new(follower.stdout.take().expect("its output is piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("UTF-8"), "first");
    instance.stop(&arn);
    let rest: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
    assert_eq!(rest, ["last"]);
    assert!(follower.wait().expect("hythe ends").success());
}

#[test]
fn the_logs_of_a_service_name_their_tasks() {
    require!(host, busybox);
    let instance = Instance::start("service-logs");
    instance.register(document("talk", &[shell("main", "echo hello; exec sleep 3600")]));
    instance.cli(&["service", "create", "talk", "-d", "talk", "-n", "2", "--wait"]).ok();
    let said = crate::harness::wait_for("two lines", crate::harness::PATIENCE, || {
        let said = instance.cli(&["logs", "talk"]).ok();
        (said.lines().count() == 2).then_some(said)
    });
    assert!(said.lines().all(|line| line.ends_with("/main | hello")), "{said}");
}
