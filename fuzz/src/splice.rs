//! Inserts true values, whole or damaged, into the fuzzer's text.

/// Replaces each order in a text by its result.
///
/// An order begins with a control character, which neither headers nor JSON contain. It then names
/// one of the true values, and some orders a place in it. From 128 on, places count from the end.
///
/// | order | result |
/// | --- | --- |
/// | 1, value | the value |
/// | 2, value, place, byte | the value with another byte at the place |
/// | 3, value, place | the value up to the place |
/// | 4, value, place | the value from the place on |
/// | 5, value | the value, percent-encoded |
/// | 6, value | the value with one bit of its last character changed; base64 may ignore that bit |
pub fn splice(text: &[u8], values: &[Vec<u8>]) -> Vec<u8> {
    let mut spliced = Vec::new();
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if !(1..=6).contains(&byte) {
            spliced.push(byte);
            continue;
        }
        let mut next = || bytes.next().unwrap_or_default();
        let value = &values[usize::from(next()) % values.len()];
        let mut place = || match next() {
            from_start @ ..128 => usize::from(from_start).min(value.len() - 1),
            from_end => value.len().saturating_sub(256 - usize::from(from_end)),
        };
        match byte {
            1 => spliced.extend(value),
            2 => {
                let place = place();
                spliced.extend(&value[..place]);
                spliced.push(next());
                spliced.extend(&value[place + 1..]);
            }
            3 => spliced.extend(&value[..place()]),
            4 => spliced.extend(&value[place()..]),
            5 => spliced.extend(value.iter().flat_map(|byte| format!("%{byte:02X}").into_bytes())),
            _ => {
                let is_in_base64 = |byte: &u8| BASE64.contains(byte);
                let end = value
                    .iter()
                    .rposition(is_in_base64)
                    .expect("a true value has base64 characters");
                spliced.extend(&value[..end]);
                spliced.extend(
                    BASE64.iter().position(|it| *it == value[end]).map(|at| BASE64[at ^ 1]),
                );
                spliced.extend(&value[end + 1..]);
            }
        }
    }
    spliced
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
