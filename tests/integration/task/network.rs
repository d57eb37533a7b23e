//! The four network modes, seen from the host.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{
    Instance, PATIENCE, require,
    tasks::{address, document, host_port, id, shell, with},
    wait_for,
};

/// A container that answers HTTP with `word`.
pub(super) fn server(word: &str, port: u16, mapping: &Value) -> Value {
    with(
        shell("web", &format!("echo {word} > /index.html; exec httpd -f -p {port} -h /")),
        json!({ "portMappings": [mapping] }),
    )
}

/// What an HTTP server answers; none when there is no answer.
pub(super) fn fetch(host: &str, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.rsplit("\r\n\r\n").next()?.trim().to_owned())
}

/// Waits for an answer; a server that has just been started may not listen yet.
#[track_caller]
pub(super) fn answer(host: &str, port: u16) -> String {
    wait_for(&format!("an answer of {host}:{port}"), PATIENCE, || fetch(host, port))
}

#[test]
fn a_bridge_task_is_reached_through_a_fixed_and_a_dynamic_port() {
    require!(host, busybox);
    let instance = Instance::start("bridge");
    let fixed = instance
        .run(document("fixed", &[server("fixed", 80, &json!({ "containerPort": 80, "hostPort": 8080 }))]));
    let dynamic =
        instance.run(document("dynamic", &[server("dynamic", 80, &json!({ "containerPort": 80 }))]));
    assert_eq!(host_port(&instance.running(&fixed), "web", 80), 8080);
    let port = host_port(&instance.running(&dynamic), "web", 80);
    assert_ne!(port, 8080);
    for host in ["127.0.0.1", &instance.gateway()] {
        assert_eq!(answer(host, 8080), "fixed");
        assert_eq!(answer(host, port), "dynamic");
    }
    instance.stop(&fixed);
    instance.stop(&dynamic);
    assert_eq!(fetch("127.0.0.1", 8080), None, "the port goes with the task");
}

#[test]
fn an_awsvpc_task_has_an_address_of_its_own() {
    require!(host, busybox);
    let instance = Instance::start("awsvpc");
    let run = |word: &str| {
        let arn = instance.run(with(
            document(word, &[with(server(word, 80, &json!({ "containerPort": 80 })), json!({}))]),
            json!({ "networkMode": "awsvpc" }),
        ));
        address(&instance.running(&arn))
    };
    let one = instance.run(with(
        document("one", &[server("one", 7000, &json!({ "containerPort": 7000 }))]),
        json!({ "networkMode": "awsvpc" }),
    ));
    let one = address(&instance.running(&one));
    let two = run("two");
    let prefix = instance.subnet().replace("0.0/16", "");
    assert!(one.starts_with(&prefix) && two.starts_with(&prefix) && one != two, "{one} {two}");
    assert_eq!(answer(&one, 7000), "one");
    assert_eq!(answer(&two, 80), "two");
}

#[test]
fn a_host_task_sees_the_hosts_links_and_a_none_task_only_loopback() {
    require!(host, busybox);
    let instance = Instance::start("modes");
    let links = |mode: &str| {
        let arn = instance.run(with(
            document(mode, &[shell("main", "cut -d: -f1 /proc/net/dev | tail -n +3")]),
            json!({ "networkMode": mode }),
        ));
        instance.stopped(&arn);
        let said = instance.output(&arn, "main");
        said.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(links("host").contains(&instance.bridge()));
    assert_eq!(links("none"), ["lo"]);
}

#[test]
fn udp_is_published_and_answered() {
    require!(host, busybox);
    let instance = Instance::start("udp");
    let echo = with(
        shell("echo", "exec nc -u -l -p 9000 -e cat"),
        json!({ "portMappings": [{ "containerPort": 9000, "hostPort": 9000, "protocol": "udp" }] }),
    );
    let arn = instance.run(document("udp", &[echo]));
    instance.running(&arn);
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket of the test's own");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let said = wait_for("an echo", PATIENCE, || {
        socket.send_to(b"ping", "127.0.0.1:9000").ok()?;
        let mut buffer = [0; 16];
        let length = socket.recv(&mut buffer).ok()?;
        Some(buffer[..length].to_vec())
    });
    assert_eq!(said, b"ping");
}

#[test]
fn a_range_of_ports_is_published_whole() {
    require!(host, busybox);
    let instance = Instance::start("range");
    let servers = with(
        shell(
            "web",
            "for port in 81 82 83; do mkdir /$port; echo $port > /$port/index.html; httpd -p $port -h /$port; done; exec sleep 3600",
        ),
        json!({ "portMappings": [{ "containerPortRange": "81-83" }] }),
    );
    let arn = instance.run(document("range", &[servers]));
    let task = instance.running(&arn);
    let binding = &task["containers"][0]["networkBindings"][0];
    assert_eq!(binding["containerPortRange"], "81-83", "{task:#}");
    let range = binding["hostPortRange"].as_str().expect("a range on the host");
    let (first, last) = range.split_once('-').expect("a range has two ends");
    let (first, last): (u16, u16) = (first.parse().unwrap(), last.parse().unwrap());
    assert_eq!(last - first, 2, "as long as the other: {range}");
    for offset in 0..3 {
        assert_eq!(answer("127.0.0.1", first + offset), (81 + offset).to_string());
    }
}

#[test]
fn a_port_in_use_is_refused_by_name_and_leaves_nothing() {
    require!(host, busybox);
    let instance = Instance::start("inuse");
    let _taken =
        std::net::TcpListener::bind("0.0.0.0:8081").expect("the port is free in a namespace of our own");
    let arn = instance
        .register(document("inuse", &[server("x", 80, &json!({ "containerPort": 80, "hostPort": 8081 }))]));
    let said = instance.cli(&["run", "--wait", id(&arn)]);
    assert_ne!(said.code, 0);
    assert!(said.err.contains("8081") || said.err.contains("RESOURCE:PORTS"), "{}", said.err);
    instance.nothing_is_left();
}

#[test]
fn published_ports_come_back_when_somebody_flushes_the_rules() {
    require!(host, busybox, nft);
    let instance = Instance::start("flush");
    let arn = instance.run(document(
        "flush",
        &[server("still here", 80, &json!({ "containerPort": 80, "hostPort": 8082 }))],
    ));
    instance.running(&arn);
    assert_eq!(answer("127.0.0.1", 8082), "still here");
    let flushed = std::process::Command::new("nft").args(["flush", "ruleset"]).status().expect("nft runs");
    assert!(flushed.success());
    let said = wait_for("the rules to come back", Duration::from_secs(2), || fetch("127.0.0.1", 8082));
    assert_eq!(said, "still here");
}
