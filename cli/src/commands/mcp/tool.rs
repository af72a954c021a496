//! Tools of the server: commands that change nothing, with the options that an assistant may give.

use clap::{Arg, ArgAction, Command};
use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};
use std::sync::Arc;

/// A tool.
pub(super) struct Offered {
    /// The words of the command that it runs. Joined by `_`, they are its name.
    pub(super) command: &'static [&'static str],
    /// The arguments of the command that an assistant may give. The others, such as where the table
    /// is, are not offered.
    arguments: &'static [&'static str],
}

/// All tools. Each is a command that only reads.
pub(super) const TOOLS: [Offered; 6] = [
    Offered {
        command: &["events"],
        arguments: &[
            "provider",
            "type",
            "subject",
            "credential",
            "since",
            "until",
            "limit",
        ],
    },
    Offered {
        command: &["events", "show"],
        arguments: &["handle"],
    },
    Offered {
        command: &["events", "history"],
        arguments: &["subject", "source", "since", "diff"],
    },
    Offered {
        command: &["quarantine"],
        arguments: &["provider", "since", "until", "limit"],
    },
    Offered {
        command: &["quarantine", "show"],
        arguments: &["handle"],
    },
    Offered {
        command: &["doctor"],
        arguments: &[],
    },
];

impl Offered {
    pub(super) fn name(&self) -> String {
        self.command.join("_")
    }

    /// The tool as a client sees it. Its texts are those of `--help`.
    pub(super) fn described(&self, cli: &Command) -> Tool {
        let command = self.found(cli);
        let arguments = self.arguments(command);
        let required: Vec<&str> = arguments
            .iter()
            .filter(|argument| argument.is_required_set())
            .map(|argument| argument.get_id().as_str())
            .collect();
        let properties: JsonObject = arguments
            .iter()
            .map(|argument| (argument.get_id().to_string(), property(argument)))
            .collect();
        let schema = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
        let schema = schema.as_object().cloned().unwrap_or_default();
        let about = command.get_about().map(ToString::to_string);
        let annotations = ToolAnnotations::new().read_only(true);
        Tool::new(self.name(), about.unwrap_or_default(), Arc::new(schema))
            .with_annotations(annotations)
    }

    /// The arguments of a call on the command line. The error names one that is unknown or invalid.
    pub(super) fn command_line(
        &self,
        cli: &Command,
        mut given: JsonObject,
    ) -> Result<Vec<String>, String> {
        let mut line = Vec::new();
        let mut arguments = self.arguments(self.found(cli));
        // What follows `--` is never an option.
        arguments.sort_by_key(|argument| argument.is_positional());
        for argument in arguments {
            let name = argument.get_id().as_str();
            match given.remove(name) {
                None | Some(Value::Null) => {}
                Some(value) => match words(argument, &value) {
                    Some(words) => line.extend(words),
                    None => return Err(format!("{name} cannot be {value}")),
                },
            }
        }
        if let Some(unknown) = given.keys().next() {
            return Err(format!("{} has no argument {unknown}", self.name()));
        }
        Ok(line)
    }

    fn found<'a>(&self, cli: &'a Command) -> &'a Command {
        let names = self.command.iter();
        names.fold(cli, |command, name| {
            command.find_subcommand(name).unwrap_or(command)
        })
    }

    fn arguments<'a>(&self, command: &'a Command) -> Vec<&'a Arg> {
        let arguments = command.get_arguments();
        arguments
            .filter(|argument| self.arguments.contains(&argument.get_id().as_str()))
            .collect()
    }
}

/// An argument on the command line. `None` if its value is of another type. A value is never an
/// option, whatever it begins with.
fn words(argument: &Arg, value: &Value) -> Option<Vec<String>> {
    let name = argument.get_id();
    let text = match value {
        Value::Bool(false) if is_flag(argument) => return Some(Vec::new()),
        Value::Bool(true) if is_flag(argument) => return Some(vec![format!("--{name}")]),
        _ if is_flag(argument) => return None,
        // A process cannot get the character 0.
        Value::String(text) if !text.contains('\0') => text.clone(),
        // 3.0 is an integer of JSON Schema.
        Value::Number(number) => number.as_f64()?.to_string(),
        _ => return None,
    };
    Some(if argument.is_positional() {
        vec!["--".to_owned(), text]
    } else {
        vec![format!("--{name}={text}")]
    })
}

fn is_flag(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::SetTrue)
}

/// The JSON schema of an argument.
fn property(argument: &Arg) -> Value {
    let help = argument.get_help().map(ToString::to_string);
    let defaults = argument.get_default_values().iter();
    let defaults = defaults.filter(|_| !is_flag(argument));
    let defaults = defaults.map(|default| format!(" [default: {}]", default.display()));
    let description: String = help.into_iter().chain(defaults).collect();
    match argument.get_id().as_str() {
        _ if is_flag(argument) => json!({ "type": "boolean", "description": description }),
        "limit" => json!({ "type": "integer", "minimum": 1, "description": description }),
        "provider" => {
            let names = providers::ALL.map(|provider| provider.name);
            json!({ "type": "string", "enum": names, "description": description })
        }
        _ => json!({ "type": "string", "description": description }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cli;
    use clap::CommandFactory;

    fn tool(name: &str) -> &'static Offered {
        TOOLS.iter().find(|tool| tool.name() == name).unwrap()
    }

    fn command_line(name: &str, given: Value) -> Result<Vec<String>, String> {
        let Value::Object(given) = given else {
            panic!("{given} is not an object");
        };
        tool(name).command_line(&Cli::command(), given)
    }

    #[test]
    fn each_tool_is_a_command_with_its_arguments() {
        let cli = Cli::command();
        for tool in TOOLS {
            let command = tool.found(&cli);
            assert_eq!(Some(&command.get_name()), tool.command.last());
            assert_eq!(tool.arguments(command).len(), tool.arguments.len());
        }
    }

    #[test]
    fn a_value_is_never_an_option() {
        let given = json!({ "subject": "--help", "source": "--table=other", "diff": true });
        let line = command_line("events_history", given).unwrap();
        assert_eq!(line, ["--source=--table=other", "--diff", "--", "--help"]);
    }

    #[test]
    fn what_is_not_given_is_not_on_the_command_line() {
        let given = json!({ "limit": 3.0, "type": null });
        assert_eq!(command_line("events", given).unwrap(), ["--limit=3"]);
        let given = json!({ "subject": "deal/42", "diff": false });
        let line = command_line("events_history", given).unwrap();
        assert_eq!(line, ["--", "deal/42"]);
    }

    #[test]
    fn an_unknown_or_invalid_argument_is_named() {
        let error = command_line("events", json!({ "output": "table" })).unwrap_err();
        assert_eq!(error, "events has no argument output");
        let error = command_line("doctor", json!({ "credential": "closer=key" })).unwrap_err();
        assert_eq!(error, "doctor has no argument credential");
        let error = command_line("events", json!({ "since": ["2h"] })).unwrap_err();
        assert_eq!(error, "since cannot be [\"2h\"]");
        let error = command_line("events", json!({ "type": false })).unwrap_err();
        assert_eq!(error, "type cannot be false");
        let error = command_line("events", json!({ "type": "a\0" })).unwrap_err();
        assert_eq!(error, r#"type cannot be "a\u0000""#);
        let error = command_line("events_history", json!({ "diff": "yes" })).unwrap_err();
        assert_eq!(error, r#"diff cannot be "yes""#);
    }
}
