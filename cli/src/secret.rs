//! Secrets that the user enters: a prompt without echo, or a line of standard input. They are then
//! neither in the shell's history nor in the list of processes.

use console::Term;
use std::io::{self, IsTerminal};

/// Value of an option for which the user enters the secret.
const ENTERED: &str = "-";

/// The secret that an option has, or that the user enters if it has `-`. `name` says what is asked
/// for.
pub(crate) fn secret(given: &str, name: &str) -> Result<String, String> {
    if given != ENTERED {
        return Ok(given.to_owned());
    }
    let entered = if io::stdin().is_terminal() {
        prompt(name)
    } else {
        line()
    };
    let entered = entered.map_err(|error| format!("the {name} cannot be read ({error})"))?;
    if entered.is_empty() {
        return Err(format!("no {name} was entered"));
    }
    Ok(entered)
}

fn prompt(name: &str) -> io::Result<String> {
    let terminal = Term::stderr();
    terminal.write_str(&format!("{name}: "))?;
    terminal.read_secure_line()
}

/// The next line of standard input.
fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
