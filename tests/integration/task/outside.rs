//! Tasks and the world: out through the host's address, in through a published port.

use serde_json::json;

use super::network::{answer, server};
use crate::harness::{
    Instance, PATIENCE,
    outside::{HERE, Outside, THERE},
    require,
    tasks::{directory, document, shell, with},
    wait_for,
};

#[test]
fn a_task_reaches_another_host_and_that_host_answers_the_hosts_address() {
    require!(host, busybox);
    let instance = Instance::start("nat");
    let mut outside = Outside::new();
    let pages = directory(&instance, "pages");
    std::fs::write(pages.join("index.html"), "the world\n").expect("a page");
    outside.serve(&[
        "busybox",
        "httpd",
        "-f",
        "-p",
        &format!("{THERE}:80"),
        "-h",
        &pages.display().to_string(),
    ]);
    for mode in ["bridge", "awsvpc"] {
        let arn = instance.run(with(
            document(
                mode,
                &[shell("main", &format!("until wget -q -O - http://{THERE}/; do sleep 0.1; done"))],
            ),
            json!({ "networkMode": mode }),
        ));
        instance.stopped(&arn);
        assert_eq!(instance.output(&arn, "main"), "the world\n", "{mode}");
    }
}

#[test]
fn another_host_reaches_a_published_port() {
    require!(host, busybox);
    let instance = Instance::start("inward");
    let outside = Outside::new();
    let arn = instance
        .run(document("inward", &[server("come in", 80, &json!({ "containerPort": 80, "hostPort": 8083 }))]));
    instance.running(&arn);
    assert_eq!(answer("127.0.0.1", 8083), "come in");
    let said = wait_for("an answer to the other host", PATIENCE, || {
        let output = outside.run(&["busybox", "wget", "-q", "-O", "-", &format!("http://{HERE}:8083/")]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
    assert_eq!(said, "come in\n");
}
