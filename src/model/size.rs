//! Sizes as people write them: bytes, or a number with `k`, `m` or `g`.

/// The bytes of `4096`, `512k`, `10m`, `1GiB`; none for what is no size.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_suffix("ib").or_else(|| text.strip_suffix('b')).unwrap_or(&text);
    let units = [('k', 10), ('m', 20), ('g', 30)];
    let unit = units.into_iter().find_map(|(letter, shift)| Some((text.strip_suffix(letter)?, shift)));
    let (digits, shift) = unit.unwrap_or((text, 0));
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_read_as_docker_and_people_write_them() {
        let texts = ["10m", "512K", "1g", "4096", "1mb", "2 MiB", "", "m", "-1", "0", "99999999999g"];
        let mib = 1 << 20;
        let expected =
            [Some(10 * mib), Some(1 << 19), Some(1 << 30), Some(4096), Some(mib), Some(2 * mib), None, None];
        assert_eq!(texts.map(bytes)[..8], expected);
        assert_eq!(texts.map(bytes)[8..], [None, Some(0), None]);
    }
}
