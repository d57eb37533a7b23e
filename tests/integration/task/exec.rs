//! Commands in containers that run: `hythe exec`.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
};

use hythe::kernel::terminal::{Size, set_size};
use nix::{
    pty::{Winsize, openpty},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

use crate::harness::{
    Instance, PATIENCE, require,
    stage::{FOREVER, container, definition, stays},
    tasks::with,
    wait_for,
};

/// An instance with one task of one container that stays.
fn staying(name: &str) -> (Instance, String) {
    let instance = Instance::with_busybox(name);
    let id = instance.launch(&definition(name, &[container("app", FOREVER)]));
    instance.running(&id);
    (instance, id)
}

/// Whether a process with this argument runs in the task.
fn runs(instance: &Instance, id: &str, argument: &str) -> bool {
    let said = instance.cli(&["exec", id, "--", "ps", "-o", "args"]).ok();
    said.lines().any(|line| line.contains(argument) && !line.starts_with('{'))
}

fn signal_to(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn a_command_has_the_walls_of_the_container_and_its_own_exit_code() {
    require!(host, busybox);
    let (instance, id) = staying("walls");
    let look = "for n in cgroup ipc mnt net pid uts; do
            [ $(readlink /proc/self/ns/$n) = $(readlink /proc/1/ns/$n) ] || echo other $n; done
        grep -E '^(Cap|NoNew|Seccomp:)' /proc/1/status >/tmp/first
        grep -E '^(Cap|NoNew|Seccomp:)' /proc/self/status | diff /tmp/first - || echo other rights
        diff /proc/1/cgroup /proc/self/cgroup || echo other group
        [ $(cat /proc/1/oom_score_adj) = $(cat /proc/self/oom_score_adj) ] || echo other score
        ls /proc/self/fd | wc -l; exit 7";
    let said = instance.cli(&["exec", &id, "--", "sh", "-c", look]);
    // The standard three, and the one that lists.
    assert_eq!((said.out.as_str(), said.code), ("4\n", 7), "{}", said.err);
    let ended = instance.cli(&["exec", &id, "app", "--", "sh", "-c", "kill -TERM $$"]);
    assert_eq!(ended.code, 128 + 15);
}

#[test]
fn what_goes_in_comes_out_on_the_stream_it_was_written_to() {
    require!(host, busybox);
    let (instance, id) = staying("streams");
    let mut command = instance.command(&["exec", "-i", &id, "--", "sh", "-c", "tee /dev/stderr; echo end"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = (0..200_000_u32).map(|number| number.to_string()).collect();
    let data = lines.join("\n") + "\n";
    let (mut stdin, text) = (child.stdin.take().unwrap(), data.clone());
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stderr.len(), data.len());
    assert!(output.stderr == data.as_bytes(), "standard error is whole");
    assert!(output.stdout == format!("{data}end\n").as_bytes(), "standard output is whole");
    let silent = instance.cli(&["exec", &id, "--", "wc", "-c"]).ok();
    assert_eq!(silent.trim(), "0", "without -i there is nothing to read");
}

#[test]
fn user_variables_and_directory_are_as_asked_for() {
    require!(host, busybox);
    let (instance, id) = staying("as-asked");
    let script = "id -u; id -g; echo $HOME; echo $A; pwd; grep CapEff /proc/self/status | cut -f2";
    let args = ["exec", "-u", "app", "-e", "A=b c", "-w", "/tmp", &id, "--", "sh", "-c", script];
    assert_eq!(instance.cli(&args).ok(), "1000\n1000\n/home/app\nb c\n/tmp\n0000000000000000\n");
    // Somebody who has come since, in files that the image did not have so.
    instance.cli(&["exec", &id, "--", "sh", "-c", "echo new:x:77:88::/new:/bin/sh >>/etc/passwd"]).ok();
    let new = instance.cli(&["exec", "-u", "new", &id, "--", "sh", "-c", "id -u; id -g; echo $HOME"]).ok();
    assert_eq!(new, "77\n88\n/new\n");
    let nobody = instance.cli(&["exec", "-u", "zaphod", &id, "--", "true"]);
    assert!(nobody.code != 0 && nobody.err.contains("zaphod"), "{}", nobody.err);
}

#[test]
fn what_cannot_be_run_is_named() {
    require!(host, busybox);
    let instance = Instance::with_busybox("named");
    let brief = with(container("brief", "true"), json!({ "essential": false }));
    let id = instance.launch(&definition("named", &[container("app", FOREVER), brief]));
    instance.running(&id);
    instance.until(&id, "the brief one's end", |task| {
        let ended = |one: &serde_json::Value| one["name"] == "brief" && one["lastStatus"] == "STOPPED";
        task["containers"].as_array()?.iter().any(ended).then_some(())
    });
    let told = |args: &[&str], code: i32, words: &[&str]| {
        let said = instance.cli(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.err);
        assert!(words.iter().all(|word| said.err.contains(word)), "{args:?}: {}", said.err);
    };
    told(&["exec", "0123456789abcdef0123456789abcdef", "app", "--", "true"], 3, &["not found"]);
    told(&["exec", &id, "web", "--", "true"], 3, &["web", "app, brief"]);
    told(&["exec", &id, "--", "true"], 4, &["several containers", "app, brief"]);
    told(&["exec", &id, "brief", "--", "true"], 4, &["brief", "not running"]);
    told(&["exec", &id, "app", "--", "no-such-program"], 127, &["no-such-program", "not found"]);
    told(&["exec", &id, "app", "--", "/etc/passwd"], 126, &["/etc/passwd", "permission denied"]);
    told(&["exec", "-w", "/nowhere", &id, "app", "--", "true"], 126, &["/nowhere"]);
    told(&["exec", "-w", "relative", &id, "app", "--", "true"], 4, &["not absolute"]);
    told(&["exec", "-it", &id, "app", "--", "true"], 2, &["no terminal"]);
}

#[test]
fn signals_go_on_to_the_command() {
    require!(host, busybox);
    let (instance, id) = staying("signals");
    let script = "trap 'echo got; exit 9' INT; echo up; while :; do sleep 0.05; done";
    let mut child =
        instance.command(&["exec", &id, "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut up = [0; 3];
    out.read_exact(&mut up).unwrap();
    signal_to(&child, Signal::SIGINT);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(9)));
}

#[test]
fn a_client_that_is_killed_leaves_no_process() {
    require!(host, busybox);
    let (instance, id) = staying("gone");
    let script = "trap '' HUP; sleep 4711 | sleep 4712 & sleep 4713";
    for options in [&["-i"][..], &["-t"]] {
        let args = [&["exec"], options, &[&id, "--", "sh", "-c", script]].concat();
        let mut child = instance.command(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        wait_for("the command", PATIENCE, || runs(&instance, &id, "sleep 4713").then_some(()));
        signal_to(&child, Signal::SIGKILL);
        child.wait().unwrap();
        wait_for("its end", PATIENCE, || (!runs(&instance, &id, "sleep 471")).then_some(()));
    }
    assert!(runs(&instance, &id, "sleep 100000"), "the container goes on");
}

#[test]
fn a_command_ends_with_its_container() {
    require!(host, busybox);
    let (instance, id) = staying("with-it");
    let mut child = instance
        .command(&["exec", &id, "--", "sh", "-c", "echo up; exec sleep 4714"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    instance.stop(&id);
    assert_eq!(child.wait().unwrap().code(), Some(128 + 9));
}

/// A command line at a terminal of the test's own.
struct Typist {
    child: Child,
    master: File,
    shown: mpsc::Receiver<Vec<u8>>,
    seen: String,
}

impl Typist {
    fn at(mut command: Command, size: (u16, u16)) -> Self {
        let size = Winsize { ws_row: size.0, ws_col: size.1, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        drop(command);
        let (tell, shown) = mpsc::channel();
        let master = File::from(pair.master);
        let mut reader = master.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut chunk) {
                if tell.send(chunk[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master, shown, seen: String::new() }
    }

    fn types(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    #[track_caller]
    fn sees(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let more = self.shown.recv_timeout(PATIENCE);
            let more = more.unwrap_or_else(|_| panic!("waited for {text:?}, saw {:?}", self.seen));
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        let (_, rest) = self.seen.split_once(text).unwrap();
        self.seen = rest.to_owned();
    }

    fn resizes(&self, rows: u16, columns: u16) {
        set_size(self.master.as_fd(), Size { rows, columns }).unwrap();
        // It is in no session of this terminal, so nobody else tells it.
        signal_to(&self.child, Signal::SIGWINCH);
    }
}

#[test]
fn a_terminal_has_the_containers_own_number_a_size_and_keys() {
    require!(host, busybox);
    let (instance, id) = staying("terminal-exec");
    let mut typist = Typist::at(instance.command(&["exec", "-it", &id, "--", "sh"]), (31, 97));
    typist.types("echo at $(tty) $(stty size) $TERM; test -t 0 -a -t 1 -a -t 2 && echo three\n");
    typist.sees("at /dev/pts/");
    typist.sees(" 31 97 ");
    typist.sees("three");
    typist.types("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo now wide\r");
    typist.resizes(40, 120);
    typist.sees("\nnow wide");
    typist.types("sleep 4715\r");
    wait_for("the sleep", PATIENCE, || runs(&instance, &id, "sleep 4715").then_some(()));
    typist.types("\u{3}");
    wait_for("its end", PATIENCE, || (!runs(&instance, &id, "sleep 4715")).then_some(()));
    typist.types("exit 5\r");
    assert_eq!(typist.child.wait().unwrap().code(), Some(5));
}

#[test]
fn a_first_process_of_ours_passes_on_signals_reaps_and_gives_the_programs_code() {
    require!(host, busybox);
    let instance = Instance::with_busybox("attendant");
    let script = stays("(sleep 0.01 &); (true &); echo $$ $PPID; trap 'exit 3' TERM");
    let script = script.replace("trap 'exit 0' TERM; ", "");
    let app = with(container("app", &script), json!({ "linuxParameters": { "initProcessEnabled": true } }));
    let id = instance.launch(&definition("attendant", &[app]));
    instance.running(&id);
    let said = instance.printed(&id, "app", "\n");
    let numbers: Vec<&str> = said.split_whitespace().collect();
    assert!(numbers[0] != "1" && numbers[1] == "1", "{said}");
    let look = "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm; grep -c . /proc/1/environ; ls -l /proc/1/fd | grep -vc ' /\\|pipe'";
    let first = instance.cli(&["exec", &id, "--", "sh", "-c", look]).out;
    assert!(first.starts_with("hythe init ") && first.contains("hythe-init\n0\n"), "{first}");
    wait_for("no zombie", PATIENCE, || {
        let states = instance.cli(&["exec", &id, "--", "sh", "-c", "cat /proc/[0-9]*/stat"]).out;
        (!states.lines().any(|line| line.contains(") Z "))).then_some(())
    });
    assert!(!instance.stored(&id)["notEnforced"].to_string().contains("initProcess"));
    let task = instance.stop(&id);
    assert_eq!(task["containers"][0]["exitCode"], 3, "{task:#}");
}

#[test]
fn a_first_process_of_ours_gets_along_with_everything_that_a_task_can_share() {
    require!(host, busybox);
    let instance = Instance::with_busybox("attendant-shared");
    let init = json!({ "linuxParameters": { "initProcessEnabled": true } });
    let app =
        |name: &str| with(container(name, &stays("echo $(cat /proc/1/comm) $PPID; true &")), init.clone());
    let document = with(
        definition("attendant-shared", &[app("one"), app("two")]),
        json!({ "pidMode": "task", "ipcMode": "task" }),
    );
    let id = instance.launch(&document);
    instance.running(&id);
    for name in ["one", "two"] {
        let said = instance.printed(&id, name, "\n");
        let (first, parent) = said.trim().split_once(' ').unwrap();
        assert!(
            first == "hythe-init" && parent != "1",
            "the task has one, and each container its own: {said}"
        );
    }
    let task = instance.stop(&id);
    assert_eq!(task["containers"][0]["exitCode"], 0, "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn a_program_that_is_missing_is_told_of_although_a_first_process_of_ours_is_there() {
    require!(host, busybox);
    let instance = Instance::with_busybox("attendant-missing");
    let init = json!({ "linuxParameters": { "initProcessEnabled": true }, "command": ["no-such-program"] });
    let (_, task) = instance.ran(&definition("attendant-missing", &[with(container("app", ""), init)]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(task["containers"][0]["reason"].to_string().contains("no-such-program"), "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn the_program_behind_the_first_process_cannot_be_written_from_inside() {
    require!(host, busybox);
    let instance = Instance::with_busybox("attendant-exe");
    let app = with(
        container("app", FOREVER),
        json!({ "linuxParameters": { "initProcessEnabled": true, "capabilities": { "add": ["SYS_PTRACE"] } } }),
    );
    let id = instance.launch(&definition("attendant-exe", &[app]));
    instance.running(&id);
    let before = std::fs::metadata(env!("CARGO_BIN_EXE_hythe")).unwrap();
    // A program that runs cannot be written to anyway; its mode can be changed only where the mount may be written.
    let script = "readlink /proc/1/exe; exec 9</proc/1/exe
        for exe in /proc/1/exe /proc/self/fd/9; do
            (: >>$exe) 2>/dev/null && echo written
            chmod 777 $exe 2>&1 | grep -o 'Read-only file system'
        done";
    let said = instance.cli(&["exec", &id, "--", "sh", "-c", script]).out;
    assert_eq!(said, "/\nRead-only file system\nRead-only file system\n", "not even its place is told");
    let after = std::fs::metadata(env!("CARGO_BIN_EXE_hythe")).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
    assert_eq!(before.mode(), after.mode());
}
