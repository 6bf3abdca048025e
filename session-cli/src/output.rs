//! What goes to the standard output: text for people, or JSON for scripts.

use std::io::{self, BufWriter, Stdout, Write};

use actix_typed_session::Timestamp;
use serde::Serialize;

/// The standard output.
pub(crate) struct Output {
    stdout: BufWriter<Stdout>,
    pub(crate) json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { stdout: BufWriter::new(io::stdout()), json }
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.stdout, "{text}")
    }

    /// Writes an object as a line.
    pub(crate) fn object(&mut self, object: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.stdout, object)?;
        writeln!(self.stdout)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Writes a note beside the output. It may go nowhere.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "typed-sessions: {text}");
}

/// A time for people, in UTC and without milliseconds.
pub(crate) fn time(time: Timestamp) -> String {
    let text = time.to_string();
    let seconds = text.rfind('.').unwrap_or(text.len());
    text[..seconds].replacen('T', " ", 1)
}

/// A text that cannot control the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks that reverse the direction of text could make a line read as another one.
        let is_invisible = matches!(
            c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        );
        if c.is_control() || is_invisible {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `1 session`, `2 sessions`.
pub(crate) fn sessions(number: u64) -> String {
    format!("{number} session{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_for_people() {
        assert_eq!(time(Timestamp::from_unix_ms(1_767_225_600_123)), "2026-01-01 00:00:00");
    }

    #[test]
    fn what_is_stored_does_not_control_the_terminal() {
        assert_eq!(
            printable("naïve\u{1b}[2J\u{9b}\u{202e}\n"),
            r"naïve\u{1b}[2J\u{9b}\u{202e}\u{a}"
        );
    }
}
