//! The program as a file: it runs on any host of its processor.

use std::fs;

/// Program header types, from elf(5).
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

#[test]
fn the_program_needs_no_shared_library() {
    let program = fs::read(env!("CARGO_BIN_EXE_hythe")).unwrap();
    assert_eq!(program[..6], *b"\x7fELF\x02\x01", "a 64-bit little-endian ELF file");
    let number = |at: usize, size: usize| {
        program[at..at + size].iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(0x20, 8), number(0x36, 2), number(0x38, 2));
    assert!(count > 0);
    for header in 0..count {
        let kind = u32::try_from(number(table + header * size, 4)).unwrap();
        assert!(![DYNAMIC, INTERPRETER].contains(&kind), "program header {header} is of type {kind}");
    }
}
