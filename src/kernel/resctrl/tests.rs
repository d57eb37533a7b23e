use serde_json::{Value, json};

use super::*;

/// A directory that looks like the mounted filesystem, with a class `gold` and what an administrator sees there.
struct StandIn {
    dir: tempfile::TempDir,
    resctrl: Resctrl,
}

impl StandIn {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let resctrl = Resctrl { mount: dir.path().to_path_buf() };
        let stand_in = Self { dir, resctrl };
        stand_in.has("schemata", "    L3:0=fffff;1=fffff\n    MB:0=100;1=100\n");
        stand_in.has("gold/schemata", "    L3:0=007f0;1=0001f\n    MB:0= 20;1= 70\n");
        for class in [".", "gold"] {
            stand_in.has(&format!("{class}/tasks"), "");
            fs::create_dir_all(stand_in.path(&format!("{class}/mon_groups"))).unwrap();
        }
        stand_in
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn has(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn ask(&self, wanted: Value) -> Result<(Wish, Class), ResctrlError> {
        let wish = Wish::read("web", &serde_json::from_value(wanted).unwrap())?;
        let class = wish.class(&self.resctrl)?;
        Ok((wish, class))
    }

    fn refusal(&self, wanted: Value) -> String {
        self.ask(wanted).unwrap_err().to_string()
    }

    fn tasks(&self, class: &Class) -> Vec<String> {
        let name = |path: PathBuf| path.strip_prefix(self.dir.path()).unwrap().display().to_string();
        class.tasks().into_iter().map(name).collect()
    }
}

#[test]
fn a_class_of_its_own_has_the_containers_name_and_goes_with_it() {
    let stand_in = StandIn::new();
    let (wish, class) = stand_in.ask(json!({})).unwrap();
    class.make(&wish).unwrap();
    assert!(!stand_in.path("web/schemata").exists(), "nothing was asked for, nothing is written");
    assert_eq!(stand_in.tasks(&class), ["web/tasks"]);
    // The kernel makes this file with the directory; somebody else is in it.
    stand_in.has("web/tasks", "77\n");
    class.remove().unwrap();
    assert!(stand_in.path("web").exists());
    // The kernel takes the file away with the directory; a real directory has to be asked twice.
    stand_in.has("web/tasks", "\n");
    assert!(class.remove().unwrap_err().to_string().starts_with("linux.intelRdt: remove "));
    fs::remove_file(stand_in.path("web/tasks")).unwrap();
    fs::remove_dir(stand_in.path("web")).unwrap();
    class.remove().unwrap();
}

#[test]
fn a_schema_is_written_from_all_members() {
    let stand_in = StandIn::new();
    let written = |name: &str, mut wanted: Value| {
        wanted["closID"] = json!(name);
        let (wish, class) = stand_in.ask(wanted).unwrap();
        class.make(&wish).unwrap();
        fs::read_to_string(stand_in.path(name).join("schemata")).unwrap()
    };
    assert_eq!(written("a", json!({"l3CacheSchema": "L3:0=f\nMB:0=10"})), "L3:0=f\nMB:0=10\n");
    assert_eq!(written("b", json!({"memBwSchema": "MB:0=20"})), "MB:0=20\n");
    let both = json!({"l3CacheSchema": "MB:0=10\nL3:0=f", "memBwSchema": "MB:0=20"});
    assert_eq!(written("c", both), "L3:0=f\nMB:0=20\n");
    let all = json!({"l3CacheSchema": "L3:0=f", "schemata": ["L2:0=3", "MB:0=30"]});
    assert_eq!(written("d", all), "L3:0=f\nL2:0=3\nMB:0=30\n");
}

#[test]
fn a_class_that_is_there_is_joined_and_stays() {
    let stand_in = StandIn::new();
    let same = json!({"closID": "gold", "l3CacheSchema": "L3:1=1F; 0=7f0", "memBwSchema": "MB:0=20;1=70"});
    for wanted in [json!({"closID": "gold"}), same] {
        let (wish, class) = stand_in.ask(wanted).unwrap();
        class.make(&wish).unwrap();
        assert_eq!(stand_in.tasks(&class), ["gold/tasks"]);
        class.remove().unwrap();
        assert!(stand_in.path("gold/schemata").exists());
    }
    let other = stand_in.refusal(json!({"closID": "gold", "l3CacheSchema": "L3:0=7f0;1=3f"}));
    assert_eq!(other, "linux.intelRdt.closID: \"gold\" is there with another schema than \"L3:0=7f0;1=3f\"");
    let missing = stand_in.refusal(json!({"closID": "silver"}));
    assert_eq!(missing, "linux.intelRdt.closID: there is no class \"silver\", and no schema to make it with");
}

#[test]
fn a_container_is_counted_by_a_group_of_its_own() {
    let stand_in = StandIn::new();
    let (wish, class) = stand_in.ask(json!({"closID": "/", "enableMonitoring": true})).unwrap();
    class.make(&wish).unwrap();
    assert!(stand_in.path("mon_groups/web").is_dir());
    // The kernel takes a process into a group only from the class that the group is in.
    assert_eq!(stand_in.tasks(&class), ["tasks", "mon_groups/web/tasks"]);
    let taken = stand_in.refusal(json!({"closID": "/", "enableMonitoring": true}));
    assert!(taken.starts_with("linux.intelRdt.enableMonitoring: "), "{taken}");
    class.remove().unwrap();
    assert!(!stand_in.path("mon_groups/web").exists() && stand_in.path("tasks").exists());

    let cmt = json!({"closID": "gold", "enableCmt": true});
    let lacking = stand_in.refusal(cmt.clone());
    assert!(lacking.starts_with("linux.intelRdt.enableCMT: this host does not count it"), "{lacking}");
    stand_in.has("info/L3_MON/mon_features", "llc_occupancy\nmbm_total_bytes\n");
    assert_eq!(stand_in.tasks(&stand_in.ask(cmt).unwrap().1), ["gold/tasks", "gold/mon_groups/web/tasks"]);
}

#[test]
fn what_is_counted_is_the_containers_own() {
    let stand_in = StandIn::new();
    for (group, first) in [("gold", 7_u64), ("gold/mon_groups/web", 40)] {
        for (cache, extra) in [("mon_L3_01", 1), ("mon_L3_00", 0)] {
            let at = format!("{group}/mon_data/{cache}");
            stand_in.has(&format!("{at}/llc_occupancy"), &format!("{}\n", first + extra));
            stand_in.has(&format!("{at}/mbm_local_bytes"), "Unavailable\n");
        }
    }
    let shared = Wish::read("web", &serde_json::from_value(json!({"closID": "gold"})).unwrap()).unwrap();
    let mut class = shared.class(&stand_in.resctrl).unwrap();
    assert_eq!(class.counts(), []);
    class.monitor = Some(stand_in.path("gold/mon_groups/web"));
    let of = |occupancy| Counts { occupancy: Some(occupancy), total: None, local: None };
    assert_eq!(class.counts(), [of(40), of(41)]);
    (class.monitor, class.is_own) = (None, true);
    assert_eq!(class.counts(), [of(7), of(8)]);
}

#[test]
fn what_the_kernel_refuses_leaves_nothing_and_is_told_in_its_words() {
    let stand_in = StandIn::new();
    stand_in.has("info/last_cmd_status", "Mask out of range\n");
    let (wish, class) = stand_in.ask(json!({"enableMonitoring": true})).unwrap();
    // Outside of the kernel's own filesystem a new class has no place for monitoring groups.
    let said = class.make(&wish).unwrap_err().to_string();
    let place = stand_in.path("web/mon_groups/web").display().to_string();
    assert_eq!(said, format!("linux.intelRdt: make the monitoring group {place} (Mask out of range)"));
    assert!(!stand_in.path("web").exists());
    for (member, wanted) in [
        ("closID", json!({"closID": "../gold"})),
        ("closID", json!({"closID": "info"})),
        ("closID", json!({"closID": ".."})),
        ("memBwSchema", json!({"memBwSchema": "L3:0=f"})),
        ("memBwSchema", json!({"memBwSchema": "MB:0=10\nL3:0=f"})),
    ] {
        let said = stand_in.refusal(wanted);
        assert!(said.starts_with(&format!("linux.intelRdt.{member}: ")), "{said}");
    }
}

#[test]
fn the_filesystem_is_found_where_it_is_mounted() {
    let text =
        "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n31 23 0:27 / /rdt rw - resctrl resctrl rw\n";
    assert_eq!(Resctrl::from_mountinfo(text), Some(Resctrl { mount: "/rdt".into() }));
    assert_eq!(Resctrl::from_mountinfo("30 23 0:26 / /x rw - tmpfs resctrl rw\n"), None);
}

#[test]
fn a_class_of_its_own_can_be_given_other_shares_and_takes_in_who_runs_already() {
    let stand_in = StandIn::new();
    let read = |wanted| Wish::read("web", &serde_json::from_value(wanted).unwrap()).unwrap();
    let (wish, class) = stand_in.ask(json!({"l3CacheSchema": "L3:0=f"})).unwrap();
    class.make(&wish).unwrap();
    class.change(&read(json!({"l3CacheSchema": "L3:0=3", "memBwSchema": "MB:0=50"}))).unwrap();
    assert_eq!(fs::read_to_string(stand_in.path("web/schemata")).unwrap(), "L3:0=3\nMB:0=50\n");
    // The kernel makes the file with the class, and takes one number with each write.
    stand_in.has("web/tasks", "");
    let own = nix::unistd::Pid::this();
    class.take_in(|| vec![own]).unwrap();
    let taken = fs::read_to_string(stand_in.path("web/tasks")).unwrap();
    assert!(taken.contains(&own.to_string()), "{taken}");

    let (_, gold) = stand_in.ask(json!({"closID": "gold"})).unwrap();
    let refused = gold.change(&read(json!({"l3CacheSchema": "L3:0=3"}))).unwrap_err().to_string();
    assert!(
        refused.starts_with("linux.intelRdt.closID: ") && refused.contains("others' shares"),
        "{refused}"
    );
    let held = fs::read_to_string(stand_in.path("gold/schemata")).unwrap();
    assert!(held.contains("007f0"), "{held}");
}
