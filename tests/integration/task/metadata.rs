//! What a task learns of itself by ECS's metadata endpoint, and that nobody else does.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use hythe::kernel::namespace::within_network;
use serde_json::{Value, json};
use std::os::fd::AsFd as _;

mod now;

use crate::harness::{
    Instance, PATIENCE, require, scaled,
    stage::{FOREVER, container, definition, one, sh, word},
    tasks::with,
    wait_for,
};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 170, 2);

/// A definition whose task has an interface that ECS shows.
pub fn awsvpc(family: &str, containers: &[Value]) -> Value {
    with(definition(family, containers), json!({ "networkMode": "awsvpc" }))
}

/// What a container is told at a URL, which may name variables.
#[track_caller]
pub fn told(instance: &Instance, id: &str, container: &str, url: &str) -> Value {
    let line = format!("wget -qO- {url}");
    let text = instance.cli(&["exec", id, container, "--", "sh", "-c", &line]).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{url}: {error}: {text}"))
}

/// A variable of a container.
#[track_caller]
pub fn variable(instance: &Instance, id: &str, container: &str, name: &str) -> String {
    let line = format!("echo ${name}");
    instance.cli(&["exec", id, container, "--", "sh", "-c", &line]).ok().trim().to_owned()
}

/// The network that a container is in.
pub struct Inside(File);

impl Inside {
    pub fn of(instance: &Instance, id: &str, container: &str) -> Self {
        let pid = instance.pid(id, container);
        Self(File::open(format!("/proc/{pid}/ns/net")).unwrap())
    }

    /// A connection from there.
    pub fn connect(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
        let to = SocketAddr::from((address, port));
        let dial = move || TcpStream::connect_timeout(&to, scaled(Duration::from_secs(3)));
        let stream = within_network(self.0.as_fd(), dial)??;
        stream.set_read_timeout(Some(scaled(Duration::from_secs(20))))?;
        Ok(stream)
    }

    /// What is answered to these bytes: the status and the body.
    #[track_caller]
    pub fn says(&self, bytes: &[u8]) -> (u16, String) {
        let mut stream = self.connect(ADDRESS, 80).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.unwrap_or_else(|| panic!("no status in {answer:?}")), body.unwrap_or_default())
    }

    /// What is answered to a `GET`.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.says(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
    }
}

/// The path of a URL of the endpoint.
fn path(url: &str) -> &str {
    url.strip_prefix("http://169.254.170.2").unwrap_or_else(|| panic!("{url} is not the endpoint"))
}

#[test]
fn a_container_learns_of_itself_and_its_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("metadata");
    let web = with(
        container("web", FOREVER),
        json!({
            "cpu": 128, "dockerLabels": { "team": "blue" }, "portMappings": [{ "containerPort": 8080 }],
            "healthCheck": { "command": ["CMD", "true"], "interval": 5 },
            "restartPolicy": { "enabled": true },
        }),
    );
    let job = with(container("job", "exit 3"), json!({ "essential": false }));
    let document = with(awsvpc("self", &[web, job]), json!({ "cpu": "512", "memory": "256" }));
    let id = instance.launch_with(&document, json!({ "tags": [{ "key": "stage", "value": "test" }] }));
    instance.running(&id);
    let described = instance.until(&id, "health and the end of the job", |task| {
        let is_over = one(task, "job")["lastStatus"] == "STOPPED";
        (is_over && one(task, "web")["healthStatus"] == "HEALTHY").then(|| task.clone())
    });

    let own = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4");
    let web = one(&described, "web");
    assert_eq!(own["DockerId"], web["runtimeId"], "{own:#}");
    assert_eq!(own["ContainerARN"], web["containerArn"], "{own:#}");
    assert_eq!(own["ImageID"], web["imageDigest"], "{own:#}");
    assert_eq!(
        (&own["Name"], &own["Image"], &own["Type"]),
        (&json!("web"), &json!("busybox"), &json!("NORMAL"))
    );
    assert_eq!((&own["DesiredStatus"], &own["KnownStatus"]), (&json!("RUNNING"), &json!("RUNNING")));
    assert_eq!(own["Limits"], json!({ "CPU": 128.0, "Memory": 64 }));
    assert_eq!(own["Health"]["status"], "HEALTHY");
    assert_eq!((&own["RestartCount"], &own["LogDriver"]), (&json!(0), &json!("json-file")));
    let labels = &own["Labels"];
    assert_eq!(labels["team"], "blue");
    assert_eq!(labels["com.amazonaws.ecs.container-name"], "web");
    assert_eq!(labels["com.amazonaws.ecs.task-arn"], described["taskArn"]);
    assert!(word(&own, "StartedAt").ends_with('Z') && word(&own, "CreatedAt") <= word(&own, "StartedAt"));
    let network = &own["Networks"][0];
    let address = &web["networkInterfaces"][0]["privateIpv4Address"];
    assert_eq!((&network["NetworkMode"], &network["IPv4Addresses"][0]), (&json!("awsvpc"), address));
    assert_eq!(network["IPv4SubnetCIDRBlock"], instance.subnet());
    assert_eq!(network["SubnetGatewayIpv4Address"], format!("{}/16", instance.gateway()));
    assert_eq!(own["Ports"][0]["ContainerPort"], 8080);

    let task = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4/task");
    assert_eq!(task["TaskARN"], described["taskArn"], "{task:#}");
    assert_eq!((&task["Family"], &task["Revision"]), (&json!("self"), &json!("1")));
    assert_eq!(
        (&task["Cluster"], &task["AvailabilityZone"]),
        (&json!("default"), &described["availabilityZone"])
    );
    assert_eq!(task["Limits"], json!({ "CPU": 0.5, "Memory": 256 }));
    assert_eq!((&task["DesiredStatus"], &task["KnownStatus"]), (&json!("RUNNING"), &json!("RUNNING")));
    assert!(word(&task, "PullStartedAt") <= word(&task, "PullStoppedAt"), "{task:#}");
    let names: Vec<&str> =
        task["Containers"].as_array().unwrap().iter().map(|one| word(one, "Name")).collect();
    assert_eq!(names, ["web", "job"]);
    let job = &task["Containers"][1];
    assert_eq!((&job["KnownStatus"], &job["ExitCode"]), (&json!("STOPPED"), &json!(3)), "{job:#}");
    assert!(word(job, "FinishedAt") >= word(job, "StartedAt"), "{job:#}");
    assert_eq!(task.get("TaskTags"), None, "{task:#}");
    let tagged = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4/taskWithTags");
    assert_eq!(tagged["TaskTags"], json!({ "stage": "test" }));

    let older = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI");
    assert_eq!((&older["DockerId"], older.get("ContainerARN")), (&own["DockerId"], None), "{older:#}");
    assert_eq!(older["Networks"], json!([{ "NetworkMode": "awsvpc", "IPv4Addresses": [address] }]));
    let older = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI/task");
    assert_eq!((&older["TaskARN"], older.get("LaunchType")), (&task["TaskARN"], None), "{older:#}");
}

#[test]
fn a_container_learns_where_its_ports_and_volumes_are() {
    require!(host, busybox);
    let instance = Instance::with_busybox("metadata-ports");
    let web = with(
        container("web", FOREVER),
        json!({
            "portMappings": [{ "containerPort": 80 }, { "containerPortRange": "7000-7001", "protocol": "udp" }],
            "mountPoints": [{ "sourceVolume": "data", "containerPath": "/data" }],
            "logConfiguration": { "logDriver": "json-file", "options": { "max-file": "2" } },
        }),
    );
    let document = with(definition("places", &[web]), json!({ "volumes": [{ "name": "data" }] }));
    let id = instance.launch(&document);
    let task = instance.running(&id);
    let own = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4");
    let bindings = &one(&task, "web")["networkBindings"];
    let (one_port, range) = (&bindings[0]["hostPort"], word(&bindings[1], "hostPortRange"));
    let first: u16 = range.split('-').next().unwrap().parse().unwrap();
    let port = |container: u16, protocol: &str, host: Value| json!({ "ContainerPort": container, "Protocol": protocol, "HostPort": host, "HostIp": "0.0.0.0" });
    let expected = [
        port(80, "tcp", one_port.clone()),
        port(7000, "udp", first.into()),
        port(7001, "udp", (first + 1).into()),
    ];
    assert_eq!(own["Ports"], json!(expected), "{task:#}");
    assert_eq!(own["Networks"][0]["NetworkMode"], "bridge", "{own:#}");
    assert_eq!(own["Networks"][0].get("MACAddress"), None, "{own:#}");
    assert_eq!(own["Volumes"].as_array().map(Vec::len), Some(1), "{own:#}");
    assert_eq!(own["Volumes"][0]["Destination"], "/data", "{own:#}");
    assert_eq!(own["LogOptions"], json!({ "max-file": "2" }));
    assert_eq!((own.get("Health"), own.get("RestartCount")), (None, None), "{own:#}");
    let task = told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4/task");
    assert_eq!(task.get("Limits"), None, "{task:#}");
    // The command may end with the container that it ends.
    instance.cli(&["exec", &id, "web", "--", "sh", "-c", "kill -TERM 1"]);
    instance.stopped(&id);
}

#[test]
fn what_a_container_uses_is_told_as_docker_tells_it() {
    require!(host, busybox, cgroup_memory, cgroup_pids);
    let instance = Instance::with_busybox("stats");
    let idle = container("idle", FOREVER);
    let id = instance.launch(&definition("stats", &[container("busy", FOREVER), idle]));
    instance.running(&id);
    let stats = || told(&instance, &id, "busy", "$ECS_CONTAINER_METADATA_URI_V4/stats");
    let first = stats();
    assert_eq!(first["preread"], "0001-01-01T00:00:00Z", "{first:#}");
    assert!(first.get("network_rate_stats").is_none(), "{first:#}");
    let work = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; wget -qO- $ECS_CONTAINER_METADATA_URI_V4/task >/dev/null";
    instance.cli(&["exec", &id, "busy", "--", "sh", "-c", work]).ok();
    let second = stats();
    let number = |stats: &Value, path: &str| {
        let found = stats.pointer(path).and_then(Value::as_u64);
        found.unwrap_or_else(|| panic!("no {path} in {stats:#}"))
    };
    assert_eq!(second["preread"], first["read"], "{second:#}");
    assert_eq!(second["precpu_stats"], first["cpu_stats"], "{second:#}");
    for path in ["/cpu_stats/cpu_usage/total_usage", "/cpu_stats/system_cpu_usage"] {
        assert!(number(&second, path) > number(&first, path), "{path}: {first:#} {second:#}");
    }
    assert!(number(&second, "/cpu_stats/online_cpus") > 0);
    assert_eq!(number(&second, "/memory_stats/limit"), 64 << 20);
    assert!(number(&second, "/memory_stats/usage") > 0 && second["memory_stats"]["stats"].is_object());
    assert!(number(&second, "/pids_stats/current") > 0);
    assert!(second["blkio_stats"]["io_service_bytes_recursive"].is_array());
    assert!(second["networks"]["eth0"]["rx_bytes"].is_u64() && second["network_rate_stats"].is_object());

    let all = told(&instance, &id, "idle", "$ECS_CONTAINER_METADATA_URI_V4/task/stats");
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert_eq!(names, [&format!("{id}-busy"), &format!("{id}-idle")]);
    assert_eq!(all[format!("{id}-idle")]["id"], format!("{id}-idle"));
}

#[test]
fn the_endpoint_leaves_port_80_to_the_containers() {
    require!(host, busybox);
    let instance = Instance::with_busybox("port-80");
    let script = format!("mkdir /www; echo mine >/www/index.html; httpd -p 80 -h /www\n{FOREVER}");
    let id = instance.launch(&definition("port-80", &[container("web", &script)]));
    instance.running(&id);
    let page = wait_for("the container's own server", PATIENCE, || {
        let said = instance.cli(&["exec", &id, "web", "--", "wget", "-qO-", "http://127.0.0.1/"]);
        (said.code == 0).then_some(said.out)
    });
    assert_eq!(page, "mine\n");
    assert_eq!(told(&instance, &id, "web", "$ECS_CONTAINER_METADATA_URI_V4")["Name"], "web");
}

#[test]
fn nobody_else_reaches_the_endpoint_of_a_task() {
    require!(host, busybox);
    let instance = Instance::with_busybox("metadata-walls");
    let document = awsvpc("walls", &[container("web", FOREVER)]);
    let (ours, other) = (instance.launch(&document), instance.launch(&document));
    let task = instance.running(&ours);
    instance.running(&other);
    let url = variable(&instance, &ours, "web", "ECS_CONTAINER_METADATA_URI_V4");
    let (inside, beside) = (Inside::of(&instance, &ours, "web"), Inside::of(&instance, &other, "web"));
    assert_eq!(inside.get(path(&url)).0, 200);
    let (status, body) = beside.get(path(&url));
    assert_eq!((status, body.contains("unable to find its container")), (404, true), "{body}");

    // Whoever may set routes sends packets to the address by way of the task; none is taken.
    let address: Ipv4Addr =
        one(&task, "web")["networkInterfaces"][0]["privateIpv4Address"].as_str().unwrap().parse().unwrap();
    sh(&format!("ip route add {ADDRESS}/32 via {address} dev {}", instance.bridge()));
    for port in [80, 51679] {
        let to = SocketAddr::from((ADDRESS, port));
        assert!(
            TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_err(),
            "port {port} from the host"
        );
        let to = SocketAddr::from((address, port));
        assert!(
            TcpStream::connect_timeout(&to, Duration::from_millis(500)).is_err(),
            "port {port} of the task"
        );
    }
    sh(&format!("ip route del {ADDRESS}/32"));
    // A connection from outside would fail by the ports of its answers alone; no packet of one is answered at all.
    let listeners = sh(&format!("nsenter --net=/proc/{}/ns/net ss -Hltn", instance.pid(&ours, "web")));
    assert!(listeners.contains("169.254.170.2%lo:51679"), "{listeners}");
    assert_eq!(inside.get(path(&url)).0, 200);
}

#[test]
fn a_task_is_answered_while_no_daemon_runs() {
    require!(host, busybox);
    let mut instance = Instance::with_busybox("metadata-crash");
    let id = instance.launch(&definition("crash", &[container("web", FOREVER)]));
    instance.running(&id);
    let url = variable(&instance, &id, "web", "ECS_CONTAINER_METADATA_URI_V4");
    let inside = Inside::of(&instance, &id, "web");
    instance.kill_daemon();
    for page in ["", "/task", "/stats", "/task/stats"] {
        let (status, body) = inside.get(&format!("{}{page}", path(&url)));
        assert_eq!(status, 200, "{page}: {body}");
    }
    instance.start_daemon();
    assert_eq!(inside.get(path(&url)).0, 200);
    assert_eq!(variable(&instance, &id, "web", "ECS_CONTAINER_METADATA_URI_V4"), url);
}

#[test]
fn bad_visitors_cost_the_others_nothing() {
    require!(host, busybox);
    let instance = Instance::with_busybox("bad-visitors");
    let id = instance.launch(&definition("bad", &[container("web", FOREVER)]));
    instance.running(&id);
    let url = variable(&instance, &id, "web", "ECS_CONTAINER_METADATA_URI_V4");
    let inside = Inside::of(&instance, &id, "web");
    let idle: Vec<TcpStream> = (0..40).map(|_| inside.connect(ADDRESS, 80).unwrap()).collect();
    let begin = Instant::now();
    assert_eq!(inside.get(path(&url)).0, 200);
    assert!(begin.elapsed() < scaled(Duration::from_secs(4)), "an idle visitor made another wait");
    let mut half = inside.connect(ADDRESS, 80).unwrap();
    half.write_all(b"GET /v4/").unwrap();

    assert_eq!(inside.says(b"nonsense\r\n\r\n").0, 400);
    assert_eq!(inside.says(b"\xff\x00\r\n\r\n").0, 400);
    assert_eq!(inside.says(b"PUT /v4/x HTTP/1.1\r\n\r\n{}").0, 405);
    assert_eq!(inside.says(b"PUT /api/x/task-protection/v1/state HTTP/1.1\r\n\r\n{}").0, 411);
    assert_eq!(inside.get("/api/x/task-protection/v1/state").0, 404);
    assert_eq!(inside.get("/v4/../../etc/passwd").0, 404);
    assert_eq!(inside.get("/v2/credentials/guess").0, 400);
    let long = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 12 << 10]].concat();
    assert_eq!(inside.says(&long).0, 431);

    // The half-sent one is shown out; what it hears is the end, or a reset when it was pushed out of its place.
    let mut heard = Vec::new();
    let _ = half.read_to_end(&mut heard);
    assert_eq!(heard, b"");
    drop(idle);
    // 60 at once and 40 a second are answered: 200 are too many, unless the machine is too slow to ask faster.
    let begin = Instant::now();
    let refused = (0..200).map(|_| inside.get(path(&url)).0).find(|status| *status != 200);
    let slow = begin.elapsed() >= Duration::from_millis(3500);
    assert!(
        refused == Some(429) || slow && refused.is_none(),
        "more than ECS's rate is answered: {refused:?}"
    );
    assert_eq!(instance.task(&id)["lastStatus"], "RUNNING");
    wait_for("an answer again", PATIENCE, || (inside.get(path(&url)).0 == 200).then_some(()));
}

#[test]
fn a_task_on_the_host_s_network_asks_at_a_port_of_its_own_by_names_that_nobody_guesses() {
    require!(host, busybox);
    let instance = Instance::with_busybox("host-endpoint");
    let web = with(container("web", FOREVER), json!({ "portMappings": [{ "containerPort": 8080 }] }));
    let on_host = |container: Value| with(definition("mode", &[container]), json!({ "networkMode": "host" }));
    let (ours, other) =
        (instance.launch(&on_host(web)), instance.launch(&on_host(container("web", FOREVER))));
    let task = instance.running(&ours);
    instance.running(&other);
    let own = told(&instance, &ours, "web", "$ECS_CONTAINER_METADATA_URI_V4");
    assert_eq!(own["DockerId"], one(&task, "web")["runtimeId"], "{own:#}");
    assert_eq!(own["Networks"], json!([{ "NetworkMode": "host", "IPv4Addresses": [""] }]), "{own:#}");
    let port = json!([{ "ContainerPort": 8080, "Protocol": "tcp", "HostPort": 8080 }]);
    assert_eq!(own["Ports"], port, "{own:#}");
    let url = |id: &str| variable(&instance, id, "web", "ECS_CONTAINER_METADATA_URI_V4");
    let (our_url, other_url) = (url(&ours), url(&other));
    let base = |url: &str| url.split("/v4/").next().unwrap().to_owned();
    assert!(our_url.starts_with("http://127.0.0.1:") && base(&our_url) != base(&other_url), "{our_url}");
    let name = other_url.rsplit('/').next().unwrap();
    let said =
        instance.cli(&["exec", &ours, "web", "--", "wget", "-qO-", &format!("{}/v4/{name}", base(&our_url))]);
    assert!(said.code != 0 && said.out.is_empty(), "a name of another task is none here: {said:?}");
    assert!(!instance.stored(&ours)["notEnforced"].to_string().contains("metadata"));
}

#[test]
fn a_task_without_any_network_has_the_variables_and_nobody_to_ask() {
    require!(host, busybox);
    let instance = Instance::with_busybox("no-endpoint");
    let script = "echo \"$ECS_CONTAINER_METADATA_URI_V4 $ECS_AGENT_URI\"; wget -T 5 -qO- $ECS_CONTAINER_METADATA_URI_V4 || echo none";
    let app = container("app", script);
    let alone = with(app.clone(), json!({ "disableNetworking": true }));
    let none = with(definition("mode", std::slice::from_ref(&app)), json!({ "networkMode": "none" }));
    for document in [none, definition("alone", &[alone])] {
        let (id, task) = instance.ran(&document);
        let said = instance.said(&id, "app");
        assert!(said.starts_with("http://169.254.170.2/v4/"), "{task:#}");
        assert!(said.contains(" http://169.254.170.2/api/") && said.contains("\nnone\n"), "{said}");
        assert!(!instance.stored(&id)["notEnforced"].to_string().contains("metadata"), "{task:#}");
    }
}
