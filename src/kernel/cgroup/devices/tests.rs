use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};
use proptest::prelude::*;

use super::program::{ANSWER, BLOCK, CHARACTER, Instruction, MAKE, QUESTION, READ, WRITE, code, compile};

/// What the kernel asks.
#[derive(Debug, Clone, Copy)]
struct Question {
    kind: i32,
    access: i32,
    major: u32,
    minor: u32,
}

/// Runs a program as the kernel would, and checks what the kernel's verifier would.
fn run(program: &[Instruction], question: Question) -> bool {
    let words = [(question.access << 16 | question.kind).unsigned_abs(), question.major, question.minor];
    let mut registers: [Option<u64>; 11] = [None; 11];
    let mut at = 0;
    loop {
        let Instruction { code, registers: both, offset, immediate } = program[at];
        let both = if cfg!(target_endian = "big") { both.rotate_left(4) } else { both };
        let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
        let value = i64::from(immediate).cast_unsigned();
        let known = |register: usize| registers[register].expect("a register is read after it was written");
        let jump = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut over = 0;
        match code {
            code::LOAD => {
                assert_eq!(from, usize::from(QUESTION));
                registers[to] = Some(u64::from(words[jump / 4]));
            }
            code::MOVE => registers[to] = Some(value),
            code::MOVE_REGISTER => registers[to] = Some(known(from)),
            code::AND => registers[to] = Some(known(to) & value),
            code::SHIFT_RIGHT => registers[to] = Some(known(to) >> value),
            code::JUMP => over = jump,
            code::JUMP_IF_NOT_EQUAL if known(to) != value => over = jump,
            code::JUMP_IF_ANY_SET if known(to) & value != 0 => over = jump,
            code::JUMP_IF_NOT_EQUAL | code::JUMP_IF_ANY_SET => {}
            code::EXIT => return known(usize::from(ANSWER)) == 1,
            other => panic!("an instruction {other:#x} that was never to be made"),
        }
        at += 1 + over;
    }
}

/// The rules' meaning in plain words: a table of what is allowed, changed by one rule after the other.
fn is_allowed(rules: &[LinuxDeviceCgroup], question: Question) -> bool {
    [('m', MAKE), ('r', READ), ('w', WRITE)].into_iter().filter(|(_, bit)| question.access & bit != 0).all(
        |(letter, _)| {
            rules.iter().fold(false, |allowed, rule| {
                let is_number = |number: Option<i64>, asked: u32| {
                    number.is_none_or(|number| number < 0 || number == i64::from(asked))
                };
                let is_kind = match rule.typ().unwrap_or_default() {
                    LinuxDeviceType::A => true,
                    LinuxDeviceType::B => question.kind == BLOCK,
                    LinuxDeviceType::C | LinuxDeviceType::U => question.kind == CHARACTER,
                    LinuxDeviceType::P => false,
                };
                let is_met = is_kind
                    && is_number(rule.major(), question.major)
                    && is_number(rule.minor(), question.minor)
                    && rule.access().as_ref().is_none_or(|access| access.contains(letter));
                if is_met { rule.allow() } else { allowed }
            })
        },
    )
}

/// Where control can go from each instruction; the kernel refuses what it cannot reach and what leads outside.
fn unreachable(program: &[Instruction]) -> Vec<usize> {
    let mut reached = vec![false; program.len()];
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        if std::mem::replace(&mut reached[at], true) {
            continue;
        }
        let target = at + 1 + usize::try_from(program[at].offset).unwrap();
        match program[at].code {
            code::EXIT => {}
            code::JUMP => open.push(target),
            code::JUMP_IF_NOT_EQUAL | code::JUMP_IF_ANY_SET => open.extend([at + 1, target]),
            _ => open.push(at + 1),
        }
    }
    (0..program.len()).filter(|at| !reached[*at]).collect()
}

fn rule(text: &str) -> LinuxDeviceCgroup {
    let words: Vec<_> = text.split(' ').collect();
    let number = |text: &str| text.parse().unwrap_or(-1_i64);
    let (major, minor) = words[2].split_once(':').unwrap();
    let kind = match words[1] {
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => LinuxDeviceType::A,
    };
    LinuxDeviceCgroupBuilder::default()
        .allow(words[0] == "allow")
        .typ(kind)
        .major(number(major))
        .minor(number(minor))
        .access(words[3])
        .build()
        .unwrap()
}

fn answers(rules: &[&str], kind: i32, access: i32, major: u32, minor: u32) -> bool {
    let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
    run(&compile(&rules), Question { kind, access, major, minor })
}

#[test]
fn what_no_rule_allows_is_forbidden() {
    assert!(!answers(&[], CHARACTER, READ, 1, 3));
    assert!(!answers(&["allow c 1:3 rwm"], CHARACTER, READ, 1, 5));
    assert!(!answers(&["allow c 1:3 rwm"], BLOCK, READ, 1, 3));
}

#[test]
fn the_last_rule_that_speaks_of_it_decides() {
    let rules = ["deny a *:* rwm", "allow c 1:* rwm", "deny c 1:5 w"];
    assert!(answers(&rules, CHARACTER, READ | WRITE, 1, 3));
    assert!(answers(&rules, CHARACTER, READ, 1, 5));
    assert!(!answers(&rules, CHARACTER, WRITE, 1, 5));
    assert!(!answers(&["allow a *:* rwm", "deny a *:* rwm"], BLOCK, READ, 8, 0));
}

#[test]
fn wanting_two_things_needs_both() {
    let rules = ["allow b 8:0 rwm", "deny b 8:0 w"];
    assert!(!answers(&rules, BLOCK, READ | WRITE, 8, 0));
    let rules = ["allow b 8:0 r", "allow b 8:* w"];
    assert!(answers(&rules, BLOCK, READ | WRITE, 8, 0));
    assert!(!answers(&rules, BLOCK, READ | WRITE, 8, 1));
}

#[test]
fn an_ordinary_container_makes_any_node_and_opens_only_its_own() {
    let rules = ["deny a *:* rwm", "allow c *:* m", "allow b *:* m", "allow c 1:3 rwm"];
    assert!(answers(&rules, BLOCK, MAKE, 8, 0));
    assert!(!answers(&rules, BLOCK, READ, 8, 0));
    assert!(answers(&rules, CHARACTER, READ | WRITE, 1, 3));
}

#[test]
fn whether_a_node_is_there_may_always_be_asked() {
    assert!(answers(&["deny a *:* rwm"], BLOCK, 0, 8, 0));
}

#[test]
fn rules_that_allow_everything_are_known() {
    let allow_everything =
        |rules: &[&str]| super::allow_everything(&rules.iter().map(|text| rule(text)).collect::<Vec<_>>());
    assert!(allow_everything(&["deny b *:* rwm", "allow a *:* rwm"]));
    for not in [["allow a *:* rwm", "deny b 8:0 w"], ["deny a *:* rwm", "allow a *:* rw"]] {
        assert!(!allow_everything(&not), "{not:?}");
    }
    assert!(!allow_everything(&[]));
}

fn rules() -> impl Strategy<Value = Vec<LinuxDeviceCgroup>> {
    let kind = prop_oneof![
        Just(LinuxDeviceType::A),
        Just(LinuxDeviceType::B),
        Just(LinuxDeviceType::C),
        Just(LinuxDeviceType::U),
        Just(LinuxDeviceType::P),
    ];
    let number = || prop_oneof![Just(None), (-1_i64..3).prop_map(Some), Just(Some(1 << 40))];
    let access = prop_oneof![Just(None), "[rwm]{0,3}".prop_map(Some)];
    let rule = (any::<bool>(), proptest::option::of(kind), number(), number(), access).prop_map(
        |(allow, kind, major, minor, access)| {
            let mut rule = LinuxDeviceCgroup::default();
            rule.set_allow(allow).set_typ(kind).set_major(major).set_minor(minor).set_access(access);
            rule
        },
    );
    proptest::collection::vec(rule, 0..8)
}

proptest! {
    #[test]
    fn a_program_answers_as_its_rules_mean(
        rules in rules(),
        kind in prop_oneof![Just(BLOCK), Just(CHARACTER)],
        access in 0_i32..8,
        major in 0_u32..3,
        minor in 0_u32..3,
    ) {
        let question = Question { kind, access, major, minor };
        prop_assert_eq!(run(&compile(&rules), question), is_allowed(&rules, question));
    }

    #[test]
    fn every_instruction_can_be_reached(rules in rules()) {
        prop_assert_eq!(unreachable(&compile(&rules)), Vec::<usize>::new());
    }
}
