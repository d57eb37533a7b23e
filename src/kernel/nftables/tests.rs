use super::*;
use crate::kernel::netlink::Messages;

const FIRST: Register = Register(0);
const SECOND: Register = Register(1);

#[cfg(target_endian = "little")]
mod golden_bytes {
    use super::*;

    /// Compares with the words that the nft program sends for the same thing, but for the names of registers.
    fn golden(message: &Message, expected: &str) {
        let hex = |word: &[u8]| format!("{:08x}", u32::from_be_bytes(word.try_into().unwrap()));
        let words: Vec<String> = message.finished().chunks(4).map(hex).collect();
        assert_eq!(words.join(" "), expected.split_whitespace().collect::<Vec<_>>().join(" "));
    }

    #[test]
    fn of_a_transaction() {
        golden(&begin(Some(7)), "1c000000 10000100 00000000 00000000 0000000a 08000100 00000007");
        golden(&end(), "14000000 11000100 00000000 00000000 0000000a");
    }

    #[test]
    fn of_a_table() {
        golden(
            &put_table("t", "hello"),
            "28000000 000a0504 00000000 00000000 02000000
             06000100 74000000
             0c000600 00066865 6c6c6f00",
        );
    }

    #[test]
    fn of_a_chain() {
        golden(
            &add_base_chain("t", "c", ChainKind::Nat, Hook::Prerouting, -100),
            "48000000 030a0504 00000000 00000000 02000000
             06000100 74000000
             06000300 63000000
             14000480 08000100 00000000 08000200 ffffff9c
             08000500 00000001
             08000700 6e617400",
        );
    }

    #[test]
    fn of_a_map() {
        use ValueType::{Address, Port, Protocol};
        golden(
            &add_map("t", "m", 1, &[Address, Protocol, Port], &[Address, Port]),
            "54000000 090a0504 00000000 00000000 02000000
             06000100 74000000
             06000200 6d000000
             08000300 00000008
             08000400 0000730d
             08000500 0000000c
             08000600 000001cd
             08000700 00000008
             08000a00 00000001",
        );
    }

    #[test]
    fn of_an_element() {
        let key = vec![127, 0, 0, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0];
        let elements = [(key, vec![10, 88, 0, 2, 0, 80, 0, 0])];
        golden(
            &add_elements("t", "m", &elements).next().unwrap(),
            "50000000 0c0a0504 00000000 00000000 02000000
             06000100 74000000
             06000200 6d000000
             2c000380 28000180
             14000180 10000100 7f000001 06000000 1f900000
             10000280 0c000100 0a580002 00500000",
        );
    }

    #[test]
    fn of_a_rule_that_looks_up_and_redirects() {
        let rule = [
            Expression::TransportProtocol(FIRST),
            Expression::TargetPort(SECOND),
            Expression::Lookup { map: "m".to_owned(), key: FIRST, result: FIRST },
            Expression::Redirect { address: FIRST, port: SECOND },
        ];
        golden(
            &append_rule("t", "c", "one", &rule),
            "f8000000 060a050c 00000000 00000000 02000000
             06000100 74000000
             06000200 63000000
             c8000480
             24000180 09000100 6d657461 00000000 14000280 08000100 00000008 08000200 00000010
             34000180 0c000100 7061796c 6f616400 24000280
             08000100 00000009 08000200 00000002 08000300 00000002 08000400 00000002
             2c000180 0b000100 6c6f6f6b 75700000 1c000280
             06000100 6d000000 08000200 00000008 08000300 00000008
             40000180 08000100 6e617400 34000280
             08000100 00000001 08000200 00000002 08000300 00000008 08000400 00000008
             08000500 00000009 08000600 00000009
             0a000700 00046f6e 65000000",
        );
    }

    #[test]
    fn of_a_rule_that_compares_and_drops() {
        let rule = [
            Expression::Target(FIRST),
            Expression::Mask(FIRST, vec![255, 0, 0, 0]),
            Expression::Equal(FIRST, vec![127, 0, 0, 0]),
            Expression::Decide(Verdict::Drop),
        ];
        golden(
            &append_rule("t", "c", "", &rule),
            "04010000 060a050c 00000000 00000000 02000000
             06000100 74000000
             06000200 63000000
             d8000480
             34000180 0c000100 7061796c 6f616400 24000280
             08000100 00000008 08000200 00000001 08000300 00000010 08000400 00000004
             44000180 0c000100 62697477 69736500 34000280
             08000100 00000008 08000200 00000008 08000300 00000004
             0c000480 08000100 ff000000 0c000580 08000100 00000000
             2c000180 08000100 636d7000 20000280
             08000100 00000008 08000200 00000000 0c000380 08000100 7f000000
             30000180 0e000100 696d6d65 64696174 65000000 1c000280
             08000100 00000000 10000280 0c000280 08000100 00000000
             07000700 00010000",
        );
    }
}

#[test]
fn elements_read_back_and_long_lists_are_split() {
    let elements: Vec<FoundElement> =
        (0..2500_u32).map(|number| (number.to_be_bytes().to_vec(), vec![1, 2, 3, 4, 0, 80, 0, 0])).collect();
    let messages: Vec<Message> = add_elements("t", "m", &elements).collect();
    assert_eq!(messages.len(), 3);
    let bytes: Vec<u8> = messages.iter().flat_map(Message::finished).collect();
    let read: Vec<FoundElement> =
        Messages(&bytes).filter_map(|reply| read_elements(&reply)).flatten().collect();
    assert_eq!(read, elements);
}

#[test]
fn comments_read_back_and_long_ones_are_cut() {
    for (comment, expected) in [("hello", "hello"), (&"x".repeat(300), &"x".repeat(120))] {
        let bytes = put_table("t", comment).finished();
        let table = Messages(&bytes).next().and_then(|reply| read_table(&reply)).unwrap();
        assert_eq!(table.comment.as_deref(), Some(expected));
    }
}

#[test]
fn news_names_the_table_it_is_about() {
    let news = |message: Message| {
        let bytes = message.finished();
        Messages(&bytes).next().and_then(|reply| touched_table(&reply))
    };
    assert_eq!(news(delete_table("t")).as_deref(), Some("t"));
    assert_eq!(news(append_rule("t", "c", "", &[])).as_deref(), Some("t"));
    assert_eq!(
        news(add_elements("t", "m", &[(vec![0; 8], vec![0; 8])]).next().unwrap()).as_deref(),
        Some("t")
    );
    assert_eq!(news(begin(None)), None);
    assert_eq!(news(crate::kernel::netlink::link::delete("t")), None);
}
