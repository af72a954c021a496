//! Confirmation of a command that cannot be undone.

use crate::Failure;
use std::io::{self, BufRead, IsTerminal};

/// Error if nobody can be asked.
pub(crate) const NO_TERMINAL: &str = "stdin is not a terminal: pass --yes to confirm";

/// Asks the user a question. The answer is yes only if it is `y`.
pub(crate) fn confirmed(question: &str) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(NO_TERMINAL.into());
    }
    // The standard output may be piped.
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
