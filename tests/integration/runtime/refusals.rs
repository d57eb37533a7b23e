//! What cannot be run says so in one sentence, and leaves nothing.

use std::fs;

use serde_json::json;

use super::container::{Container, Ran};
use crate::harness::{PATIENCE, require, wait_for};

/// Creation must fail with this sentence, and nothing may be left of it.
#[track_caller]
fn refused(container: &Container, ran: &Ran, sentence: &str) {
    assert_ne!(ran.code, 0);
    assert_eq!(ran.err, format!("hythe oci: {sentence}"));
    assert_eq!(container.left(), Vec::<String>::new());
    assert_eq!(container.oci(&["list", "-q"]).out, "");
}

#[test]
fn a_program_that_is_not_there() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["args"] = json!(["nope"]);
    let ran = container.run();
    refused(&container, &ran, "exec: \"nope\": executable file not found in $PATH");
    assert_eq!(ran.code, 127);
    container.config["process"]["args"] = json!(["/bin/nope"]);
    refused(&container, &container.run(), "exec: \"/bin/nope\": no such file or directory");
}

#[test]
fn a_program_that_cannot_be_executed() {
    require!(root, busybox);
    let mut container = Container::new();
    fs::write(container.rootfs().join("bin/text"), "no program").unwrap();
    container.config["process"]["args"] = json!(["text"]);
    let ran = container.run();
    refused(&container, &ran, "exec: \"text\": permission denied");
    assert_eq!(ran.code, 126);
    container.script("true");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(container.rootfs().join("bin/text"), mode).unwrap();
    container.config["process"]["args"] = json!(["/bin/text"]);
    refused(&container, &container.run(), "exec: \"/bin/text\": exec format error");
}

#[test]
fn the_runtime_itself_as_the_program() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["args"] = json!(["/proc/self/exe", "oci", "list"]);
    let ran = container.run();
    let sentence = "exec: \"/proc/self/exe\": the runtime's own executable is not to be run in a container";
    refused(&container, &ran, sentence);
}

#[test]
fn a_program_that_is_missing_is_told_to_who_makes_the_container() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["args"] = json!(["nope"]);
    let created = container.create();
    assert_eq!(created.err, "hythe oci: exec: \"nope\": executable file not found in $PATH");
    assert_eq!(created.code, 127);
    // One that goes away in time is told to who starts it.
    container.config["process"]["args"] = json!(["sleep", "1000"]);
    assert_eq!(container.create().code, 0);
    assert!(container.oci(&["delete", &container.id]).err.ends_with("that is not stopped: created"));
    fs::remove_file(container.rootfs().join("bin/sleep")).unwrap();
    let started = container.oci(&["start", &container.id]);
    assert_eq!(started.err, "hythe oci: exec: \"sleep\": executable file not found in $PATH");
    assert_eq!(container.status(), "stopped");
}

#[test]
fn a_missing_root_or_bundle() {
    require!(root, busybox);
    let container = Container::new();
    container.save();
    fs::remove_dir_all(container.rootfs()).unwrap();
    let place = container.bundle().join("rootfs").display().to_string();
    refused(&container, &container.run(), &format!("root.path: {place} is not a directory to use"));
    let nowhere = container.path("nowhere").display().to_string();
    let ran = container.oci(&["run", "--bundle", &nowhere, &container.id]);
    refused(&container, &ran, &format!("read {nowhere}/config.json: No such file or directory (os error 2)"));
}

#[test]
fn a_specification_with_a_wrong_member() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["linux"]["maskedPaths"] = json!(["proc/kcore"]);
    refused(&container, &container.run(), "linux.maskedPaths: \"proc/kcore\" is not an absolute path");
    container.config["linux"].as_object_mut().unwrap().remove("maskedPaths");
    container.config["process"]["user"]["uid"] = json!("root");
    let ran = container.run();
    assert!(
        ran.err.contains("config.json is not an OCI specification: process.user.uid: invalid type: string"),
        "{ran:?}"
    );
    assert!(ran.err.contains("line 1 column"), "{ran:?}");
}

#[test]
fn a_step_that_fails_is_named() {
    require!(root, busybox);
    let mut container = Container::new();
    let bind =
        json!({"destination": "/data", "type": "bind", "source": "/no/such/place", "options": ["rbind"]});
    container.config["mounts"].as_array_mut().unwrap().push(bind);
    refused(
        &container,
        &container.run(),
        "rbind /no/such/place on /data, rprivate: the source: ENOENT: No such file or directory",
    );
    container.config["mounts"].as_array_mut().unwrap().pop();
    container.config["process"]["cwd"] = json!("/bin/busybox");
    refused(
        &container,
        &container.run(),
        "change to working directory /bin/busybox: ENOTDIR: Not a directory",
    );
}

#[test]
fn a_working_directory_that_leads_out_of_the_container() {
    require!(root, busybox);
    let mut container = Container::new();
    // One that the caller wants to be kept, so it is open until the end: only where it leads to can be looked at.
    let with_root = |container: &Container, words: &[&str]| -> Ran {
        container.save();
        let oci = container.command(words);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec 3</ && exec \"$@\"", "sh"]).arg(oci.get_program()).args(oci.get_args());
        command.output().unwrap().into()
    };
    let bundle = container.bundle().display().to_string();
    for outside in ["/proc/self/fd/3", "/proc/self/fd/3/etc", "/proc/self/fd/3/../usr/.."] {
        container.config["process"]["cwd"] = json!(outside);
        container.script("ls; cat etc/os-release os-release");
        let ran = with_root(&container, &["run", "--preserve-fds", "1", "--bundle", &bundle, &container.id]);
        assert!(ran.code != 0 && ran.out.is_empty(), "{outside}: {ran:?}");
        assert_eq!(container.left(), Vec::<String>::new());
    }
    container.config["process"]["cwd"] = json!("/");
    container.script("sleep 1000");
    container.start();
    let words = ["exec", "--preserve-fds", "1", "--cwd", "/proc/self/fd/3", &container.id, "ls"];
    let ran = with_root(&container, &words);
    assert!(ran.code != 0 && ran.out.is_empty() && ran.err.contains("ENOENT"), "{ran:?}");
}

#[test]
fn descriptors_that_the_caller_has_left_open_lead_nowhere() {
    require!(root, busybox);
    let mut container = Container::new();
    // Both are open across every exec, as a careless engine leaves them: the host's root, and a file of its own.
    let with_open = |container: &Container, words: &[&str]| -> Ran {
        let oci = container.command(words);
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec 7</ 9</etc/hostname; exec \"$@\"", "sh"]).arg(oci.get_program());
        command.args(oci.get_args()).output().unwrap().into()
    };
    let bundle = container.bundle().display().to_string();
    let run = |container: &Container| {
        container.save();
        with_open(container, &["run", "--bundle", &bundle, &container.id])
    };
    // The three streams, and the directory that is listed.
    let ran = run(container.script("ls /proc/self/fd | wc -l"));
    assert_eq!((ran.out.as_str(), ran.code), ("4", 0), "{ran:?}");
    for place in ["/proc/self/fd/7", "/proc/self/fd/7/etc"] {
        container.config["process"]["cwd"] = json!(place);
        let ran = run(container.script("pwd; ls"));
        assert!(ran.code != 0 && ran.out.is_empty(), "{place}: {ran:?}");
        assert_eq!(container.left(), Vec::<String>::new());
    }
    container.config["process"]["cwd"] = json!("/");
    container.script("sleep 1000");
    container.start();
    let ran = with_open(&container, &["exec", &container.id, "sh", "-c", "ls /proc/self/fd | wc -l"]);
    assert_eq!((ran.out.as_str(), ran.code), ("4", 0), "{ran:?}");
    let ran = with_open(&container, &["exec", "--cwd", "/proc/self/fd/7", &container.id, "ls"]);
    assert!(ran.code != 0 && ran.out.is_empty(), "{ran:?}");
}

#[test]
fn a_name_that_is_taken_or_is_none() {
    require!(root, busybox);
    let mut container = Container::new();
    container.script("sleep 1000");
    container.start();
    let again = container.run();
    assert_eq!(again.err, format!("hythe oci: container with given ID already exists: {}", container.id));
    assert_eq!(container.status(), "running");
    let bundle = container.bundle().display().to_string();
    let bad = container.oci(&["run", "--bundle", &bundle, "../x"]);
    assert!(bad.err.starts_with("hythe oci: container id \"../x\": use 1 to 255"), "{bad:?}");
}

#[test]
fn a_proc_that_is_a_link() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    fs::create_dir(container.rootfs().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("elsewhere", container.rootfs().join("proc")).unwrap();
    let ran = container.script("true").run();
    assert!(ran.err.contains("mount proc on /proc"), "{ran:?}");
    assert!(ran.err.contains("ELOOP"), "{ran:?}");
    assert_eq!(container.left(), Vec::<String>::new());
}

#[test]
fn what_is_told_to_the_kernel_goes_to_no_file_of_the_image() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["root"]["readonly"] = json!(false);
    // No proc file system, but files in its place.
    container.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/proc");
    container.config["linux"]["maskedPaths"] = json!([]);
    container.config["linux"]["readonlyPaths"] = json!([]);
    container.config["linux"]["sysctl"] = json!({ "kernel.msgmax": "4444" });
    container.config["process"]["oomScoreAdj"] = json!(321);
    let files =
        ["sys/kernel/msgmax", "self/oom_score_adj"].map(|name| container.rootfs().join("proc").join(name));
    for file in &files {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "mine\n").unwrap();
    }
    container.script("cat /proc/sys/kernel/msgmax /proc/self/oom_score_adj; sleep 1000");
    container.start();
    wait_for("what it reads", PATIENCE, || container.output().ends_with("mine\nmine\n").then_some(()));
    assert_eq!(files.map(|file| fs::read_to_string(file).unwrap()), ["mine\n", "mine\n"]);
    let score = fs::read_to_string(format!("/proc/{}/oom_score_adj", container.pid())).unwrap();
    assert_eq!(score, "321\n");
    let queues = fs::File::open(format!("/proc/{}/ns/ipc", container.pid())).unwrap();
    let told = std::thread::spawn(move || {
        nix::sched::setns(queues, nix::sched::CloneFlags::CLONE_NEWIPC).unwrap();
        fs::read_to_string("/proc/sys/kernel/msgmax").unwrap()
    });
    assert_eq!(told.join().unwrap(), "4444\n");
}

#[test]
fn errors_reach_the_log_of_a_container_manager() {
    require!(root, busybox);
    let mut container = Container::new();
    container.config["process"]["args"] = json!(["nope"]);
    container.save();
    let log = container.path("log").display().to_string();
    let bundle = container.bundle().display().to_string();
    let ran =
        container.oci(&["--log", &log, "--log-format", "json", "run", "--bundle", &bundle, &container.id]);
    assert_eq!(ran.code, 127);
    let line: serde_json::Value = serde_json::from_str(fs::read_to_string(log).unwrap().trim()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "exec: \"nope\": executable file not found in $PATH");
}

#[test]
fn a_mistake_on_the_command_line_is_one_line_and_reaches_the_log() {
    require!(root);
    let container = Container::new();
    let log = container.path("log").display().to_string();
    let id = container.id.clone();
    let mistakes: [(&[&str], &str); 5] = [
        (&["state"], "the following required arguments were not provided: <ID>; see --help"),
        (&["delete", "--hard", &id], "unexpected argument '--hard' found; see --help"),
        (
            &["create", "--bundle"],
            "a value is required for '--bundle <DIR>' but none was supplied; see --help",
        ),
        (&["checkpoint", &id], "unrecognized subcommand 'checkpoint'; see --help"),
        (&["start", &id, "more"], "unexpected argument 'more' found; see --help"),
    ];
    for (words, sentence) in mistakes {
        let _ = fs::remove_file(&log);
        let ran = container.oci(&[&["--log", &log, "--log-format", "json"], words].concat());
        assert_eq!((ran.code, ran.err), (1, format!("hythe oci: {sentence}")));
        let text = fs::read_to_string(&log).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("error"), Some(sentence)));
    }
    let help = container.oci(&["--log", &log, "state", "--help"]);
    assert!(help.code == 0 && help.out.contains("Usage: hythe oci state"), "{help:?}");
}
