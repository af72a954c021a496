//! What the commands print: tables for people, lines of JSON for programs.

use anstyle::Style;
use clap::ValueEnum;
use models::Timestamp;

/// Prints a line, coloured on a terminal alone. Unlike `println!` it fails when nobody reads on, which ends the command.
macro_rules! say {
    ($($argument:tt)*) => {
        std::io::Write::write_fmt(&mut anstream::stdout(), format_args!("{}\n", format_args!($($argument)*)))
    };
}
pub(crate) use say;

/// The form of what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Table,
    /// For programs: one JSON object a line
    Json,
}

/// Rows in columns, each as wide as its widest cell, under a heading.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let rows = rows.iter().map(|row| line(row, widths));
    std::iter::once(self::heading(heading, widths)).chain(rows).collect::<Vec<_>>().join("\n")
}

/// The row of the columns' names.
pub(crate) fn heading<const N: usize>(names: [&str; N], widths: [usize; N]) -> String {
    let bold = Style::new().bold();
    format!("{bold}{}{bold:#}", line(&names.map(str::to_owned), widths))
}

/// One row, its cells filled up to the widths of their columns.
pub(crate) fn line<const N: usize>(row: &[String; N], widths: [usize; N]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{}  ", filled(cell, width)));
    cells.collect::<String>().trim_end().to_owned()
}

fn filled(cell: &str, width: usize) -> String {
    format!("{:<width$}", printable(cell))
}

/// Text without what a terminal would take for a command: a body may come from anybody.
pub(crate) fn printable(text: &str) -> String {
    let is_kept = |char: &char| !char.is_control() || matches!(char, '\n' | '\t');
    text.chars().map(|char| if is_kept(&char) { char } else { char::REPLACEMENT_CHARACTER }).collect()
}

/// A time for people: whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    text.split_once('.').map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// JSON text on many lines, every string and number as it was written.
pub(crate) fn pretty(json: &str) -> String {
    let (mut out, mut depth, mut in_string, mut escaped) = (String::new(), 0_usize, false, false);
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
