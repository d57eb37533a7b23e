//! Rules as a program of the kernel's packet filter machine. Pure.
//!
//! Numbers with the same answer are one range, and the ranges are the leaves of a balanced tree, so a call costs some
//! ten comparisons whatever the profile's length. Every part jumps only forward and only within itself, so parts are
//! written on their own and put one behind the other.

use oci_spec::runtime::LinuxSeccompOperator;

use super::rules::{Conditional, FOREIGN, NOT_IMPLEMENTED, Rules, Test, Verdict};
use super::syscalls::{Arch, X32_BIT};

/// Operations (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_ABOVE: u16 = 0x25;
const JUMP_ABOVE_OR_EQUAL: u16 = 0x35;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

/// Where the kernel puts what a filter is asked about (`struct seccomp_data`).
const NUMBER_AT: u32 = 0;
const ARCH_AT: u32 = 4;
const ARGUMENTS_AT: u32 = 16;

/// One instruction, as the kernel takes it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub yes: u8,
    /// Instructions to skip if it does not.
    pub no: u8,
    pub value: u32,
}

impl Instruction {
    /// As it lies in memory.
    pub(super) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[2..4].copy_from_slice(&[self.yes, self.no]);
        bytes[4..].copy_from_slice(&self.value.to_ne_bytes());
        bytes
    }

    /// The opposite.
    pub(super) fn from_bytes([c0, c1, yes, no, v0, v1, v2, v3]: [u8; 8]) -> Self {
        Self { code: u16::from_ne_bytes([c0, c1]), yes, no, value: u32::from_ne_bytes([v0, v1, v2, v3]) }
    }
}

type Code = Vec<Instruction>;

const fn plain(code: u16, value: u32) -> Instruction {
    Instruction { code, yes: 0, no: 0, value }
}

/// The program for several architectures, of which x86_64 and x32 share a code.
pub(super) fn compile(all: &[Rules]) -> Code {
    let mut code = vec![plain(LOAD, ARCH_AT)];
    let mut seen = Vec::new();
    for rules in all {
        let audit = rules.arch.audit();
        if seen.contains(&audit) {
            continue;
        }
        seen.push(audit);
        let beside: Vec<_> = all.iter().filter(|one| one.arch.audit() == audit).collect();
        let mut part = vec![plain(LOAD, NUMBER_AT)];
        part.extend(tree(&ranges(&beside)));
        code.extend(unless(JUMP_EQUAL, audit, part.len()));
        code.extend(part);
    }
    code.push(plain(RETURN, FOREIGN));
    code
}

/// Skips `length` instructions unless the comparison holds.
fn unless(code: u16, value: u32, length: usize) -> Code {
    match u8::try_from(length) {
        Ok(no) => vec![Instruction { code, yes: 0, no, value }],
        Err(_) => vec![Instruction { code, yes: 1, no: 0, value }, far(length)],
    }
}

/// Skips `length` instructions if the comparison holds.
fn when(code: u16, value: u32, length: usize) -> Code {
    match u8::try_from(length) {
        Ok(yes) => vec![Instruction { code, yes, no: 0, value }],
        Err(_) => vec![Instruction { code, yes: 0, no: 1, value }, far(length)],
    }
}

fn far(length: usize) -> Instruction {
    // Beyond this a program is too long for the kernel anyway.
    plain(JUMP, u32::try_from(length).unwrap_or(u32::MAX))
}

/// Numbers from this one on, up to the next range, have this code.
struct Range {
    from: u32,
    code: Code,
}

/// The whole of the numbers in ranges, for rules that share an architecture code.
fn ranges(beside: &[&Rules]) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::new();
    let mut push = |from: u32, code: Code| match out.last_mut() {
        Some(last) if last.code == code => {}
        Some(last) if last.from == from => last.code = code,
        _ => out.push(Range { from, code }),
    };
    let is_x86_64 = beside.iter().any(|rules| matches!(rules.arch, Arch::X86_64 | Arch::X32));
    for base in if is_x86_64 { &[0, X32_BIT][..] } else { &[0][..] } {
        let marked = *base != 0;
        let Some(rules) = beside.iter().find(|rules| (rules.arch == Arch::X32) == marked) else {
            push(*base, vec![plain(RETURN, FOREIGN)]);
            continue;
        };
        push(*base, vec![plain(RETURN, rules.default)]);
        for (number, verdict) in &rules.calls {
            push(*number, verdict_code(verdict, rules.default));
            push(number.saturating_add(1), vec![plain(RETURN, rules.default)]);
        }
        if let Some(newest) = rules.newest {
            push(newest.saturating_add(1), vec![plain(RETURN, NOT_IMPLEMENTED)]);
        }
    }
    out
}

/// A search for the range that a number is in.
fn tree(ranges: &[Range]) -> Code {
    match ranges {
        [] => vec![plain(RETURN, FOREIGN)],
        [only] => only.code.clone(),
        more => {
            let (low, high) = more.split_at(more.len() / 2);
            let below = tree(low);
            let mut code = when(JUMP_ABOVE_OR_EQUAL, high[0].from, below.len());
            code.extend(below);
            code.extend(tree(high));
            code
        }
    }
}

fn verdict_code(verdict: &Verdict, default: u32) -> Code {
    let mut code = Vec::new();
    for one in &verdict.conditionals {
        code.extend(conditional(one));
    }
    code.push(plain(RETURN, verdict.otherwise.unwrap_or(default)));
    code
}

/// Returns the answer if every test holds, else goes on behind.
fn conditional(one: &Conditional) -> Code {
    let mut code = vec![plain(RETURN, one.answer)];
    for test in one.tests.iter().rev() {
        let mut whole = test_code(test, code.len());
        whole.extend(code);
        code = whole;
    }
    code
}

/// Where a comparison leads.
#[derive(Clone, Copy)]
enum To {
    Next,
    Holds,
    Fails,
}

/// Goes on behind if the test holds, and `skip` further if it does not.
fn test_code(test: &Test, skip: usize) -> Code {
    use To::{Fails, Holds, Next};
    let (high, low) = ((test.value >> 32) as u32, (test.value & 0xffff_ffff) as u32);
    let (masked_high, masked_low) = ((test.masked >> 32) as u32, (test.masked & 0xffff_ffff) as u32);
    let low_at = ARGUMENTS_AT + test.argument * 8;
    let (load_high, load_low) = (Piece::Plain(LOAD, low_at + 4), Piece::Plain(LOAD, low_at));
    let pieces = match test.operator {
        LinuxSeccompOperator::ScmpCmpEq => vec![
            load_high,
            Piece::Jump(JUMP_EQUAL, high, Next, Fails),
            load_low,
            Piece::Jump(JUMP_EQUAL, low, Holds, Fails),
        ],
        LinuxSeccompOperator::ScmpCmpNe => vec![
            load_high,
            Piece::Jump(JUMP_EQUAL, high, Next, Holds),
            load_low,
            Piece::Jump(JUMP_EQUAL, low, Fails, Holds),
        ],
        LinuxSeccompOperator::ScmpCmpGt => {
            order(load_high, load_low, high, (JUMP_ABOVE, low), (Holds, Fails))
        }
        LinuxSeccompOperator::ScmpCmpGe => {
            order(load_high, load_low, high, (JUMP_ABOVE_OR_EQUAL, low), (Holds, Fails))
        }
        LinuxSeccompOperator::ScmpCmpLe => {
            order(load_high, load_low, high, (JUMP_ABOVE, low), (Fails, Holds))
        }
        LinuxSeccompOperator::ScmpCmpLt => {
            order(load_high, load_low, high, (JUMP_ABOVE_OR_EQUAL, low), (Fails, Holds))
        }
        LinuxSeccompOperator::ScmpCmpMaskedEq => vec![
            load_high,
            Piece::Plain(AND, high),
            Piece::Jump(JUMP_EQUAL, masked_high, Next, Fails),
            load_low,
            Piece::Plain(AND, low),
            Piece::Jump(JUMP_EQUAL, masked_low, Holds, Fails),
        ],
    };
    lay(&pieces, skip)
}

enum Piece {
    Plain(u16, u32),
    Jump(u16, u32, To, To),
}

/// A 64-bit comparison by halves: above leads to `ends.0`, below to `ends.1`.
fn order(load_high: Piece, load_low: Piece, high: u32, low: (u16, u32), ends: (To, To)) -> Vec<Piece> {
    vec![
        load_high,
        Piece::Jump(JUMP_ABOVE, high, ends.0, To::Next),
        Piece::Jump(JUMP_EQUAL, high, To::Next, ends.1),
        load_low,
        Piece::Jump(low.0, low.1, ends.0, ends.1),
    ]
}

fn lay(pieces: &[Piece], skip: usize) -> Code {
    // Six tests of six instructions each and a return: every distance fits.
    let distance = |at: usize, to: To| {
        let rest = pieces.len() - at - 1;
        let length = match to {
            To::Next => 0,
            To::Holds => rest,
            To::Fails => rest + skip,
        };
        u8::try_from(length).unwrap_or(u8::MAX)
    };
    let one = |(at, piece): (usize, &Piece)| match *piece {
        Piece::Plain(code, value) => plain(code, value),
        Piece::Jump(code, value, yes, no) => {
            Instruction { code, yes: distance(at, yes), no: distance(at, no), value }
        }
    };
    pieces.iter().enumerate().map(one).collect()
}
