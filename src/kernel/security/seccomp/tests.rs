use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompOperator};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::program::Instruction;
use super::syscalls::{Arch, Calls, X32_BIT};
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const KILL_PROCESS: u32 = 0x8000_0000;

fn errno(number: i32) -> u32 {
    0x0005_0000 | number.cast_unsigned()
}

/// What a filter is asked: architecture code, number, arguments.
#[derive(Debug, Clone, Copy)]
struct Call(u32, u32, [u64; 6]);

/// The kernel's machine, as far as these programs use it.
fn evaluate(program: &[Instruction], call: Call) -> u32 {
    let mut data = [0_u8; 64];
    data[0..4].copy_from_slice(&call.1.to_le_bytes());
    data[4..8].copy_from_slice(&call.0.to_le_bytes());
    for (at, value) in call.2.iter().enumerate() {
        data[16 + at * 8..24 + at * 8].copy_from_slice(&value.to_le_bytes());
    }
    let (mut at, mut value) = (0, 0_u32);
    loop {
        let one = program[at];
        at += 1;
        let holds = match one.code {
            0x20 => {
                let from = one.value as usize;
                value = u32::from_le_bytes(data[from..from + 4].try_into().unwrap());
                continue;
            }
            0x54 => {
                value &= one.value;
                continue;
            }
            0x05 => {
                at += one.value as usize;
                continue;
            }
            0x06 => return one.value,
            0x15 => value == one.value,
            0x25 => value > one.value,
            0x35 => value >= one.value,
            other => panic!("operation {other:#x}"),
        };
        at += usize::from(if holds { one.yes } else { one.no });
    }
}

fn program(profile: Value, archs: &[Arch]) -> Vec<Instruction> {
    let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
    let rules: Vec<_> = archs.iter().map(|arch| Rules::of(&profile, *arch).unwrap()).collect();
    program::compile(&rules)
}

fn ask(program: &[Instruction], arch: Arch, name: &str, args: [u64; 6]) -> u32 {
    evaluate(program, Call(arch.audit(), Calls::of(arch).number(name).unwrap(), args))
}

const NO_ARGUMENTS: [u64; 6] = [0; 6];

#[test]
fn each_architecture_has_its_own_numbers() {
    let number = |arch, name| Calls::of(arch).number(name);
    let of = |name| {
        [Arch::X86_64, Arch::X86, Arch::Aarch64, Arch::Arm, Arch::Riscv64].map(|arch| number(arch, name))
    };
    assert_eq!(of("openat"), [Some(257), Some(295), Some(56), Some(322), Some(56)]);
    assert_eq!(of("open"), [Some(2), Some(5), None, Some(5), None]);
    assert_eq!(of("clone3"), [Some(435); 5]);
    assert_eq!(number(Arch::X32, "execve"), Some(X32_BIT + 520));
    assert_eq!(number(Arch::X86_64, "no_such_call"), None);
    #[cfg(target_arch = "x86_64")]
    for (name, wanted) in [("read", libc::SYS_read), ("statx", libc::SYS_statx), ("mseal", libc::SYS_mseal)] {
        assert_eq!(number(Arch::X86_64, name).map(libc::c_long::from), Some(wanted));
    }
}

#[test]
fn names_are_denied_and_the_rest_is_not() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat", "nonsense"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
            {"names": ["chroot"], "action": "SCMP_ACT_TRAP"},
            {"names": ["swapon"], "action": "SCMP_ACT_TRACE", "errnoRet": 7},
            {"names": ["swapoff"], "action": "SCMP_ACT_LOG"},
            {"names": ["acct"], "action": "SCMP_ACT_KILL"},
        ],
    });
    let program = program(profile, &[Arch::X86_64, Arch::Aarch64]);
    let said = |name| ask(&program, Arch::X86_64, name, NO_ARGUMENTS);
    assert_eq!(said("mkdir"), errno(13));
    assert_eq!(said("mkdirat"), errno(13));
    assert_eq!(ask(&program, Arch::Aarch64, "mkdirat", NO_ARGUMENTS), errno(13));
    assert_eq!([said("reboot"), said("chroot"), said("acct")], [KILL_PROCESS, 0x0003_0000, 0]);
    assert_eq!([said("swapon"), said("swapoff")], [0x7ff0_0007, 0x7ffc_0000]);
    assert_eq!([said("read"), said("file_setattr")], [ALLOW, ALLOW]);
    assert_eq!(ask(&program, Arch::Arm, "read", NO_ARGUMENTS), KILL_PROCESS);
    assert_eq!(ask(&program, Arch::X32, "read", NO_ARGUMENTS), KILL_PROCESS);
}

#[test]
fn calls_newer_than_the_profile_do_not_exist() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
        "syscalls": [{"names": ["read", "statx"], "action": "SCMP_ACT_ALLOW"}],
    });
    let strict = program(profile.clone(), &[Arch::X86_64, Arch::X32]);
    let said = |name| ask(&strict, Arch::X86_64, name, NO_ARGUMENTS);
    assert_eq!([said("read"), said("statx")], [ALLOW, ALLOW]);
    assert_eq!([said("write"), said("openat2")], [errno(1), errno(libc::ENOSYS)]);
    assert_eq!(ask(&strict, Arch::X32, "read", NO_ARGUMENTS), ALLOW);
    assert_eq!(ask(&strict, Arch::X32, "execve", NO_ARGUMENTS), errno(libc::ENOSYS));
    let mut lenient = profile;
    lenient["defaultAction"] = json!("SCMP_ACT_TRACE");
    let lenient = program(lenient, &[Arch::X86_64]);
    assert_eq!(ask(&lenient, Arch::X86_64, "openat2", NO_ARGUMENTS), 0x7ff0_0001);
}

#[test]
fn a_test_of_an_argument_comes_before_the_rule_without_one() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 22,
             "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_NE"}]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
             "args": [{"index": 0, "value": 2_114_060_288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        ],
    });
    let program = program(profile, &[Arch::X86_64]);
    let said = |name, first, second| ask(&program, Arch::X86_64, name, [first, second, 0, 0, 0, 0]);
    assert_eq!(
        [said("socket", 40, 2), said("socket", 40, 1), said("socket", 1, 2)],
        [errno(22), ALLOW, ALLOW]
    );
    // Two looks at one argument are alternatives.
    let persona = [0, 8, 9].map(|value| said("personality", value, 0));
    assert_eq!(persona, [ALLOW, ALLOW, KILL_PROCESS]);
    assert_eq!([said("clone", 0x11, 0), said("clone", 0x1000_0000, 0)], [ALLOW, KILL_PROCESS]);
}

#[test]
fn the_other_door_of_32_bit_programs_is_closed_too() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["socket", "shmget"], "action": "SCMP_ACT_ERRNO"}],
    });
    let program = program(profile, &[Arch::X86_64, Arch::X86]);
    let said = |name, first| ask(&program, Arch::X86, name, [first, 0, 0, 0, 0, 0]);
    assert_eq!([said("socket", 0), said("socketcall", 1), said("ipc", 23)], [errno(1); 3]);
    assert_eq!([said("socketcall", 2), said("ipc", 1)], [ALLOW; 2]);
}

#[test]
fn a_32_bit_argument_is_compared_as_one() {
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["close"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": u64::MAX, "op": "SCMP_CMP_EQ"}]}],
    });
    let program = program(profile, &[Arch::X86, Arch::X86_64]);
    let narrow = [0xffff_ffff, 0, 0, 0, 0, 0];
    assert_eq!(ask(&program, Arch::X86, "close", narrow), errno(1));
    assert_eq!(ask(&program, Arch::X86_64, "close", narrow), ALLOW);
}

#[test]
fn a_long_profile_is_searched_in_a_few_steps() {
    let all = Calls::of(Arch::X86_64);
    // Every third call has an answer of its own, so that nothing can be merged.
    let names: Vec<_> =
        include_str!("syscalls.txt").lines().filter_map(|line| line.split(' ').next()).collect();
    let rules: Vec<_> = names
        .iter()
        .filter(|name| all.number(name).is_some_and(|number| number % 3 == 0))
        .enumerate()
        .map(|(at, name)| json!({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": at + 2}))
        .collect();
    let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules});
    let program = program(profile, &[Arch::X86_64]);
    assert!(program.len() < 1000, "{}", program.len());
    for (at, rule) in rules.iter().enumerate() {
        let name = rule["names"][0].as_str().unwrap();
        let wanted = errno(i32::try_from(at + 2).unwrap());
        assert_eq!(ask(&program, Arch::X86_64, name, NO_ARGUMENTS), wanted, "{name}");
    }
}

#[test]
fn profiles_that_cannot_be_are_refused_by_member() {
    let refused = |profile: Value| {
        let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
        Filter::compile(&profile).unwrap_err().to_string()
    };
    let rule = |rule: Value| json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
    assert_eq!(
        refused(rule(json!({"names": ["read"], "action": "SCMP_ACT_KILL", "errnoRet": 1}))),
        "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL has no error number"
    );
    assert_eq!(
        refused(rule(json!({"names": ["read"], "action": "SCMP_ACT_NOTIFY"}))),
        "linux.seccomp.listenerPath: is missing although SCMP_ACT_NOTIFY is used"
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/x"})),
        "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default action"
    );
    let args = json!([{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]);
    assert_eq!(
        refused(rule(json!({"names": ["read"], "action": "SCMP_ACT_LOG", "args": args}))),
        "linux.seccomp.syscalls[0].args[0].index: is above 5"
    );
    assert_eq!(
        refused(json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x"})),
        "linux.seccomp.listenerMetadata: cannot be set without listenerPath"
    );
}

fn holds(operator: LinuxSeccompOperator, argument: u64, value: u64, masked: u64) -> bool {
    match operator {
        LinuxSeccompOperator::ScmpCmpNe => argument != value,
        LinuxSeccompOperator::ScmpCmpLt => argument < value,
        LinuxSeccompOperator::ScmpCmpLe => argument <= value,
        LinuxSeccompOperator::ScmpCmpEq => argument == value,
        LinuxSeccompOperator::ScmpCmpGe => argument >= value,
        LinuxSeccompOperator::ScmpCmpGt => argument > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => argument & value == masked,
    }
}

/// Values near each other and near the seam of the two halves.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..4_u64, 0xffff_fffe..0x1_0000_0003_u64, Just(u64::MAX), any::<u64>()]
}

fn operator() -> impl Strategy<Value = LinuxSeccompOperator> {
    prop::sample::select(vec![
        LinuxSeccompOperator::ScmpCmpNe,
        LinuxSeccompOperator::ScmpCmpLt,
        LinuxSeccompOperator::ScmpCmpLe,
        LinuxSeccompOperator::ScmpCmpEq,
        LinuxSeccompOperator::ScmpCmpGe,
        LinuxSeccompOperator::ScmpCmpGt,
        LinuxSeccompOperator::ScmpCmpMaskedEq,
    ])
}

proptest! {
    #[test]
    fn comparisons_of_halves_are_comparisons_of_the_whole(
        wanted in prop::collection::vec((operator(), number(), number()), 1..6),
        arguments in prop::array::uniform6(number()),
    ) {
        let args: Vec<_> = wanted.iter().enumerate().map(|(index, (operator, value, masked))| {
            json!({"index": index, "value": value, "valueTwo": masked, "op": operator.to_string()})
        }).collect();
        let profile = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "args": args}],
        });
        let all = wanted.iter().zip(arguments);
        let expected = all.into_iter().all(|((operator, value, masked), argument)| {
            holds(*operator, argument, *value, *masked)
        });
        let said = ask(&program(profile, &[Arch::Aarch64]), Arch::Aarch64, "ioctl", arguments);
        prop_assert_eq!(said == errno(1), expected);
    }
}

#[test]
fn what_another_process_has_compiled_is_known_and_rubbish_is_not() {
    let profile = |name: &str| -> LinuxSeccomp {
        let rule = json!({ "names": [name], "action": "SCMP_ACT_ALLOW" });
        serde_json::from_value(json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] })).unwrap()
    };
    let (read, write) = (profile("read"), profile("write"));
    let filter = Filter::compile(&read).unwrap();
    // Known as the other's, so that whoever compiles shows.
    Filter::know(&write, &filter.to_bytes());
    assert_eq!(Filter::compiled(&write).unwrap(), filter);
    for rubbish in [&[][..], &[1; 9], &vec![0; 8 * (LONGEST + 1)]] {
        Filter::know(&read, rubbish);
        assert_eq!(Filter::compiled(&write).unwrap(), filter, "what is no program changes nothing");
    }
    assert_eq!(Filter::compiled(&read).unwrap(), filter);
}
