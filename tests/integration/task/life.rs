//! What happens to the containers of a task.

use hythe::model::{
    fact::Seen,
    task::{Exit, HealthStatus, StopCode},
    task_definition::{Condition, HealthCheck, RestartPolicy},
};

use super::lab::{Lab, has_exited, has_started, on};
use crate::harness::require;

const FOREVER: &str = "trap 'exit 0' TERM; while :; do sleep 1000 & wait $!; done";

fn check(command: &str, start_period: u32) -> HealthCheck {
    HealthCheck {
        command: vec!["CMD-SHELL".to_owned(), command.to_owned()],
        interval: Some(1),
        timeout: Some(1),
        retries: Some(1),
        start_period: Some(start_period),
    }
}

#[tokio::test]
async fn containers_of_a_task_talk_over_localhost_and_a_stop_leaves_nothing() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("web", "httpd -f -p 127.0.0.1:8080 -h /www & trap 'exit 0' TERM; wait");
    let sidecar =
        lab.container("sidecar", "until wget -q -O - http://127.0.0.1:8080/hello; do sleep 0.05; done");
    sidecar.essential = false;
    sidecar.depends_on = on("web", Condition::Start);
    let mut talk = lab.start().await;
    talk.until("the sidecar's end", has_exited("sidecar")).await;
    assert_eq!(talk.exit("sidecar").0, Exit::Code(0));
    let log = std::fs::read_to_string(lab.log("sidecar")).unwrap();
    assert!(log.contains(" stdout F hello over localhost\n"), "{log}");
    talk.stop().await;
    talk.end().await;
    assert!(talk.connection.is_finished());
    assert_eq!(talk.exit("web").0, Exit::Code(0));
    assert_eq!(talk.stop_request().code, StopCode::UserInitiated);
}

#[tokio::test]
async fn an_essential_exit_stops_the_task_in_reverse_order() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("base", FOREVER).essential = false;
    let middle = lab.container("middle", FOREVER);
    middle.essential = false;
    middle.depends_on = on("base", Condition::Start);
    lab.container("app", "exit 3").depends_on = on("middle", Condition::Start);
    let mut talk = lab.start().await;
    talk.end().await;
    assert_eq!(talk.exit("app"), (Exit::Code(3), None));
    let request = talk.stop_request();
    assert_eq!(request.code, StopCode::EssentialContainerExited);
    assert_eq!(request.reason, "Essential container in task exited");
    assert!(talk.place(has_exited("app")) < talk.place(has_exited("middle")));
    assert!(talk.place(has_exited("middle")) < talk.place(has_exited("base")));
    assert_eq!(talk.exit("base").0, Exit::Code(0), "it heeded its signal");
}

#[tokio::test]
async fn a_container_waits_for_success_and_for_health() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("migrate", "sleep 0.1; exit 0").essential = false;
    let cache = lab.container("cache", "sleep 0.3; touch /ready; trap 'exit 0' TERM; sleep 1000 & wait");
    cache.depends_on = on("migrate", Condition::Success);
    cache.health_check = Some(check("test -f /ready", 30));
    let app = lab.container("app", FOREVER);
    app.depends_on = on("cache", Condition::Healthy);
    let mut talk = lab.start().await;
    talk.started("app").await;
    let healthy = |seen: &Seen| matches!(seen, Seen::HealthChanged { health: HealthStatus::Healthy, .. });
    assert!(talk.place(has_exited("migrate")) < talk.place(has_started("cache")));
    assert!(talk.place(healthy) < talk.place(has_started("app")));
    talk.stop().await;
    talk.end().await;
    assert!(talk.place(has_exited("app")) < talk.place(has_exited("cache")));
}

#[tokio::test]
async fn a_dependency_that_fails_or_is_late_is_why_the_task_did_not_start() {
    require!(root, busybox, cgroup_memory);
    for (script, timeout, why) in [
        ("exit 4", None, "which exited with code 4"),
        (
            "trap 'exit 0' TERM; sleep 1000 & wait",
            Some(1),
            "which did not succeed within its startTimeout of 1 s",
        ),
    ] {
        let mut lab = Lab::new();
        let migrate = lab.container("migrate", script);
        migrate.essential = false;
        migrate.start_timeout = timeout;
        lab.container("app", FOREVER).depends_on = on("migrate", Condition::Success);
        let mut talk = lab.start().await;
        talk.end().await;
        let (reason, exit) = talk.failure("app");
        assert!(reason.starts_with("CannotStartContainerError: dependency graph: "), "{reason}");
        assert!(reason.contains(why), "{reason}");
        assert_eq!(exit, Some(Exit::Code(143)));
        let request = talk.stop_request();
        assert_eq!((request.code, request.reason), (StopCode::TaskFailedToStart, reason));
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let bundle = lab.container("app", "").bundle.join("config.json");
    let text = std::fs::read_to_string(&bundle).unwrap();
    std::fs::write(&bundle, text.replace("/bin/sh", "/bin/nothing")).unwrap();
    let mut talk = lab.start().await;
    talk.end().await;
    let (reason, exit) = talk.failure("app");
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
    assert!(reason.contains("/bin/nothing") && reason.contains("no such file"), "{reason}");
    assert_eq!(exit, None);
    assert_eq!(talk.stop_request().code, StopCode::TaskFailedToStart);
}

#[tokio::test]
async fn health_goes_both_ways_and_a_probe_that_hangs_has_failed() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let app = lab.container("app", FOREVER);
    app.health_check = Some(check("test ! -f /ill || sleep 1000", 0));
    let root = app.bundle.join("rootfs");
    let mut talk = lab.start().await;
    let turns =
        |wanted| move |seen: &Seen| matches!(seen, Seen::HealthChanged { health, .. } if *health == wanted);
    talk.until("health", turns(HealthStatus::Healthy)).await;
    std::fs::write(root.join("ill"), "").unwrap();
    talk.until("illness", turns(HealthStatus::Unhealthy)).await;
    std::fs::remove_file(root.join("ill")).unwrap();
    talk.until("health again", turns(HealthStatus::Healthy)).await;
    talk.stop().await;
    talk.end().await;
}

#[tokio::test]
async fn a_container_is_started_again_when_its_policy_says_so() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let script = format!(
        "test -f /twice && exec sh -c \"{}\"; test -f /once && touch /twice; touch /once; exit 1",
        "sleep 1000"
    );
    let app = lab.container("app", &script);
    app.stop_timeout = Some(0);
    app.restart_policy =
        Some(RestartPolicy { enabled: true, ignored_exit_codes: vec![], restart_attempt_period: Some(0) });
    let mut talk = lab.start().await;
    let twice = |seen: &Seen| matches!(seen, Seen::ContainerStarted { restarts: 2, .. });
    talk.until("the second restart", twice).await;
    talk.stop().await;
    talk.end().await;
    let restarting = talk.facts.iter().filter(|fact| {
        matches!(fact.seen, Seen::ContainerExited { restarting: true, exit: Exit::Code(1), .. })
    });
    assert_eq!(restarting.count(), 2);
    assert_eq!(talk.stop_request().code, StopCode::UserInitiated);
}

#[tokio::test]
async fn running_out_of_memory_names_the_container_and_the_limit() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.limited("hungry", "exec tail /dev/zero", 16);
    lab.container("sidecar", FOREVER).essential = false;
    let mut talk = lab.start().await;
    talk.end().await;
    let (exit, reason) = talk.exit("hungry");
    assert_eq!(exit, Exit::Signal(9));
    assert_eq!(
        reason.as_deref(),
        Some(
            "OutOfMemoryError: Container killed due to memory usage: container hungry went over its limit of 16 MiB"
        )
    );
    assert_eq!(talk.exit("sidecar"), (Exit::Code(0), None));
}

#[tokio::test]
async fn the_limit_of_the_task_holds_for_all_its_containers() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let limits = r#"{"memory": {"limit": 25165824, "swap": 25165824}}"#;
    lab.spec.resources = Some(serde_json::from_str(limits).unwrap());
    lab.container("hungry", "exec tail /dev/zero");
    let mut talk = lab.start().await;
    talk.end().await;
    let reason = talk.exit("hungry").1.unwrap();
    assert!(reason.ends_with("container hungry went over the task's limit of 24 MiB"), "{reason}");
}

#[tokio::test]
async fn a_container_that_does_not_heed_its_signal_is_killed_when_its_grace_is_over() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    lab.container("app", "trap '' TERM; echo ready; while :; do sleep 1; done").stop_timeout = Some(1);
    let mut talk = lab.start().await;
    talk.started("app").await;
    talk.stop().await;
    talk.end().await;
    assert_eq!(talk.exit("app"), (Exit::Signal(9), None));
}

#[tokio::test]
async fn the_stop_signal_is_the_one_that_was_chosen() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let app = lab.container("app", "trap 'exit 7' QUIT; echo ready; while :; do sleep 1000 & wait $!; done");
    app.stop_signal = Some("SIGQUIT".to_owned());
    let log = lab.log("app");
    let mut talk = lab.start().await;
    talk.started("app").await;
    let ready = || std::fs::read_to_string(&log).ok().filter(|text| text.contains("ready"));
    crate::harness::wait_for("the trap", crate::harness::PATIENCE, ready);
    talk.stop().await;
    talk.end().await;
    assert_eq!(talk.exit("app").0, Exit::Code(7));
}

#[tokio::test]
async fn containers_that_share_processes_see_each_other_and_do_not_end_each_other() {
    require!(root, busybox, cgroup_memory);
    let mut lab = Lab::new();
    let app = lab.container("app", "exec sleep 4242");
    app.stop_timeout = Some(0);
    app.shares.pid = true;
    let script =
        "cat /proc/1/cmdline; echo; cat /proc/[0-9]*/cmdline; ls /proc/1/root /proc/1/fd; cat /proc/1/mounts";
    let viewer = lab.container("viewer", script);
    viewer.essential = false;
    viewer.shares.pid = true;
    viewer.depends_on = on("app", Condition::Start);
    let mut talk = lab.start().await;
    talk.until("the viewer's end", has_exited("viewer")).await;
    let log = std::fs::read_to_string(lab.log("viewer")).unwrap();
    let (first, rest) = log.split_once('\n').unwrap();
    assert!(first.contains("hythe\0init\0"), "{log:?}");
    assert!(rest.contains("sleep\x004242"), "{log:?}");
    assert!(!rest.contains("/var/lib") && !rest.contains("ext4") && !rest.contains("etc\n"), "{log:?}");
    talk.stop().await;
    talk.end().await;
    assert_eq!(talk.exit("app").0, Exit::Signal(15));
}
