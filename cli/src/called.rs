//! The name by which this command was called: `hookkeeper`, or `cargo hookkeeper` in the repository.
//! Help, hints and errors name it so that they can be pasted.

use clap::{
    Command,
    builder::{Resettable, StyledStr},
};
use std::env;

/// A text whose commands are named as this one was called.
pub(crate) fn as_called(text: &str) -> String {
    renamed(text, is_called_by_cargo())
}

/// A command whose help names commands as this one was called.
pub(crate) fn with_names(command: Command) -> Command {
    if is_called_by_cargo() {
        return command;
    }
    let [about, long_about, after_help] = [
        command.get_about(),
        command.get_long_about(),
        command.get_after_help(),
    ]
    .map(|text| Resettable::from(text.map(styled)));
    command
        .about(about)
        .long_about(long_about)
        .after_help(after_help)
        .mut_args(|argument| {
            let help = argument.get_help().map(styled);
            argument.help(Resettable::from(help))
        })
        .mut_subcommands(with_names)
}

fn styled(text: &StyledStr) -> StyledStr {
    as_called(&text.to_string()).into()
}

/// Cargo sets this variable for the programs that it runs.
fn is_called_by_cargo() -> bool {
    env::var_os("CARGO").is_some()
}

fn renamed(text: &str, by_cargo: bool) -> String {
    if by_cargo {
        text.replace("`hookkeeper ", "`cargo hookkeeper ")
    } else {
        text.replace("cargo hookkeeper", "hookkeeper")
            .replace("cargo dev", "hookkeeper dev")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory;

    #[test]
    fn commands_are_named_as_this_one_was_called() {
        let text = "start `cargo dev`, then `hookkeeper events`: cargo hookkeeper send";
        let own = "start `hookkeeper dev`, then `hookkeeper events`: hookkeeper send";
        assert_eq!(renamed(text, false), own);
        let by_cargo = "start `cargo dev`, then `cargo hookkeeper events`: cargo hookkeeper send";
        assert_eq!(renamed(text, true), by_cargo);
        assert_eq!(renamed(by_cargo, false), own);
    }

    #[test]
    fn help_can_be_renamed() {
        with_names(Cli::command()).debug_assert();
    }
}
