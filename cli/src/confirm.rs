//! Questions to the user: the confirmation of a command, and a line of text.

use crate::Failure;
use std::io::{self, BufRead, IsTerminal};

/// Error if nobody can be asked.
pub(crate) const NO_TERMINAL: &str = "stdin is not a terminal: pass --yes to confirm";

/// Asks the user a question. The answer is yes only if it is `y`.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(NO_TERMINAL.into());
    }
    let answer = asked(&format!("{question} [y/N]"))?;
    Ok(answer.eq_ignore_ascii_case("y"))
}

/// Asks the user for a line of text. Empty at the end of the input.
pub(crate) fn asked(question: &str) -> Result<String, Failure> {
    // The standard output may be piped.
    eprint!("{question} ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().to_owned())
}
