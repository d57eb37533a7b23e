//! What a container definition says about its process comes true.

use serde_json::json;

use crate::harness::{
    Instance, require,
    tasks::{directory, document, shell, with},
};

#[test]
fn environment_files_directory_user_and_names_are_as_defined() {
    require!(host, busybox);
    let instance = Instance::start("process");
    let files = directory(&instance, "env");
    let file = files.join("more.env");
    std::fs::write(&file, "# a comment\nFROM_FILE=file\nBOTH=file\n").expect("the environment file");
    let said = instance.shell_output(
        "env; pwd; id -u; id -g; cat /etc/hosts /etc/resolv.conf; hostname",
        json!({
            "environment": [{ "name": "GIVEN", "value": "a b" }, { "name": "BOTH", "value": "definition" }],
            "environmentFiles": [{ "type": "s3", "value": file }],
            "workingDirectory": "/usr",
            "user": "1000:33",
            "hostname": "landing",
            "extraHosts": [{ "hostname": "elsewhere", "ipAddress": "192.0.2.7" }],
            "dnsServers": ["192.0.2.53"],
            "dnsSearchDomains": ["example.test"],
        }),
    );
    let lines: Vec<&str> = said.lines().collect();
    for line in [
        "GIVEN=a b",
        "FROM_FILE=file",
        "BOTH=definition",
        "/usr",
        "1000",
        "33",
        "landing",
        "nameserver 192.0.2.53",
    ] {
        assert!(lines.contains(&line), "no {line:?} in\n{said}");
    }
    assert!(
        said.contains("elsewhere") && said.contains("192.0.2.7") && said.contains("search example.test"),
        "{said}"
    );
}

#[test]
fn an_entry_point_and_a_command_replace_those_of_the_image() {
    require!(host, busybox);
    let instance = Instance::start("entry");
    let said =
        instance.shell_output("", json!({ "entryPoint": ["echo", "one"], "command": ["two", "three"] }));
    assert_eq!(said, "one two three\n");
}

#[test]
fn limits_of_processes_are_as_defined() {
    require!(host, busybox);
    let instance = Instance::start("ulimit");
    let said = instance.shell_output(
        "ulimit -S -n; ulimit -H -n; ulimit -S -c",
        json!({ "ulimits": [
            { "name": "nofile", "softLimit": 100, "hardLimit": 200 },
            { "name": "core", "softLimit": 0, "hardLimit": 0 },
        ] }),
    );
    assert_eq!(said, "100\n200\n0\n");
}

#[test]
fn a_read_only_root_takes_no_writes_and_a_tmpfs_does() {
    require!(host, busybox);
    let instance = Instance::start("readonly");
    let said = instance.shell_output(
        "touch /x 2>&1; touch /scratch/y && df -k /scratch | tail -n 1 | awk '{ print $2 }'; touch /dev/shm/z && echo shm",
        json!({
            "readonlyRootFilesystem": true,
            "linuxParameters": { "tmpfs": [{ "containerPath": "/scratch", "size": 4 }] },
        }),
    );
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains("\n4096\n"), "four mebibytes: {said}");
    assert!(said.ends_with("shm\n"), "{said}");
}

#[test]
fn memory_cpu_and_processes_are_limited_by_the_cgroup() {
    require!(host, busybox, cgroup_memory);
    let instance = Instance::start("limits");
    let arn = instance.run(with(
        document(
            "limits",
            &[with(shell("main", crate::harness::tasks::STAY), json!({ "memory": 32, "cpu": 512 }))],
        ),
        json!({ "memory": "64", "cpu": "256" }),
    ));
    instance.running(&arn);
    let task = crate::harness::tasks::id(&arn).to_owned();
    let read = |name: &str, inside: &str| {
        crate::harness::probe::cgroup_mounts()
            .iter()
            .map(|mount| mount.at.join(instance.cgroup()).join(&task).join(inside).join(name))
            .find_map(|path| std::fs::read_to_string(path).ok())
    };
    let memory = |inside: &str| read("memory.max", inside).or_else(|| read("memory.limit_in_bytes", inside));
    assert_eq!(memory("main").expect("a limit").trim(), (32 << 20).to_string());
    assert_eq!(memory("").expect("a limit").trim(), (64 << 20).to_string());
    let quota = read("cpu.max", "").or_else(|| read("cpu.cfs_quota_us", "")).expect("a quota");
    assert!(quota.starts_with("25000"), "a quarter of a processor: {quota}");
}
