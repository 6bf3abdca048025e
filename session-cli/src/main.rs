//! `typed-sessions`: lists, ends, checks and copies the sessions of
//! [actix-typed-session](https://docs.rs/actix-typed-session) from a shell.
//!
//! The [guide](https://docs.rs/actix-typed-session/latest/actix_typed_session/guide/command_line/index.html)
//! shows each command and its output.

mod any_store;
mod args;
mod commands;
mod facts;
mod failure;
mod find;
mod open;
mod output;
mod store_url;

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;

use crate::{args::Args, failure::Failure, output::Output, store_url::without_password};

/// What the program ends with. The guide has the same table.
mod exit {
    pub(crate) const FAILED: u8 = 1;
    pub(crate) const WRONG_USE: u8 = 2;
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report(&error),
    };
    let mut output = Output::new(args.json);
    let result = run(&args, &mut output).and_then(|code| Ok(output.flush().map(|()| code)?));
    match result {
        Ok(code) => code,
        // Who reads our output has seen enough.
        Err(Failure::BrokenPipe) => ExitCode::SUCCESS,
        Err(failure) => {
            // Rows that were found before the failure come first.
            let _ = output.flush();
            let _ = writeln!(std::io::stderr(), "typed-sessions: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints the help, or what is wrong with the arguments.
fn report(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // A URL in the place of a command is quoted there.
    let mut text = error.render().to_string();
    for argument in std::env::args().skip(1) {
        text = text.replace(&argument, &without_password(&argument));
    }
    let _ = write!(std::io::stderr(), "{text}");
    ExitCode::from(exit::WRONG_USE)
}

fn run(args: &Args, output: &mut Output) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = runtime.block_on(commands::run(args, output))?;
    // A server that does not answer must not hold up the end.
    runtime.shutdown_background();
    Ok(code)
}
