//! Times as they are written in attributes: `"15m"`, `"1h 30m"`.

use std::time::Duration;

/// The units, in milliseconds.
const UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a time. The error is the message for the user.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    match milliseconds(text) {
        Ok(0) => Err(format!(
            "{text:?} is not a valid time, because it is zero; write one such as `\"15m\"`"
        )),
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(Problem::Overflow) => Err(format!(
            "{text:?} is too long; write a shorter time such as `\"15m\"`, or remove `ttl`"
        )),
        Err(Problem::Unit) => Err(format!(
            "{text:?} has an unknown unit; use `ms`, `s`, `m` (minutes), `h` or `d`, as in \
             `\"15m\"`"
        )),
        Err(Problem::Form) => Err(format!(
            "{text:?} is not a valid time; write whole numbers with the units `ms`, `s`, `m`, \
             `h` or `d`, as in `\"15m\"` or `\"1h 30m\"`"
        )),
    }
}

enum Problem {
    Overflow,
    Unit,
    Form,
}

fn milliseconds(text: &str) -> Result<u64, Problem> {
    let mut sum: u64 = 0;
    let mut rest = text.trim_ascii();
    if rest.is_empty() {
        return Err(Problem::Form);
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let letters = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        let (unit, after) = after.split_at(letters);
        if number.is_empty() || unit.is_empty() {
            return Err(Problem::Form);
        }
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Problem::Unit)?;
        // Digits alone fail to parse only if the number is too large.
        let number: u64 = number.parse().map_err(|_| Problem::Overflow)?;
        let part = number.checked_mul(*ms).ok_or(Problem::Overflow)?;
        sum = sum.checked_add(part).ok_or(Problem::Overflow)?;
        rest = after.trim_ascii_start();
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_sums_of_whole_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            (" 1d  1ms ", 86_400_001),
            ("0h 5s", 5_000),
            ("18446744073709551615ms", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn the_message_about_an_invalid_time_says_what_to_write() {
        for (text, problem) in [
            ("", "is not a valid time;"),
            (" ", "is not a valid time;"),
            ("15", "is not a valid time;"),
            ("m", "is not a valid time;"),
            ("15 m", "is not a valid time;"),
            ("-15m", "is not a valid time;"),
            ("1.5h", "is not a valid time;"),
            ("1h, 30m", "is not a valid time;"),
            ("15m!", "is not a valid time;"),
            ("1_000ms", "is not a valid time;"),
            ("٣m", "is not a valid time;"),
            ("15min", "has an unknown unit;"),
            ("15M", "has an unknown unit;"),
            ("15µs", "has an unknown unit;"),
            ("0s", "is zero;"),
            ("0h 0m", "is zero;"),
            ("18446744073709551616ms", "is too long;"),
            ("213503982335d", "is too long;"),
            ("18446744073709551615ms 1ms", "is too long;"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(problem) && message.contains("15m"), "{text}: {message}");
        }
    }
}
