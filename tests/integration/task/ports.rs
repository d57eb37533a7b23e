//! Network modes and published ports, seen from the host.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, setns};

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, images,
    instance::Wish,
    leaks,
    outside::{HERE, Outside, THERE},
    require,
    stage::{FOREVER, ask_http, container, definition, one, serves, sh, stays, try_http, word},
    tasks::with,
    wait_for,
};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[expect(clippy::needless_pass_by_value, reason = "it is written at the call")]
fn publishing(container: Value, mapping: Value) -> Value {
    with(container, json!({ "portMappings": [mapping] }))
}

fn in_mode(document: Value, mode: &str) -> Value {
    with(document, json!({ "networkMode": mode }))
}

/// The host ports of a container, in order.
fn host_ports(task: &Value, name: &str) -> Vec<u16> {
    let bindings = one(task, name)["networkBindings"].as_array().into_iter().flatten();
    bindings.map(|binding| u16::try_from(binding["hostPort"].as_u64().unwrap()).unwrap()).collect()
}

#[test]
fn dynamic_ports_differ_and_lead_each_to_its_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("dynamic");
    let gateway: Ipv4Addr = instance.gateway().parse().unwrap();
    let tasks: Vec<(String, u16)> = ["one", "two", "three"]
        .map(|word| {
            let web = publishing(container("web", &serves(word, 80)), json!({ "containerPort": 80 }));
            let id = instance.launch(&in_mode(definition(word, &[web]), "bridge"));
            let task = instance.running(&id);
            let binding = &one(&task, "web")["networkBindings"][0];
            assert_eq!(
                (&binding["containerPort"], &binding["protocol"]),
                (&json!(80), &json!("tcp")),
                "{task:#}"
            );
            (word.to_owned(), host_ports(&task, "web")[0])
        })
        .into();
    assert!(tasks[0].1 != tasks[1].1 && tasks[1].1 != tasks[2].1 && tasks[0].1 != tasks[2].1, "{tasks:?}");
    for (word, port) in &tasks {
        assert_eq!(&ask_http(LOCALHOST, *port), word, "over loopback");
        assert_eq!(&ask_http(gateway, *port), word, "over the host's address");
    }
}

#[test]
fn another_host_reaches_a_published_port_and_is_reached() {
    require!(host, busybox);
    let instance = Instance::with_busybox("outside");
    let outside = Outside::new();
    let web =
        publishing(container("web", &serves("inside", 80)), json!({ "containerPort": 80, "hostPort": 8086 }));
    let id = instance.launch(&definition("outside", &[web]));
    instance.running(&id);
    let url = format!("http://{HERE}:8086/");
    wait_for("an answer to the other host", PATIENCE, || {
        let asked = outside.run(&["timeout", "5", "busybox", "wget", "-q", "-O", "-", &url]);
        (asked.stdout == b"inside\n").then_some(())
    });
    // It knows no way to the tasks' network, so an answer means that the task was taken for the host.
    let pings = container("pings", &format!("ping -c 1 -W 5 {THERE} | grep -c ' 0% packet loss'"));
    assert_eq!(instance.says(&pings), "1\n");
}

#[test]
fn a_fixed_port_is_published_and_given_back() {
    require!(host, busybox);
    let instance = Instance::with_busybox("fixed");
    let web =
        publishing(container("web", &serves("fixed", 80)), json!({ "containerPort": 80, "hostPort": 8080 }));
    let document = definition("fixed", &[web]);
    for _ in 0..2 {
        let id = instance.launch(&document);
        assert_eq!(host_ports(&instance.running(&id), "web"), [8080]);
        assert_eq!(ask_http(LOCALHOST, 8080), "fixed");
        let second = instance.api("RunTask", json!({ "taskDefinition": "fixed" }));
        let reason = word(&second["failures"][0], "reason").to_owned();
        assert!(reason.starts_with("RESOURCE:PORTS"), "{second:#}");
        instance.stop(&id);
        assert!(try_http(LOCALHOST, 8080).is_none(), "nobody answers any more");
    }
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).expect("the port is free again");
}

#[test]
fn a_port_in_use_on_the_host_fails_the_task_with_its_number() {
    require!(host, busybox);
    let instance = Instance::with_busybox("in-use");
    let _taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8081)).unwrap();
    let web =
        publishing(container("web", &serves("never", 80)), json!({ "containerPort": 80, "hostPort": 8081 }));
    let (_, task) = instance.ran(&definition("in-use", &[web]));
    assert_eq!(task["stopCode"], "TaskFailedToStart", "{task:#}");
    let reason = word(&task, "stoppedReason");
    assert!(reason.contains("8081") && reason.contains("in use"), "{reason}");
    instance.nothing_is_left();
}

#[test]
fn datagrams_are_published_too() {
    require!(host, busybox);
    let instance = Instance::with_busybox("udp");
    let mapping = json!({ "containerPort": 5353, "hostPort": 5354, "protocol": "udp" });
    let id = instance.launch(&definition("udp", &[publishing(container("echo", FOREVER), mapping)]));
    instance.running(&id);
    let done = AtomicBool::new(false);
    let network = File::open(format!("/proc/{}/ns/net", instance.pid(&id, "echo"))).unwrap();
    thread::scope(|scope| {
        // Busybox has no server for datagrams, so this one is the task's by its network.
        scope.spawn(|| {
            setns(&network, CloneFlags::CLONE_NEWNET).unwrap();
            echo_datagrams(5353, &done);
        });
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let gateway: Ipv4Addr = instance.gateway().parse().unwrap();
        for address in [LOCALHOST, gateway] {
            wait_for(&format!("an echo from {address}"), PATIENCE, || {
                socket.send_to(b"hello", (address, 5354)).ok()?;
                let mut buffer = [0; 16];
                let length = socket.recv(&mut buffer).ok()?;
                (&buffer[..length] == b"hello").then_some(())
            });
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// Sends back what comes, until it is `done`.
fn echo_datagrams(port: u16, done: &AtomicBool) {
    let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut buffer = [0; 16];
    while !done.load(Ordering::Relaxed) {
        if let Ok((length, from)) = server.recv_from(&mut buffer) {
            let _ = server.send_to(&buffer[..length], from);
        }
    }
}

#[test]
fn a_range_of_ports_is_published_as_a_range() {
    require!(host, busybox);
    let instance = Instance::with_busybox("range");
    let script = stays(
        "for p in 7000 7001 7002; do mkdir -p /tmp/$p; echo port $p >/tmp/$p/index.html; httpd -p $p -h /tmp/$p; done",
    );
    let web = publishing(container("web", &script), json!({ "containerPortRange": "7000-7002" }));
    let id = instance.launch(&definition("range", &[web]));
    let task = instance.running(&id);
    let bindings = &one(&task, "web")["networkBindings"];
    assert_eq!(bindings.as_array().map(Vec::len), Some(1), "a range is one binding: {task:#}");
    assert_eq!(word(&bindings[0], "containerPortRange"), "7000-7002");
    let (first, last) = word(&bindings[0], "hostPortRange").split_once('-').unwrap();
    let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first, 2, "the host's ports are in a row: {task:#}");
    let listed = instance.cli(&["ps"]).ok();
    assert!(listed.contains(&format!("{first}-{last}->7000-7002/tcp")), "{listed}");
    for offset in 0..3 {
        assert_eq!(ask_http(LOCALHOST, first + offset), format!("port {}", 7000 + offset));
    }
}

#[test]
fn a_task_of_its_own_interface_has_an_address_that_answers() {
    require!(host, busybox);
    let instance = Instance::with_busybox("awsvpc");
    let web = publishing(container("web", &serves("own", 8000)), json!({ "containerPort": 8000 }));
    let id = instance.launch(&in_mode(definition("own", &[web]), "awsvpc"));
    let task = instance.running(&id);
    let address: Ipv4Addr =
        word(&one(&task, "web")["networkInterfaces"][0], "privateIpv4Address").parse().unwrap();
    let subnet = instance.subnet();
    assert_eq!(address.octets()[..2], subnet.parse_prefix(), "{address} is in {subnet}");
    let details = task["attachments"][0]["details"].as_array().unwrap();
    assert!(
        details.iter().any(|one| one["name"] == "privateIPv4Address" && one["value"] == address.to_string())
    );
    assert_eq!(ask_http(address, 8000), "own");
    // Another task reaches it over the bridge.
    let asks = container("asks", &format!("wget -q -O - http://{address}:8000/"));
    assert_eq!(instance.says_in(&in_mode(definition("asks", &[asks]), "awsvpc")), "own\n");
}

trait Prefix {
    fn parse_prefix(&self) -> [u8; 2];
}

impl Prefix for String {
    fn parse_prefix(&self) -> [u8; 2] {
        let mut parts = self.split('.').map(|part| part.parse().unwrap_or(0));
        [parts.next().unwrap(), parts.next().unwrap()]
    }
}

#[test]
fn the_modes_host_and_none_have_the_hosts_network_and_none() {
    require!(host, busybox);
    let instance = Instance::with_busybox("modes");
    let script = "readlink /proc/self/ns/net; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ' | sort | tr '\\n' ' '";
    let said = instance.says_in(&in_mode(definition("host", &[container("app", script)]), "host"));
    let own = fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert!(said.starts_with(own.to_str().unwrap()) && said.contains(&instance.bridge()), "{said}");
    let said = instance.says_in(&in_mode(definition("none", &[container("app", script)]), "none"));
    assert!(!said.starts_with(own.to_str().unwrap()) && said.trim().ends_with("\nlo"), "{said}");
    let web = publishing(container("web", &serves("host", 8123)), json!({ "containerPort": 8123 }));
    let id = instance.launch(&in_mode(definition("web", &[web]), "host"));
    instance.running(&id);
    assert_eq!(ask_http(LOCALHOST, 8123), "host");
}

#[test]
fn a_flushed_rule_set_is_restored_and_ports_answer_again() {
    require!(host, busybox, nft);
    let instance = Instance::with_busybox("flush");
    let web =
        publishing(container("web", &serves("again", 80)), json!({ "containerPort": 80, "hostPort": 8082 }));
    let id = instance.launch(&definition("flush", &[web]));
    instance.running(&id);
    assert_eq!(ask_http(LOCALHOST, 8082), "again");
    sh("nft add table inet stranger; nft flush ruleset; nft add table inet stranger");
    let table = format!("table {}", "inet");
    wait_for("the table", PATIENCE, || {
        let rules = leaks::ruleset();
        (rules.contains(&table) && rules.contains(&instance.table())).then_some(())
    });
    assert_eq!(ask_http(LOCALHOST, 8082), "again");
    assert!(leaks::ruleset().contains("stranger"), "nobody else's table is touched");
    sh("nft delete table inet stranger");
}

#[test]
fn a_removed_bridge_or_link_does_not_end_the_daemon() {
    require!(host, busybox);
    let instance = Instance::with_busybox("bridge-gone");
    let id = instance.launch(&definition("before", &[container("app", FOREVER)]));
    instance.running(&id);
    sh(&format!("ip link delete {}", instance.bridge()));
    wait_for("the bridge", PATIENCE, || {
        let links = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        links.contains(&format!("{}:", instance.bridge())).then_some(())
    });
    let web =
        publishing(container("web", &serves("after", 80)), json!({ "containerPort": 80, "hostPort": 8083 }));
    let id = instance.launch(&definition("after", &[web]));
    instance.running(&id);
    assert_eq!(ask_http(LOCALHOST, 8083), "after");
}

#[test]
fn ports_can_be_published_on_one_address_only() {
    require!(host, busybox);
    let mut instance = Instance::prepare("bind-address", Wish::default());
    let file = instance.path("hythe.toml");
    let written = fs::read_to_string(&file).unwrap();
    // The last table of the file is that of the network.
    fs::write(&file, format!("{written}publish_address = \"127.0.0.1\"\n")).unwrap();
    instance.start_daemon();
    instance.load(&images::busybox(), "busybox");
    let web =
        publishing(container("web", &serves("one", 80)), json!({ "containerPort": 80, "hostPort": 8084 }));
    let id = instance.launch(&definition("bind", &[web]));
    let task = instance.running(&id);
    assert_eq!(one(&task, "web")["networkBindings"][0]["bindIP"], "127.0.0.1", "{task:#}");
    assert_eq!(ask_http(LOCALHOST, 8084), "one");
    assert!(try_http(instance.gateway().parse().unwrap(), 8084).is_none());
}

#[test]
fn ports_stay_published_while_the_daemon_is_dead() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("dead");
    let web =
        publishing(container("web", &serves("on", 80)), json!({ "containerPort": 80, "hostPort": 8085 }));
    let id = instance.launch(&definition("dead", &[web]));
    instance.running(&id);
    assert_eq!(ask_http(LOCALHOST, 8085), "on");
    instance.kill_daemon();
    assert_eq!(ask_http(LOCALHOST, 8085), "on");
    instance.start_daemon();
    assert_eq!(ask_http(LOCALHOST, 8085), "on");
    assert_eq!(host_ports(&instance.running(&id), "web"), [8085]);
    let taken = instance.api("RunTask", json!({ "taskDefinition": "dead" }));
    assert!(word(&taken["failures"][0], "reason").starts_with("RESOURCE:PORTS"), "{taken:#}");
}
