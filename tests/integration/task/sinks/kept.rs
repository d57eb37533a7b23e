//! Output that is kept here: found by group and stream, and its end when everything else is gone.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition, stays},
    tasks::with,
    wait_for,
};

fn awslogs(prefix: Option<&str>) -> serde_json::Value {
    let mut options = json!({ "awslogs-region": "us-east-1", "awslogs-group": "/ecs/shop" });
    if let Some(prefix) = prefix {
        options["awslogs-stream-prefix"] = json!(prefix);
    }
    json!({ "logConfiguration": { "logDriver": "awslogs", "options": options } })
}

#[test]
fn a_group_is_read_by_stream_while_its_tasks_run_and_after() {
    require!(host, busybox);
    let instance = Instance::with_busybox("groups");
    let web = with(container("web", &stays("echo from web")), awslogs(Some("front")));
    let side = with(container("side", &stays("echo unheard")), json!({ "essential": false }));
    let running = instance.launch(&definition("web", &[web, side]));
    instance.printed(&running, "web", "from web");
    let job = with(container("job", "echo from job; echo oops >&2"), awslogs(None));
    let (stopped, _) = instance.ran(&definition("job", &[job]));

    let front = format!("front/web/{running}");
    let groups = instance.get("/hythe/v1/logs/groups");
    assert_eq!(groups["groups"][0]["name"], "/ecs/shop", "{groups:#}");
    let streams = groups["groups"][0]["streams"].as_array().unwrap();
    let names: Vec<&str> = streams.iter().map(|stream| stream["name"].as_str().unwrap()).collect();
    assert_eq!(names, [front.clone(), format!("{stopped}-job")]);
    let listed = instance.cli(&["logs", "--groups"]).ok();
    assert!(listed.contains(&format!("/ecs/shop  {front}")) && listed.contains("STOPPED"), "{listed}");

    let all = instance.cli(&["logs", "--group", "/ecs/shop"]);
    assert_eq!(all.code, 0, "{}", all.err);
    let (web, job) =
        (format!("{}/web | from web\n", &running[..8]), format!("{}/job | from job\n", &stopped[..8]));
    assert_eq!(all.out, format!("{web}{job}"));
    assert_eq!(all.err, format!("{}/job | oops\n", &stopped[..8]));
    let one = instance.cli(&["logs", "--group", "/ecs/shop", "--stream", &front]).ok();
    assert_eq!(one, "from web\n");
    for (args, why) in [
        (vec!["--group", "/ecs/none"], "there is no log group /ecs/none: `hythe logs --groups` lists those"),
        (vec!["--group", "/ecs/shop", "--stream", "x"], "log group /ecs/shop has no stream x"),
    ] {
        let refused = instance.cli(&[vec!["logs"], args].concat());
        assert_eq!(refused.code, 3, "{refused:?}");
        assert!(refused.err.contains(why), "{}", refused.err);
    }
    let until = instance.cli(&["logs", "--group", "/ecs/shop", "--until", "1h"]).ok();
    assert_eq!(until, "", "nothing was said an hour ago");
}

#[test]
fn lines_of_an_event_are_one_entry_which_ends_with_the_next_or_with_time() {
    require!(host, busybox);
    let instance = Instance::with_busybox("events");
    let with_option = |name: &str, value: &str| {
        let mut log = awslogs(None);
        log["logConfiguration"]["options"][name] = json!(value);
        log
    };
    let script = stays("echo 'ERROR no'; echo '  at a'; echo '  at b'; echo 'INFO yes'; echo '  more'");
    let app = with(container("app", &script), with_option("awslogs-multiline-pattern", "^(ERROR|INFO)"));
    let dated = "echo '2026-11-21 07:00:00 one'; echo two; echo '2026-11-21 07:00:01 three'";
    let dated = with(container("dated", dated), with_option("awslogs-datetime-format", "%Y-%m-%d %H:%M:%S"));
    let dated = with(dated, json!({ "essential": false }));
    let id = instance.launch(&definition("events", &[app, dated]));
    instance.printed(&id, "app", "INFO yes\n  more\n");
    let lines = |container: &str, more: &str| {
        let lines = instance.lines(&format!("/hythe/v1/logs?task={id}&container={container}{more}"));
        lines.iter().map(|line| line["line"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(lines("app", ""), ["ERROR no\n  at a\n  at b", "INFO yes\n  more"]);
    assert_eq!(lines("app", "&tail=1"), ["INFO yes\n  more"]);
    instance.printed(&id, "dated", "three");
    assert_eq!(lines("dated", ""), ["2026-11-21 07:00:00 one\ntwo", "2026-11-21 07:00:01 three"]);
    let said = instance.cli(&["logs", &id, "--container", "app"]).ok();
    assert_eq!(said, "ERROR no\n  at a\n  at b\nINFO yes\n  more\n");
    let wrong = with(container("app", "true"), with_option("awslogs-datetime-format", "%Q"));
    let refused = instance.call("RegisterTaskDefinition", definition("wrong", &[wrong])).unwrap_err();
    assert!(refused.to_string().contains("'%Q' is no format of times: "), "{refused}");
}

#[test]
fn the_lines_of_a_service_come_in_the_order_of_time_followed_or_not() {
    require!(host, busybox);
    let instance = Instance::with_busybox("interleaved");
    let script = format!("for i in 1 2 3 4 5; do echo line $i; usleep 50000; done; {FOREVER}");
    let arn = instance.register(definition("talks", &[container("app", &script)]));
    instance.service("talks", &arn, 2);
    let ids = instance.steady("talks", 2);
    for id in &ids {
        instance.printed(id, "app", "line 5");
    }
    let lines = instance.lines("/hythe/v1/logs?service=talks&cluster=default");
    let times: Vec<u64> = lines.iter().map(|line| line["time"].as_u64().unwrap()).collect();
    assert!(times.len() == 10 && times.is_sorted(), "{lines:#?}");
    let mut follower = instance
        .command(&["logs", "--follow", "talks", "--output", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = BufReader::new(follower.stdout.take().unwrap());
    let heard: Vec<serde_json::Value> =
        out.lines().take(10).map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(heard, lines);
}

#[test]
fn docker_s_files_are_cut_as_the_definition_says_and_read_as_any_other() {
    require!(host, busybox);
    let instance = Instance::with_busybox("json-file");
    let script =
        "i=0; while [ $i -lt 3000 ]; do echo line $i xxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done; echo last >&2";
    let log = json!({ "dockerLabels": { "team": "a" }, "logConfiguration": {
        "logDriver": "json-file", "options": { "max-size": "64k", "max-file": "3", "labels": "team" },
    } });
    let (id, _) = instance.ran(&definition("json", &[with(container("app", script), log)]));
    let directory = instance.path(format!("state/logs/{id}"));
    let sizes: Vec<u64> =
        fs::read_dir(&directory).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size <= 64 << 10), "{sizes:?}");
    let newest = fs::read_to_string(directory.join("app.log")).unwrap();
    let line = newest.lines().last().unwrap();
    let begin = r#"{"log":"last\n","stream":"stderr","attrs":{"team":"a"},"time":"20"#;
    assert!(line.starts_with(begin) && line.ends_with("Z\"}"), "{line}");
    let said = instance.cli(&["logs", &id, "--tail", "2"]);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("line 2999 xxxxxxxxxxxxxxxxxxxx\n", "last\n"));
}

#[test]
fn older_files_are_compressed_for_whom_asks_and_read_as_any_other() {
    require!(host, busybox);
    let instance = Instance::with_busybox("compressed");
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i xxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done";
    let options = json!({ "max-size": "64k", "max-file": "20", "compress": "true" });
    let log = json!({ "logConfiguration": { "logDriver": "json-file", "options": options } });
    let (id, _) = instance.ran(&definition("packed", &[with(container("app", script), log)]));
    let names = fs::read_dir(instance.path(format!("state/logs/{id}"))).unwrap();
    let mut names: Vec<String> = names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.len() > 4 && names[0] == "app.log", "{names:?}");
    assert!(names[1..].iter().all(|name| name.rsplit('.').next() == Some("gz")), "{names:?}");
    let older = instance.path(format!("state/logs/{id}/{}", names[names.len() - 1]));
    let first = std::process::Command::new("zcat").arg(&older).output().unwrap();
    assert!(String::from_utf8(first.stdout).unwrap().starts_with("{\"log\":\"line 0 xxxx"));
    let said = instance.said(&id, "app");
    let numbers: Vec<usize> =
        said.lines().map(|line| line.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (0..3000).collect::<Vec<_>>());
    let tail = instance.cli(&["logs", &id, "--tail", "2000"]).ok();
    assert!(tail.starts_with("line 1000 ") && tail.ends_with("line 2999 xxxxxxxxxxxxxxxxxxxx\n"));
}

#[test]
fn a_task_that_failed_tells_its_last_words_when_its_logs_are_gone() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("last-words");
    let script = "i=0; while [ $i -lt 90 ]; do echo line $i; i=$((i+1)); done; echo no database >&2; exit 7";
    let (id, task) = instance.ran(&definition("fails", &[container("app", script)]));
    assert_eq!(task["containers"][0]["exitCode"], 7, "{task:#}");
    assert!(task["containers"][0].get("lastLines").is_none(), "ECS knows no such member: {task:#}");
    fs::remove_dir_all(instance.path(format!("state/logs/{id}"))).unwrap();
    instance.kill_daemon();
    instance.start_daemon();
    let stored = instance.stored(&id);
    let lines = stored["containers"][0]["lastLines"].as_array().unwrap();
    assert_eq!(lines.len(), 20, "{lines:#?}");
    let shown = instance.cli(&["show", &id[..8]]).ok();
    assert!(
        shown.contains("\nlast output of app:\n  line ") && shown.contains("\n  no database\n"),
        "{shown}"
    );
    assert!(shown.contains("Essential container in task exited"), "{shown}");
    let (good, _) = instance.ran(&definition("works", &[container("app", "echo fine")]));
    assert!(!instance.cli(&["show", &good]).ok().contains("last output"));
    assert_eq!(instance.stored(&good)["containers"][0]["lastLines"][0]["line"], "fine");
}

#[test]
fn a_killed_shim_s_task_keeps_its_last_words_too() {
    require!(host, busybox);
    let instance = Instance::with_busybox("killed-words");
    let id =
        instance.launch(&definition("killed", &[container("app", &format!("echo I was here; {FOREVER}"))]));
    instance.running(&id);
    instance.printed(&id, "app", "I was here");
    let shim = fs::read_to_string(format!("/proc/{}/status", instance.pid(&id, "app"))).unwrap();
    let parent = shim.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), nix::sys::signal::Signal::SIGKILL).unwrap();
    instance.stopped(&id);
    assert_eq!(instance.stored(&id)["containers"][0]["lastLines"][0]["line"], "I was here");
}

#[test]
fn what_is_over_is_forgotten_after_its_time_and_above_its_ceiling() {
    require!(host, busybox);
    let tasks = |instance: &Instance| instance.cli(&["ps", "--all", "--quiet"]).ok().lines().count();
    let document = definition("ends", &[container("app", "echo done")]);
    let brief = Instance::with_busybox_and("brief", "[history]\nkeep = 1\n");
    let (id, _) = brief.ran(&document);
    let logs = brief.path(format!("state/logs/{id}"));
    wait_for("the task to be forgotten", PATIENCE, || (tasks(&brief) == 0 && !logs.exists()).then_some(()));
    drop(brief);
    let small = Instance::with_busybox_and("small", "[history]\nmost_tasks = 4\nmost_mb = 0\n");
    let ids: Vec<String> = (0..3).map(|_| small.ran(&document).0).collect();
    wait_for("all but the newest to be forgotten", PATIENCE, || (tasks(&small) == 1).then_some(()));
    assert_eq!(small.cli(&["ps", "--all", "--quiet"]).ok(), format!("{}\n", ids[2]));
    assert_eq!(small.said(&ids[2], "app"), "done\n");
}
