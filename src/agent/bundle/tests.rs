use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

/// A recipe's parts, owned.
struct Kitchen {
    document: Document,
    change: Option<ContainerOverride>,
    image: ImageDefaults,
    user: User,
    binds: Vec<Bind>,
    devices: Vec<HostDevice>,
    policy: ContainersConfig,
    users: Option<u32>,
    is_counted: bool,
}

impl Kitchen {
    /// A task of one container `web` with `members`, and a task-level document with `task`.
    fn new(task: &str, members: &str) -> Self {
        let comma = |text: &str| if text.is_empty() { String::new() } else { format!(", {text}") };
        let text = format!(
            r#"{{"family": "f", "containerDefinitions": [{{"name": "web", "image": "web:1"{}}}]{}}}"#,
            comma(members),
            comma(task)
        );
        let image = r#"{"Env": ["A=image"], "Entrypoint": ["/entry"], "Cmd": ["serve", "--all"], "WorkingDir": "/srv"}"#;
        Self {
            document: serde_json::from_str(&text).unwrap(),
            change: None,
            image: serde_json::from_str(image).unwrap(),
            user: User { uid: 0, gid: 0, additional_gids: Vec::new(), home: "/root".to_owned() },
            binds: Vec::new(),
            devices: Vec::new(),
            policy: ContainersConfig { pids_limit: Some(4096), ..ContainersConfig::default() },
            users: None,
            is_counted: false,
        }
    }

    fn cook(&self) -> Result<(Value, Vec<String>), BundleError> {
        let layers = [PathBuf::from("/images/top/fs"), PathBuf::from("/images/bottom/fs")];
        let bundle = spec(&Recipe {
            document: &self.document,
            definition: &self.document.container_definitions[0],
            change: self.change.as_ref(),
            image: &self.image,
            endpoint: &[],
            layers: &layers,
            user: &self.user,
            files: &[],
            secrets: &[],
            directory: Path::new("/tasks/1/containers/web"),
            shared_memory: Some(Path::new("/tasks/1/shm")),
            binds: &self.binds,
            devices: &self.devices,
            hostname: "box",
            users: self.users,
            is_counted: self.is_counted,
            policy: &self.policy,
        })?;
        Ok((serde_json::to_value(&bundle.spec).unwrap(), bundle.notes))
    }

    fn json(&self) -> Value {
        self.cook().unwrap().0
    }
}

fn sorted(value: &Value) -> Vec<String> {
    let mut list: Vec<String> =
        value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect();
    list.sort();
    list
}

fn mount<'a>(spec: &'a Value, destination: &str) -> Option<&'a Value> {
    spec["mounts"].as_array().unwrap().iter().find(|mount| mount["destination"] == destination)
}

#[test]
fn a_plain_container_is_put_together_from_the_image() {
    let spec = Kitchen::new("", r#""memory": 64, "cpu": 256"#).json();
    assert_eq!(spec["root"], json!({"path": "rootfs", "readonly": false}));
    assert_eq!(spec["hostname"], "box");
    assert_eq!(spec["process"]["args"], json!(["/entry", "serve", "--all"]));
    assert_eq!(spec["process"]["cwd"], "/srv");
    assert_eq!(spec["process"]["user"], json!({"uid": 0, "gid": 0}));
    assert_eq!(spec["process"]["noNewPrivileges"], true);
    assert_eq!(spec["process"]["terminal"], false);
    assert_eq!(
        spec["process"]["env"],
        json!([
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=box",
            "AWS_EXECUTION_ENV=AWS_ECS_EXTERNAL",
            "A=image",
            "HOME=/root"
        ])
    );
    assert_eq!(
        spec["mounts"][0],
        json!({
            "destination": "/", "type": "overlay", "source": "overlay",
            "options": [
                "lowerdir=/images/top/fs:/images/bottom/fs",
                "upperdir=/tasks/1/containers/web/upper",
                "workdir=/tasks/1/containers/web/work",
            ],
        })
    );
    let linux = &spec["linux"];
    assert_eq!(linux["resources"]["memory"], json!({"limit": 64 << 20}));
    assert_eq!(linux["resources"]["cpu"], json!({"shares": 256}));
    assert_eq!(linux["resources"]["pids"], json!({"limit": 4096}));
    let kinds: Vec<&Value> = linux["namespaces"].as_array().unwrap().iter().map(|ns| &ns["type"]).collect();
    assert_eq!(kinds, ["mount", "uts", "cgroup", "pid", "ipc"]);
    assert!(!linux["maskedPaths"].as_array().unwrap().is_empty());
}

#[test]
fn entry_points_and_commands_follow_docker() {
    let arguments = |members: &str, change: Option<&str>| {
        let mut kitchen = Kitchen::new("", members);
        kitchen.change = change.map(|text| serde_json::from_str(text).unwrap());
        kitchen.json()["process"]["args"].clone()
    };
    assert_eq!(arguments(r#""command": ["x"]"#, None), json!(["/entry", "x"]));
    assert_eq!(arguments(r#""entryPoint": ["/own"]"#, None), json!(["/own"]));
    assert_eq!(arguments(r#""entryPoint": ["/own"], "command": ["x"]"#, None), json!(["/own", "x"]));
    assert_eq!(arguments(r#""entryPoint": [], "command": []"#, None), json!(["/entry", "serve", "--all"]));
    let call = Some(r#"{"name": "web", "command": ["called"]}"#);
    assert_eq!(arguments(r#""command": ["x"]"#, call), json!(["/entry", "called"]));
}

#[test]
fn a_container_without_a_command_is_refused() {
    let mut kitchen = Kitchen::new("", "");
    kitchen.image = ImageDefaults::default();
    let refused = kitchen.cook().unwrap_err();
    assert_eq!(refused.to_string(), "neither the task definition nor the image web:1 names a command");
}

#[test]
fn a_call_changes_limits_and_environment() {
    let mut kitchen =
        Kitchen::new("", r#""memory": 64, "cpu": 0, "environment": [{"name": "A", "value": "own"}]"#);
    let change = r#"{"name": "web", "memory": 2, "memoryReservation": 1, "cpu": 5,
        "environment": [{"name": "A", "value": "call"}]}"#;
    kitchen.change = Some(serde_json::from_str(change).unwrap());
    let spec = kitchen.json();
    let memory = &spec["linux"]["resources"]["memory"];
    assert_eq!(*memory, json!({"limit": 4 << 20, "reservation": 1 << 20}), "4 MiB is the least");
    assert_eq!(spec["linux"]["resources"]["cpu"]["shares"], 5);
    assert!(spec["process"]["env"].as_array().unwrap().contains(&json!("A=call")));
}

#[test]
fn swap_is_on_top_of_memory_and_needs_it() {
    let swap = r#""linuxParameters": {"maxSwap": 32, "swappiness": 10}"#;
    let spec = Kitchen::new("", &format!(r#""memory": 64, {swap}"#)).json();
    let memory = &spec["linux"]["resources"]["memory"];
    assert_eq!(*memory, json!({"limit": 64 << 20, "swap": 96 << 20, "swappiness": 10}));
    let (spec, notes) = Kitchen::new("", swap).cook().unwrap();
    assert_eq!(spec["linux"]["resources"].get("memory"), None);
    assert_eq!(notes, ["container web: maxSwap is not enforced without a memory limit"]);
}

#[test]
fn a_container_cannot_have_more_memory_than_its_task() {
    let refused = Kitchen::new(r#""memory": "32""#, r#""memory": 64"#).cook().unwrap_err();
    assert_eq!(refused.to_string(), "memory of 64 MiB is more than the 32 MiB of the task");
}

#[test]
fn weights_stay_within_the_kernels_bounds() {
    for (cpu, shares) in [(0, 2), (1, 2), (2, 2), (1024, 1024), (999_999, 262_144)] {
        let spec = Kitchen::new("", &format!(r#""cpu": {cpu}"#)).json();
        assert_eq!(spec["linux"]["resources"]["cpu"]["shares"], shares, "{cpu}");
    }
}

#[test]
fn a_task_has_a_quota_or_the_weight_of_its_containers() {
    let resources = |task: &str, overrides: &str| {
        let text = format!(
            r#"{{"family": "f"{task}, "containerDefinitions": [
                {{"name": "a", "image": "i", "cpu": 100}}, {{"name": "b", "image": "i"}}]}}"#
        );
        let document = serde_json::from_str(&text).unwrap();
        let overrides = serde_json::from_str(overrides).unwrap();
        serde_json::to_value(task_resources(&document, &overrides).unwrap()).unwrap()
    };
    assert_eq!(resources("", "{}"), json!({"cpu": {"shares": 102}}));
    let change = r#"{"containerOverrides": [{"name": "b", "cpu": 50}]}"#;
    assert_eq!(resources("", change), json!({"cpu": {"shares": 150}}));
    let limited = resources(r#", "cpu": "512", "memory": "1 GB""#, "{}");
    let expected = json!({
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
        "memory": {"limit": 1 << 30},
    });
    assert_eq!(limited, expected);
    let changed = resources(r#", "cpu": "512""#, r#"{"cpu": "2 vCPU"}"#);
    assert_eq!(changed["cpu"]["quota"], 200_000);
}

#[test]
fn capabilities_are_dropped_and_then_added() {
    let capabilities = |lists: &str| {
        let members = format!(r#""linuxParameters": {{"capabilities": {{{lists}}}}}"#);
        sorted(&Kitchen::new("", &members).json()["process"]["capabilities"]["bounding"])
    };
    let usual = capabilities("");
    assert_eq!(usual.len(), 14);
    let changed = capabilities(r#""add": ["NET_ADMIN", "CHOWN"], "drop": ["CHOWN", "cap_mknod"]"#);
    assert!(changed.contains(&"CAP_NET_ADMIN".to_owned()) && changed.contains(&"CAP_CHOWN".to_owned()));
    assert!(!changed.contains(&"CAP_MKNOD".to_owned()));
    assert_eq!(capabilities(r#""drop": ["ALL"], "add": ["KILL"]"#), ["CAP_KILL"]);
    let all = capabilities(r#""add": ["ALL"], "drop": ["SYS_ADMIN"]"#);
    assert!(all.len() > usual.len() && !all.contains(&"CAP_SYS_ADMIN".to_owned()));
}

#[test]
fn a_word_that_is_no_capability_is_refused() {
    let members = r#""linuxParameters": {"capabilities": {"add": ["NET_ADMINISTRATOR"]}}"#;
    let refused = Kitchen::new("", members).cook().unwrap_err();
    assert_eq!(refused.to_string(), "\"NET_ADMINISTRATOR\" is not a Linux capability");
}

#[test]
fn another_user_than_root_starts_without_capabilities() {
    let mut kitchen = Kitchen::new("", "");
    kitchen.user = User { uid: 33, gid: 33, additional_gids: vec![4, 50], home: "/var/www".to_owned() };
    let spec = kitchen.json();
    assert_eq!(spec["process"]["user"], json!({"uid": 33, "gid": 33, "additionalGids": [4, 50]}));
    assert_eq!(spec["process"]["capabilities"]["effective"], json!([]));
    assert_eq!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 14);
}

#[test]
fn privileged_needs_the_hosts_word() {
    let mut kitchen = Kitchen::new("", r#""privileged": true"#);
    let refused = kitchen.cook().unwrap_err().to_string();
    assert!(refused.starts_with("privileged containers are not allowed on this host"), "{refused}");
    kitchen.policy.allow_privileged = true;
    let spec = kitchen.json();
    assert_eq!((&spec["linux"]["maskedPaths"], &spec["linux"]["readonlyPaths"]), (&json!([]), &json!([])));
    assert_eq!(spec["process"]["noNewPrivileges"], false);
    assert_eq!(spec["linux"]["resources"]["devices"], json!([{"allow": true, "type": "a", "access": "rwm"}]));
    assert!(spec["process"]["capabilities"]["bounding"].as_array().unwrap().len() > 14);
    let system = mount(&spec, "/sys").unwrap()["options"].as_array().unwrap();
    assert!(system.contains(&json!("rw")) && !system.contains(&json!("ro")));
}

#[test]
fn security_options_are_taken_noted_or_refused() {
    let options = |list: &str| Kitchen::new("", &format!(r#""dockerSecurityOptions": [{list}]"#));
    let (spec, notes) = options(r#""apparmor:own", "no-new-privileges""#).cook().unwrap();
    assert_eq!(spec["process"]["apparmorProfile"], "own");
    assert_eq!(notes, [] as [&str; 0]);
    let (spec, notes) = options(r#""label:type:x", "no-new-privileges:false""#).cook().unwrap();
    assert_eq!(spec["process"]["noNewPrivileges"], false);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0], "container web: security option \"label:type:x\" is not enforced on this host");
    assert_eq!(
        options(r#""magic""#).cook().unwrap_err().to_string(),
        "security option \"magic\" is not known"
    );
}

#[test]
fn system_calls_are_filtered_unless_a_container_asks_for_none() {
    let filter = |members: &str| {
        let mut kitchen = Kitchen::new("", members);
        kitchen.policy.allow_privileged = true;
        kitchen.json()["linux"]["seccomp"].clone()
    };
    let names = |filter: &Value| filter["syscalls"][0]["names"].to_string();
    let usual = filter("");
    assert_eq!(usual["defaultAction"], "SCMP_ACT_ERRNO");
    assert!(names(&usual).contains("\"openat\"") && !names(&usual).contains("\"mount\""));
    let more = filter(r#""linuxParameters": {"capabilities": {"add": ["SYS_ADMIN"]}}"#);
    assert!(names(&more).contains("\"mount\""));
    assert_eq!(filter(r#""dockerSecurityOptions": ["seccomp=unconfined"]"#), Value::Null);
    assert_eq!(filter(r#""privileged": true"#), Value::Null);
    let own = Kitchen::new("", r#""dockerSecurityOptions": ["seccomp=/etc/own.json"]"#);
    assert!(own.cook().is_err(), "a weaker filter than asked for is not quietly the usual one");
}

#[test]
fn what_is_counted_stays_counted() {
    let refused = |is_counted| {
        let mut kitchen = Kitchen::new("", "");
        kitchen.is_counted = is_counted;
        let filter = kitchen.json()["linux"]["seccomp"]["syscalls"].clone();
        let rules = filter.as_array().unwrap().iter().filter(|rule| rule["names"][0] == "ioctl");
        rules.map(|rule| rule["args"][0]["valueTwo"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let more = [0x401c_5820, 0x4008_6602, 0x4004_6602];
    assert!(more.iter().all(|request| !refused(false).contains(request)));
    assert!(
        more.iter().all(|request| refused(true).contains(request)),
        "the project of a file can be changed"
    );
}

#[test]
fn mounts_come_parents_first_and_own_ones_replace_the_usual() {
    let tmpfs = r#""linuxParameters": {"sharedMemorySize": 256, "tmpfs": [
        {"containerPath": "/data/cache/tmp", "size": 8, "mountOptions": ["exec", "mode=1770"]},
        {"containerPath": "/dev/mqueue", "size": 1}]}"#;
    let mut kitchen = Kitchen::new("", tmpfs);
    let bind = |source: &str, destination: &str, read_only| Bind {
        source: source.into(),
        destination: destination.into(),
        read_only,
    };
    kitchen.binds = vec![bind("/v/deep", "/data/cache", false), bind("/v/top", "/data", true)];
    let spec = kitchen.json();
    let order: Vec<&str> = spec["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["destination"].as_str().unwrap())
        .collect();
    let own = ["/data", "/dev/mqueue", "/data/cache", "/data/cache/tmp"];
    assert_eq!(order[order.len() - 4..], own);
    assert_eq!(order.iter().filter(|destination| **destination == "/dev/mqueue").count(), 1);
    assert_eq!(mount(&spec, "/data").unwrap()["options"], json!(["rbind", "rprivate", "ro"]));
    let options = &mount(&spec, "/data/cache/tmp").unwrap()["options"];
    assert_eq!(*options, json!(["nosuid", "nodev", "exec", "mode=1770", "size=8m"]));
    let shared = &mount(&spec, "/dev/shm").unwrap()["options"];
    assert!(shared.as_array().unwrap().contains(&json!("size=268435456")), "{shared}");
    let sizes =
        shared.as_array().unwrap().iter().filter(|option| option.as_str().unwrap().starts_with("size="));
    assert_eq!(sizes.count(), 1);
}

#[test]
fn letters_that_overlayfs_reads_otherwise_are_escaped() {
    let kitchen = Kitchen::new("", "");
    let layers = [PathBuf::from("/a:b/c,d"), PathBuf::from(r"/e\f")];
    let recipe = Recipe {
        document: &kitchen.document,
        definition: &kitchen.document.container_definitions[0],
        change: None,
        image: &kitchen.image,
        endpoint: &[],
        layers: &layers,
        user: &kitchen.user,
        files: &[],
        secrets: &[],
        directory: Path::new("/t"),
        shared_memory: None,
        binds: &[],
        devices: &[],
        is_counted: false,
        users: None,
        hostname: "box",
        policy: &kitchen.policy,
    };
    let spec = serde_json::to_value(spec(&recipe).unwrap().spec).unwrap();
    assert_eq!(spec["mounts"][0]["options"][0], r"lowerdir=/a\:b/c\,d:/e\\f");
}

#[test]
fn namespaces_follow_the_modes_of_the_task() {
    let kinds = |task: &str, members: &str| {
        let spec = Kitchen::new(task, members).json();
        let list = spec["linux"]["namespaces"].as_array().unwrap().clone();
        let mut kinds: Vec<String> = list.iter().map(|ns| ns["type"].as_str().unwrap().to_owned()).collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(r#""pidMode": "host", "ipcMode": "host""#, ""), ["cgroup", "mount", "uts"]);
    let of_the_task = kinds(r#""pidMode": "task", "ipcMode": "task""#, "");
    assert_eq!(of_the_task, ["cgroup", "mount", "uts"], "the task's are the shim's to fill in");
    let alone = kinds("", r#""disableNetworking": true"#);
    assert_eq!(alone, ["cgroup", "ipc", "mount", "network", "pid", "uts"]);
    let spec = Kitchen::new(r#""ipcMode": "none""#, "").json();
    assert!(mount(&spec, "/dev/shm").is_none());
}

#[test]
fn kernel_parameters_of_the_host_are_left_alone() {
    let controls = r#""systemControls": [{"namespace": "net.core.somaxconn", "value": "1"},
        {"namespace": "kernel.msgmax", "value": "2"}]"#;
    let spec = Kitchen::new("", controls).json();
    assert_eq!(spec["linux"]["sysctl"], json!({"net.core.somaxconn": "1", "kernel.msgmax": "2"}));
    let (spec, notes) = Kitchen::new(r#""networkMode": "host""#, controls).cook().unwrap();
    assert_eq!(spec["linux"]["sysctl"], json!({"kernel.msgmax": "2"}));
    assert_eq!(
        notes,
        ["container web: kernel parameter net.core.somaxconn belongs to the host here and is not changed"]
    );
}

#[test]
fn ulimits_have_the_kernels_names_and_none_is_infinity() {
    let spec =
        Kitchen::new("", r#""ulimits": [{"name": "nofile", "softLimit": 1024, "hardLimit": -1}]"#).json();
    let expected = json!([{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": u64::MAX}]);
    assert_eq!(spec["process"]["rlimits"], expected);
    let refused =
        Kitchen::new("", r#""ulimits": [{"name": "files", "softLimit": 1, "hardLimit": 1}]"#).cook();
    assert_eq!(refused.unwrap_err().to_string(), "\"files\" is not a resource limit");
}

#[test]
fn a_device_is_a_node_and_a_rule() {
    let mut kitchen = Kitchen::new(
        "",
        r#""linuxParameters": {"devices": [
        {"hostPath": "/dev/null", "containerPath": "/dev/nothing", "permissions": ["read"]}]}"#,
    );
    kitchen.devices = find_devices(&kitchen.document.container_definitions[0]).unwrap();
    let spec = kitchen.json();
    let node = &spec["linux"]["devices"][0];
    assert_eq!((&node["path"], &node["type"]), (&json!("/dev/nothing"), &json!("c")));
    assert_eq!((&node["major"], &node["minor"]), (&json!(1), &json!(3)));
    let rules = spec["linux"]["resources"]["devices"].as_array().unwrap();
    let rule = json!({"allow": true, "type": "c", "major": 1, "minor": 3, "access": "r"});
    assert_eq!(rules.last(), Some(&rule));
}

#[test]
fn a_device_that_is_none_is_refused() {
    let kitchen = Kitchen::new("", r#""linuxParameters": {"devices": [{"hostPath": "/etc"}]}"#);
    let refused = find_devices(&kitchen.document.container_definitions[0]).unwrap_err();
    assert_eq!(refused.to_string(), "/etc is not a device");
}
