//! Times written as people write them: `"15m"`, `"1h 30m"`.

use std::time::Duration;

/// The units, in milliseconds.
const UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a time, or tells what to write instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    match milliseconds(text) {
        Ok(0) => Err(format!("{text:?} is no time at all; write one such as `\"15m\"`")),
        Ok(ms) => Ok(Duration::from_millis(ms)),
        Err(Problem::Overflow) => Err(format!(
            "{text:?} is longer than can be counted; write a time such as `\"15m\"`, or drop `ttl`"
        )),
        Err(Problem::Unit) => Err(format!(
            "{text:?} has a unit that is none; the units are `ms`, `s`, `m` (minutes), `h` and `d`, as in \
             `\"15m\"`"
        )),
        Err(Problem::Form) => Err(format!(
            "{text:?} is no time; write whole numbers with their units `ms`, `s`, `m`, `h` or `d`, as in \
             `\"15m\"` or `\"1h 30m\"`"
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
        // OK because digits alone can only be too many.
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
    fn what_is_no_time_is_told_what_to_write() {
        for (text, problem) in [
            ("", "is no time;"),
            (" ", "is no time;"),
            ("15", "is no time;"),
            ("m", "is no time;"),
            ("15 m", "is no time;"),
            ("-15m", "is no time;"),
            ("1.5h", "is no time;"),
            ("1h, 30m", "is no time;"),
            ("15m!", "is no time;"),
            ("1_000ms", "is no time;"),
            ("٣m", "is no time;"),
            ("15min", "has a unit that is none;"),
            ("15M", "has a unit that is none;"),
            ("15µs", "has a unit that is none;"),
            ("0s", "is no time at all;"),
            ("0h 0m", "is no time at all;"),
            ("18446744073709551616ms", "is longer than can be counted;"),
            ("213503982335d", "is longer than can be counted;"),
            ("18446744073709551615ms 1ms", "is longer than can be counted;"),
        ] {
            let message = parse(text).expect_err(text);
            assert!(message.contains(problem) && message.contains("15m"), "{text}: {message}");
        }
    }
}
