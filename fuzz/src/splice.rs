//! True values, whole or damaged, within text of the fuzzer's own.

/// Replaces each order in a text by what it asks for. Orders begin with a control character, which no header and no
/// JSON has, and name one of the true values and a place in it, which counts from the end if it is 128 or more:
///
/// | order | is |
/// | --- | --- |
/// | 1, value | the value |
/// | 2, value, place, byte | the value with another byte at the place |
/// | 3, value, place | the value up to the place |
/// | 4, value, place | the value from the place on |
/// | 5, value | the value, percent-encoded |
/// | 6, value | the value with a bit of its last character changed, which may be one that base64 has no use for |
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
                let end = value.iter().rposition(is_in_base64).expect("a true value has some");
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
