//! Output of the commands: tables for people, JSON Lines for programs.

use anstyle::Style;
use clap::ValueEnum;
use models::Timestamp;
use serde::Serialize;
use std::{fmt::Write, ops::RangeInclusive};

/// Prints a line to standard output, with colours only on a terminal. Unlike `println!` it returns
/// an error when the reader has closed the pipe, which ends the command.
macro_rules! say {
    ($($argument:tt)*) => {
        std::io::Write::write_fmt(
            &mut anstream::stdout(),
            format_args!("{}\n", format_args!($($argument)*)),
        )
    };
}
pub(crate) use say;

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Table for people
    Table,
    /// One JSON object per line, for programs
    Json,
}

/// Output format of a command that has no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnlyJson {
    /// JSON, for programs
    Json,
}

/// Formats rows as a table with a heading. Each column is as wide as its widest cell.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rows = rows.iter().map(|row| line(row, widths));
    std::iter::once(self::heading(heading, widths))
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Formats the names of the columns as the first line of a table.
pub(crate) fn heading<const N: usize>(names: [&str; N], widths: [usize; N]) -> String {
    let bold = Style::new().bold();
    format!("{bold}{}{bold:#}", line(&names.map(str::to_owned), widths))
}

/// Formats one row of a table. Cells are padded to the widths of their columns.
pub(crate) fn line<const N: usize>(row: &[String; N], widths: [usize; N]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .map(|(cell, width)| format!("{}  ", filled(cell, width)));
    cells.collect::<String>().trim_end().to_owned()
}

fn filled(cell: &str, width: usize) -> String {
    format!("{:<width$}", self::cell(cell))
}

/// Makes text from a sender safe to print within a line: replaces every character that starts a new
/// line, moves the cursor, or controls the terminal.
pub(crate) fn cell(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// Makes text from a sender safe to print on lines of its own: keeps line feeds and tabs, and
/// replaces the other characters that control a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\n' | '\t' => char,
            other => visible(other),
        })
        .collect()
}

/// Replaces a character that controls a terminal or is invisible with the replacement character.
fn visible(char: char) -> char {
    if is_no_text(char) {
        char::REPLACEMENT_CHARACTER
    } else {
        char
    }
}

/// Serializes a value as one line of JSON, for terminals and for programs that read line by line.
///
/// The `data` of an event is the JSON text that the provider sent. JSON allows tabs and line breaks
/// only between tokens; here each becomes a space. Other control characters, line separators,
/// bidirectional controls and invisible characters occur only in strings; here they are escaped.
/// The line therefore parses to the same JSON value.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    let mut line = String::with_capacity(json.len());
    for char in json.chars() {
        match char {
            '\t' | '\n' | '\r' => line.push(' '),
            char if is_no_text(char) => push_escaped(&mut line, char),
            char => line.push(char),
        }
    }
    Ok(line)
}

/// Appends a character as JSON escapes, such as `\u202e`.
fn push_escaped(line: &mut String, char: char) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        // Writing to a `String` does not fail.
        write!(line, "\\u{unit:04x}").ok();
    }
}

/// Whether a character moves the cursor, begins an escape sequence, changes the direction of text,
/// or is invisible.
fn is_no_text(char: char) -> bool {
    char.is_control() || INVISIBLE.iter().any(|range| range.contains(&char))
}

/// Line separators, and format characters (general category Cf) that CRM text does not need.
///
/// Source: <https://www.unicode.org/Public/UCD/latest/ucd/extracted/DerivedGeneralCategory.txt>
const INVISIBLE: [RangeInclusive<char>; 9] = [
    // Soft hyphen.
    '\u{ad}'..='\u{ad}',
    // Arabic letter mark, which is a direction mark.
    '\u{61c}'..='\u{61c}',
    // Mongolian vowel separator.
    '\u{180e}'..='\u{180e}',
    // Zero-width characters and direction marks.
    '\u{200b}'..='\u{200f}',
    // Line and paragraph separators, direction embeddings and overrides.
    '\u{2028}'..='\u{202e}',
    // Invisible operators, direction isolates, deprecated format characters.
    '\u{2060}'..='\u{206f}',
    // Byte order mark.
    '\u{feff}'..='\u{feff}',
    // Annotations.
    '\u{fff9}'..='\u{fffb}',
    // Tags.
    '\u{e0000}'..='\u{e007f}',
];

/// Formats a time for people, in whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.')
        .map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// Indents JSON text. Strings and numbers stay exactly as they are written.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::new();
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut chars = json.chars().peekable();
    while let Some(char) = chars.next() {
        if in_string {
            out.push(char);
            in_string = char != '"' || escaped;
            escaped = char == '\\' && !escaped;
            continue;
        }
        match char {
            '{' | '[' => {
                out.push(char);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(close);
                    continue;
                }
                depth += 1;
                new_line(&mut out, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(char);
            }
            ',' => {
                out.push(char);
                new_line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            char if char.is_ascii_whitespace() => {}
            char => {
                out.push(char);
                in_string = char == '"';
            }
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_a_sender_cannot_control_a_terminal() {
        let text = "a\u{1b}[5m\u{9b}5m\t\r\nb\u{2028}\u{202e}\u{200b}\u{feff}é😀";
        assert_eq!(cell(text), "a�[5m�5m���b����é😀");
        assert_eq!(printable(text), "a�[5m�5m\t�\nb����é😀");
    }

    #[test]
    fn a_json_line_escapes_terminal_controls_and_keeps_its_value() {
        let data = "{\"a\u{9b}\":\r\n[1.10,\t\"\u{202e}\u{2028}\u{e0041}é\\n\"]}";
        let raw: Box<serde_json::value::RawValue> = serde_json::from_str(data).unwrap();
        let line = json_line(&raw).unwrap();
        assert_eq!(
            line,
            r#"{"a\u009b":  [1.10, "\u202e\u2028\udb40\udc41é\n"]}"#
        );
        let value = |json| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&line), value(data));
    }

    #[test]
    fn pretty_json_is_the_same_json() {
        let json = r#" {"a":[1.10,{"b\"{":"\\"},[ ],{}], "c" : 12345678901234567890123}"#;
        let pretty = pretty(json);
        assert_eq!(
            pretty,
            "{\n  \"a\": [\n    1.10,\n    {\n      \"b\\\"{\": \"\\\\\"\n    },\n    [],\n    {}\n  ],\n  \"c\": 12345678901234567890123\n}"
        );
        let value = |json| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&pretty), value(json));
    }
}
