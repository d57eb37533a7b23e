//! Any profile of system calls: the compiler answers with a program that the kernel can take, or with a reason.
#![no_main]

use hythe::kernel::security::seccomp::Filter;
use libfuzzer_sys::fuzz_target;
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Value, json};

/// The most instructions the kernel takes (`BPF_MAXINSNS`).
const LONGEST: usize = 4096;

const NAMES: [&str; 16] = [
    "read", "write", "openat", "clone", "clone3", "personality", "socket", "mmap", "ioctl", "execve", "prctl", "keyctl",
    "arm_sync_file_range", "statx", "futex_waitv", "no_such_call",
];
const ACTIONS: [&str; 9] = [
    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP", "SCMP_ACT_NOTIFY",
];
const OPERATORS: [&str; 7] = [
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
];
const ARCHITECTURES: [&str; 7] = [
    "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_MIPS",
];

/// Takes what it needs from the input, and zeros when that has ended.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first)
    }

    fn one_of(&mut self, words: &[&'static str]) -> &'static str {
        words[self.byte() % words.len()]
    }

    fn number(&mut self) -> u64 {
        let width = self.byte() % 9;
        (0..width).fold(0, |number, _| number << 8 | self.byte() as u64)
    }

    fn list(&mut self, most: usize, mut one: impl FnMut(&mut Self) -> Value) -> Vec<Value> {
        (0..self.byte() % (most + 1)).map(|_| one(self)).collect()
    }
}

fn rule(source: &mut Source<'_>) -> Value {
    let names = source.list(6, |source| json!(source.one_of(&NAMES)));
    let args = source.list(4, |source| {
        json!({ "index": source.byte() % 7, "op": source.one_of(&OPERATORS), "value": source.number(),
                "valueTwo": source.number() })
    });
    let mut rule = json!({ "names": names, "action": source.one_of(&ACTIONS), "args": args });
    if source.byte() % 3 == 0 {
        rule["errnoRet"] = json!(source.number() as u32);
    }
    rule
}

fn profile(source: &mut Source<'_>) -> Value {
    json!({
        "defaultAction": source.one_of(&ACTIONS),
        "architectures": source.list(4, |source| json!(source.one_of(&ARCHITECTURES))),
        "syscalls": source.list(40, rule),
    })
}

fuzz_target!(|data: &[u8]| {
    // A brace begins a profile as text; anything else is shaped into one.
    let parsed: Result<LinuxSeccomp, _> = match data.first() {
        Some(b'{') => serde_json::from_slice(data),
        _ => serde_json::from_value(profile(&mut Source(data))),
    };
    if let Ok(profile) = parsed
        && let Ok(filter) = Filter::compile(&profile)
    {
        assert!((1..=LONGEST).contains(&filter.length()), "{} instructions", filter.length());
        assert_eq!(Filter::compile(&profile).ok(), Some(filter), "the same profile, another program");
    }
});
