//! Device rules as a program for the kernel. Pure: rules in, instructions out.
//!
//! The kernel asks the program for each use of a device: its kind, its numbers and what is wanted (read, write, make a
//! node), perhaps several at once. Rules apply in their order, so for each wanted thing the last rule that speaks of
//! it decides, and nothing is allowed that no rule allows. The program walks the rules from the last to the first and
//! crosses out what a rule allows; it says yes when nothing is left and no at the first thing that is forbidden.
//!
//! Every jump is forward and within a rule, and no instruction is out of reach, which the kernel insists on.

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

/// One instruction, as the kernel reads it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u8,
    /// Destination and source register, four bits each.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

/// The codes that are used; all compute with 64 bits and an immediate, but for the load of 32.
pub(super) mod code {
    pub(crate) const LOAD: u8 = 0x61;
    pub(crate) const AND: u8 = 0x57;
    pub(crate) const SHIFT_RIGHT: u8 = 0x77;
    pub(crate) const MOVE: u8 = 0xb7;
    pub(crate) const MOVE_REGISTER: u8 = 0xbf;
    pub(crate) const JUMP: u8 = 0x05;
    pub(crate) const JUMP_IF_NOT_EQUAL: u8 = 0x55;
    pub(crate) const JUMP_IF_ANY_SET: u8 = 0x45;
    pub(crate) const EXIT: u8 = 0x95;
}

/// The kinds of devices.
pub(super) const BLOCK: i32 = 1;
pub(super) const CHARACTER: i32 = 2;

/// What can be wanted of a device.
pub(super) const MAKE: i32 = 1;
pub(super) const READ: i32 = 2;
pub(super) const WRITE: i32 = 4;
const EVERYTHING: i32 = MAKE | READ | WRITE;

/// Where in the kernel's question things are: what is wanted above the kind in one word, then the numbers.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR_NUMBER: i16 = 4;
const MINOR_NUMBER: i16 = 8;

/// The registers: the answer, the address of the question, and what is taken out of it.
pub(super) const ANSWER: u8 = 0;
pub(super) const QUESTION: u8 = 1;
const WANTED: u8 = 2;
const KIND: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "big") { to << 4 | from } else { from << 4 | to };
    Instruction { code, registers, offset, immediate }
}

fn load(to: u8, offset: i16) -> Instruction {
    instruction(code::LOAD, to, QUESTION, offset, 0)
}

fn with(code: u8, to: u8, immediate: i32) -> Instruction {
    instruction(code, to, 0, 0, immediate)
}

fn jump(code: u8, what: u8, immediate: i32, over: usize) -> Instruction {
    let offset = i16::try_from(over).expect("a jump stays within one rule, which is a few instructions");
    instruction(code, what, 0, offset, immediate)
}

fn answer(is_allowed: bool) -> [Instruction; 2] {
    [with(code::MOVE, ANSWER, i32::from(is_allowed)), with(code::EXIT, 0, 0)]
}

/// The program that holds a group to `rules`.
pub(super) fn compile(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let mut program = vec![
        load(WANTED, ACCESS_AND_KIND),
        instruction(code::MOVE_REGISTER, KIND, WANTED, 0, 0),
        with(code::AND, KIND, 0xffff),
        with(code::SHIFT_RIGHT, WANTED, 16),
        load(MAJOR, MAJOR_NUMBER),
        load(MINOR, MINOR_NUMBER),
        // Whether a node is there may be asked of any.
        jump(code::JUMP_IF_NOT_EQUAL, WANTED, 0, 2),
    ];
    program.extend(answer(true));
    for rule in rules.iter().rev().filter_map(Rule::read) {
        program.extend(rule.instructions());
        if rule.is_last_word() {
            return program;
        }
    }
    program.extend(answer(false));
    program
}

/// Whether `rules` come to none at all.
pub(super) fn allow_everything(rules: &[LinuxDeviceCgroup]) -> bool {
    let last = rules.iter().rev().find_map(Rule::read);
    last.is_some_and(|rule| rule.is_allowed && rule.is_last_word())
}

/// A rule that some device can meet.
struct Rule {
    /// What must be equal for the rule to be met: register and value.
    conditions: Vec<(u8, i32)>,
    access: i32,
    is_allowed: bool,
}

impl Rule {
    /// Reads a rule; `None` if it speaks of no device or of no use of it.
    fn read(rule: &LinuxDeviceCgroup) -> Option<Self> {
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => None,
            LinuxDeviceType::B => Some(BLOCK),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(CHARACTER),
            LinuxDeviceType::P => return None,
        };
        let access = rule.access().as_deref().map_or(EVERYTHING, access);
        if access == 0 {
            return None;
        }
        let mut conditions: Vec<_> = kind.map(|kind| (KIND, kind)).into_iter().collect();
        for (register, number) in [(MAJOR, rule.major()), (MINOR, rule.minor())] {
            // Below zero means any, as everywhere; no device has a number that does not fit.
            if let Some(number) = number.filter(|number| *number >= 0) {
                conditions.push((register, i32::try_from(number).ok()?));
            }
        }
        Some(Self { conditions, access, is_allowed: rule.allow() })
    }

    /// Whether no rule before this one can matter.
    fn is_last_word(&self) -> bool {
        self.conditions.is_empty() && self.access == EVERYTHING
    }

    fn instructions(&self) -> Vec<Instruction> {
        let verdict = self.verdict();
        let count = self.conditions.len();
        let checks = self.conditions.iter().enumerate().map(|(at, (register, value))| {
            jump(code::JUMP_IF_NOT_EQUAL, *register, *value, count - 1 - at + verdict.len())
        });
        checks.chain(verdict.iter().copied()).collect()
    }

    /// What to do when the conditions are met; something is still wanted.
    fn verdict(&self) -> Vec<Instruction> {
        let mut out = match (self.access, self.is_allowed) {
            (EVERYTHING, _) => Vec::new(),
            (some, true) => vec![with(code::AND, WANTED, !some), jump(code::JUMP_IF_NOT_EQUAL, WANTED, 0, 2)],
            (some, false) => vec![jump(code::JUMP_IF_ANY_SET, WANTED, some, 1), jump(code::JUMP, 0, 0, 2)],
        };
        out.extend(answer(self.is_allowed));
        out
    }
}

fn access(letters: &str) -> i32 {
    letters.chars().fold(0, |set, letter| match letter {
        'm' => set | MAKE,
        'r' => set | READ,
        'w' => set | WRITE,
        _ => set,
    })
}
