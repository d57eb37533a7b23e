//! Who a container is: user, host name, names of others, limits of its processes, terminal.

use serde_json::{Value, json};

use crate::harness::{
    Instance, require,
    stage::{FOREVER, after, container, definition, stays, word},
    tasks::with,
};

#[test]
fn a_user_is_found_in_the_images_own_files() {
    require!(host, busybox);
    let instance = Instance::with_busybox("user");
    let id = |user: &str| {
        instance.says(&with(container("app", "id -u; id -g; id -G; echo $HOME"), json!({ "user": user })))
    };
    assert_eq!(id("app"), "1000\n1000\n1000 4 100\n/home/app\n");
    assert_eq!(id("33"), "33\n33\n33\n/var/www\n");
    assert_eq!(id("app:users"), "1000\n100\n100\n/home/app\n");
    assert_eq!(id("4242:4343"), "4242\n4343\n4343\n/\n");
}

#[test]
fn whom_a_container_runs_as_is_explained() {
    require!(host, busybox);
    let instance = Instance::with_busybox("whom");
    let user = |name: &str, user: &str| with(container(name, FOREVER), json!({ "user": user }));
    let all = [user("named", "app"), user("numbered", "4242:4343"), container("silent", FOREVER)];
    let id = instance.launch(&definition("whom", &all));
    instance.running(&id);
    let told = instance.cli(&["explain", &id]).ok();
    for (name, parts) in [
        (
            "named",
            ["user app of the task definition", "uid 1000, gid 1000, groups 4 100; the same on the host"],
        ),
        ("numbered", ["user 4242:4343 of the task definition", "uid 4242, gid 4343, no more groups; "]),
        ("silent", ["root: neither the task definition nor the image names a user", "uid 0, gid 0, "]),
    ] {
        let line =
            told.lines().find(|line| line.starts_with(&format!("user of {name} "))).unwrap_or_default();
        assert!(parts.iter().all(|part| line.contains(part)) && line.trim_end().ends_with("met"), "{told}");
    }
}

#[test]
fn a_user_that_the_image_does_not_know_fails_the_task_with_its_name() {
    require!(host, busybox);
    let instance = Instance::with_busybox("nobody");
    let (_, task) =
        instance.ran(&definition("nobody", &[with(container("app", "true"), json!({ "user": "zaphod" }))]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    assert!(word(&task, "stoppedReason").contains("zaphod"), "{task:#}");
    instance.nothing_is_left();
}

#[test]
fn names_and_servers_are_as_the_definition_says() {
    require!(host, busybox);
    let instance = Instance::with_busybox("names");
    let script =
        "hostname; cat /proc/sys/kernel/hostname; cat /etc/hostname; cat /etc/hosts; cat /etc/resolv.conf";
    let said = instance.says(&with(
        container("app", script),
        json!({
            "hostname": "web.example",
            "extraHosts": [{ "hostname": "db", "ipAddress": "192.0.2.7" }],
            "dnsServers": ["192.0.2.53", "192.0.2.54"],
            "dnsSearchDomains": ["corp.example"],
        }),
    ));
    assert!(said.starts_with("web.example\nweb.example\nweb.example\n"), "{said}");
    let has = |words: &[&str]| said.lines().any(|line| line.split_whitespace().eq(words.iter().copied()));
    assert!(has(&["192.0.2.7", "db"]), "{said}");
    assert!(has(&["nameserver", "192.0.2.53"]) && has(&["nameserver", "192.0.2.54"]), "{said}");
    assert!(has(&["search", "corp.example"]), "{said}");
    assert!(said.lines().any(|line| line.starts_with("127.0.0.1") && line.contains("localhost")), "{said}");
}

#[test]
fn a_container_without_a_name_gets_the_beginning_of_its_tasks_id() {
    require!(host, busybox);
    let instance = Instance::with_busybox("hostname");
    let (id, _) = instance.ran(&definition("hostname", &[container("app", "hostname")]));
    let said = instance.said(&id, "app");
    assert!(id.starts_with(said.trim()) && said.trim().len() >= 8, "{said}");
}

#[test]
fn limits_of_processes_hold() {
    require!(host, busybox);
    let instance = Instance::with_busybox("ulimits");
    let limit =
        |name: &str, soft: i64, hard: i64| json!({ "name": name, "softLimit": soft, "hardLimit": hard });
    let limits =
        json!({ "ulimits": [limit("nofile", 64, 128), limit("core", 0, 0), limit("fsize", 4096, 8192)] });
    let script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; (head -c 100000 /dev/zero >/tmp/f) 2>/dev/null; stat -c %s /tmp/f";
    let said = instance.says(&with(container("app", script), limits));
    // The shell's complaint is on the other stream, and may come anywhere.
    let numbers: Vec<&str> = said.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    assert_eq!(numbers, ["64", "128", "0", "4096"], "{said}");
}

#[test]
fn a_limit_that_the_host_cannot_raise_is_cut_and_said() {
    require!(host, busybox);
    let instance = Instance::with_busybox("raise");
    let limits = json!({ "ulimits": [{ "name": "nofile", "softLimit": 1 << 30, "hardLimit": 1 << 30 }] });
    let (id, task) = instance.ran(&definition("raise", &[with(container("app", "ulimit -Hn"), limits)]));
    assert_eq!(task["containers"][0]["exitCode"], 0, "it does not stop the task: {task:#}");
    let got: u64 = instance.said(&id, "app").trim().parse().unwrap();
    let notes = instance.stored(&id)["notEnforced"].to_string();
    assert!(got == 1 << 30 || notes.to_lowercase().contains("nofile"), "{got} {notes}");
}

#[test]
fn a_terminal_is_there_when_it_is_asked_for() {
    require!(host, busybox);
    let instance = Instance::with_busybox("terminal");
    let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal || echo none; echo $TERM";
    let said = instance
        .says(&with(container("app", script), json!({ "pseudoTerminal": true, "interactive": true })));
    assert!(said.starts_with("terminal") && said.contains("xterm"), "{said}");
    assert!(instance.says(&container("app", script)).starts_with("none\n"));
}

#[test]
fn the_terminal_is_the_containers_own_and_belongs_to_its_user() {
    require!(host, busybox);
    let instance = Instance::with_busybox("own-terminal");
    let look = "tty; stat -c %u /dev/pts/0; echo through >/dev/console; echo again >/dev/tty; echo done";
    for init in [false, true] {
        let wanted = json!({
            "pseudoTerminal": true, "user": "1000", "linuxParameters": { "initProcessEnabled": init },
        });
        let app = with(container("app", &stays(look)), wanted);
        let id = instance.launch(&definition("own-terminal", &[app]));
        instance.running(&id);
        let said = instance.printed(&id, "app", "done");
        let lines: Vec<&str> = said.lines().map(str::trim).collect();
        assert_eq!(lines, ["/dev/pts/0", "1000", "through", "again", "done"], "{said}");
        // It is in no terminals but the container's: its number is the first there, on a device of its own.
        let own = nix::sys::stat::stat(format!("/proc/{}/root/dev/pts/0", instance.pid(&id, "app")).as_str());
        let hosts = nix::sys::stat::stat("/dev/pts/ptmx").or_else(|_| nix::sys::stat::stat("/dev/null"));
        assert_ne!(own.unwrap().st_dev, hosts.unwrap().st_dev);
        instance.stop(&id);
    }
}

#[test]
fn processes_are_shared_in_the_task_when_it_asks_for_it() {
    require!(host, busybox);
    let instance = Instance::with_busybox("pid-mode");
    let web = container("web", &stays("echo $$"));
    let spy = with(container("spy", "ps -o args | grep -c 'sleep 10000[0]'"), after("web", "START"));
    let count = |document: &Value| -> u32 {
        let (id, _) = instance.ran(document);
        instance.said(&id, "spy").trim().parse().unwrap()
    };
    let document = definition("pid-mode", &[spy, web]);
    assert_eq!(count(&document), 0, "each container has its own");
    assert!(count(&with(document, json!({ "pidMode": "task" }))) >= 1);
}

#[test]
fn shared_memory_has_its_size_and_can_be_shared_in_the_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("ipc");
    let script = "df -m /dev/shm | tail -1 | awk '{print $2}'";
    assert_eq!(instance.says(&container("app", script)), "64\n");
    let sized = with(container("app", script), json!({ "linuxParameters": { "sharedMemorySize": 16 } }));
    assert_eq!(instance.says(&sized), "16\n");
    let writer = container("writer", &stays("echo ours >/dev/shm/word"));
    let script = "n=0; until cat /dev/shm/word 2>/dev/null || [ $n = 50 ]; do usleep 20000; n=$((n+1)); done";
    let reader = with(container("reader", script), after("writer", "START"));
    let document = with(definition("ipc", &[reader, writer]), json!({ "ipcMode": "task" }));
    let (id, task) = instance.ran(&document);
    assert_eq!(instance.said(&id, "reader"), "ours\n", "{task:#}");
    let wide = with(container("reader", "df -m /dev/shm | tail -1 | awk '{print $2}'"), json!({}));
    let narrow = with(container("other", "true"), json!({ "linuxParameters": { "sharedMemorySize": 16 } }));
    let document = with(
        definition("ipc-size", &[wide, with(narrow, json!({ "essential": false }))]),
        json!({ "ipcMode": "task" }),
    );
    assert_eq!(instance.says_in(&document), "16\n", "what one asks for is there for all");
}

#[test]
fn kernel_parameters_of_the_tasks_namespaces_are_set() {
    require!(host, busybox);
    let instance = Instance::with_busybox("sysctl");
    let controls = json!({ "systemControls": [
        { "namespace": "net.ipv4.ip_unprivileged_port_start", "value": "77" },
        { "namespace": "kernel.msgmax", "value": "4444" },
    ] });
    let script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax";
    assert_eq!(instance.says(&with(container("app", script), controls)), "77\n4444\n");
}

#[test]
fn a_small_first_process_is_there_when_it_is_asked_for() {
    require!(host, busybox);
    let instance = Instance::with_busybox("init");
    let script = format!("echo $$; {FOREVER}");
    let app = with(container("app", &script), json!({ "linuxParameters": { "initProcessEnabled": true } }));
    let id = instance.launch(&definition("init", &[app]));
    instance.running(&id);
    let said = instance.printed(&id, "app", "\n");
    assert_ne!(said.trim(), "1");
    let task = instance.stop(&id);
    assert_eq!(task["containers"][0]["exitCode"], 0, "the signal arrives: {task:#}");
}
