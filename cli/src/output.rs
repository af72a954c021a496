//! Output of the commands: tables for people, JSON Lines for programs.

use anstyle::Style;
use clap::{Args, ValueEnum};
use console::Term;
use jiff::tz::TimeZone;
use models::Timestamp;
use serde::Serialize;
use std::{fmt::Write, io, ops::RangeInclusive};

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

impl Output {
    /// Says that a list is empty or that it may go on: below a table, or on standard error beside
    /// JSON.
    pub(crate) fn note(self, listed: usize, limit: usize, nothing: &str) -> io::Result<()> {
        let note = match listed {
            0 => nothing.to_owned(),
            _ if listed < limit => return Ok(()),
            _ => format!("Only the newest {limit} are listed: use --limit for more."),
        };
        match self {
            Self::Table if listed > 0 => say!("\n{note}"),
            Self::Table => say!("{note}"),
            Self::Json => {
                eprintln!("{note}");
                Ok(())
            }
        }
    }
}

/// Options of a command that prints a table.
#[derive(Args, Clone, Copy)]
pub(crate) struct Format {
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub(crate) output: Output,
    /// Print times in UTC, also on a terminal [default there: the time zone of this machine]
    #[arg(long)]
    utc: bool,
}

impl Format {
    /// How a table is printed on standard output: whole, or made to fit a terminal.
    pub(crate) fn page(self) -> Page {
        let terminal = Term::stdout();
        let width = terminal.is_term().then(|| usize::from(terminal.size().1));
        Page {
            width,
            is_utc: self.utc || width.is_none(),
        }
    }
}

/// The place where a table is printed. On a terminal, it fits the width and is for a person; piped,
/// it has everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Number of columns of the terminal.
    width: Option<usize>,
    is_utc: bool,
}

impl Page {
    /// A page that is not a terminal.
    pub(crate) const PIPE: Self = Self {
        width: None,
        is_utc: true,
    };

    /// Standard error, which may be a terminal.
    pub(crate) fn of_stderr() -> Self {
        let terminal = Term::stderr();
        let width = terminal.is_term().then(|| usize::from(terminal.size().1));
        Self {
            width,
            is_utc: width.is_none(),
        }
    }

    /// A page of any width for a person.
    pub(crate) const PERSON: Self = Self {
        width: None,
        is_utc: false,
    };

    /// One of two values: for a pipe, or for a terminal.
    pub(crate) fn either<T>(self, pipe: T, terminal: T) -> T {
        if self.width.is_none() { pipe } else { terminal }
    }

    /// Formats a time.
    pub(crate) fn time(self, time: Timestamp) -> String {
        if self.is_utc {
            seconds(time)
        } else {
            local(time)
        }
    }

    /// Formats the type of an event.
    pub(crate) fn r#type(self, r#type: &str) -> String {
        self.either(r#type, short_type(r#type)).to_owned()
    }

    /// Makes the widths of a table's columns fit. `dropped` are the columns that a narrow terminal
    /// does not show, the first one first. Then the widest column is made narrower, except the first
    /// column, which names the row.
    pub(crate) fn fitted<const N: usize>(
        self,
        mut widths: [usize; N],
        dropped: &[usize],
    ) -> Columns<N> {
        let mut is_shown = [true; N];
        let Some(page) = self.width else {
            return Columns {
                widths,
                is_shown,
                is_cut: false,
            };
        };
        for column in dropped {
            if total(&widths, &is_shown) <= page {
                break;
            }
            if let Some(is_shown) = is_shown.get_mut(*column) {
                *is_shown = false;
            }
        }
        while total(&widths, &is_shown) > page {
            let columns = widths.iter_mut().zip(is_shown).skip(1);
            let shown = columns.filter(|(_, is_shown)| *is_shown);
            match shown.map(|(width, _)| width).max() {
                Some(width) if *width > MIN_WIDTH => *width -= 1,
                _ => break,
            }
        }
        Columns {
            widths,
            is_shown,
            is_cut: true,
        }
    }

    /// Formats rows as a table with a heading. Each column is as wide as its widest cell, if the
    /// table fits.
    pub(crate) fn table<const N: usize>(
        self,
        heading: [&str; N],
        rows: &[[String; N]],
        dropped: &[usize],
    ) -> String {
        let mut widths = heading.map(|cell| cell.chars().count());
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let widths = self.fitted(widths, dropped);
        let rows = rows.iter().map(|row| widths.line(row));
        let lines = std::iter::once(widths.heading(heading)).chain(rows);
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Smallest width of a column that is cut.
const MIN_WIDTH: usize = 4;

/// Space between columns.
const GAP: usize = 2;

/// Width of a row with the columns that are shown.
fn total(widths: &[usize], is_shown: &[bool]) -> usize {
    let columns = widths.iter().zip(is_shown);
    let shown = columns.filter(|(_, is_shown)| **is_shown);
    let widths = shown.map(|(width, _)| width + GAP);
    widths.sum::<usize>().saturating_sub(GAP)
}

/// Formats rows as a table with a heading, whole.
pub(crate) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    Page::PIPE.table(heading, rows, &[])
}

/// Widths of the columns of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<const N: usize> {
    widths: [usize; N],
    is_shown: [bool; N],
    /// Whether a longer cell is cut. Otherwise its row is longer.
    is_cut: bool,
}

impl<const N: usize> Columns<N> {
    /// Formats the names of the columns as the first line of a table.
    pub(crate) fn heading(&self, names: [&str; N]) -> String {
        let bold = Style::new().bold();
        format!("{bold}{}{bold:#}", self.line(&names.map(str::to_owned)))
    }

    /// Formats one row of a table. Cells are padded to the widths of their columns.
    pub(crate) fn line(&self, row: &[String; N]) -> String {
        let columns = row.iter().zip(self.widths).zip(self.is_shown);
        let shown = columns.filter(|(_, is_shown)| *is_shown);
        let cells = shown.map(|((cell, width), _)| self.filled(cell, width));
        let line: String = cells.collect();
        line.trim_end().to_owned()
    }

    fn filled(&self, cell: &str, width: usize) -> String {
        let mut cell = self::cell(cell);
        if self.is_cut && cell.chars().count() > width {
            let kept = cell.chars().take(width.saturating_sub(1));
            cell = kept.chain(['…']).collect();
        }
        format!("{cell:<width$}{:GAP$}", "")
    }
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

/// Whether text can be pasted into a terminal: no character controls it or is invisible, but for
/// line feeds and tabs.
pub(crate) fn is_text(text: &str) -> bool {
    text.chars()
        .all(|char| matches!(char, '\n' | '\t') || !is_no_text(char))
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

/// Formats a time in this machine's time zone, in whole seconds: `2026-11-21 21:43:00`.
pub(crate) fn local(time: Timestamp) -> String {
    in_zone(time, &TimeZone::system())
}

fn in_zone(time: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.as_micros()) {
        Ok(instant) => {
            let zoned = instant.to_zoned(zone.clone());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => seconds(time),
    }
}

/// A type without the words that all types of a provider begin with: `deal.updated`.
pub(crate) fn short_type(r#type: &str) -> &str {
    let mut rest = r#type.splitn(3, '.');
    match (rest.next(), rest.next(), rest.next()) {
        (Some("com" | "app"), Some(_), Some(rest)) => rest,
        _ => r#type,
    }
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

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn a_table_fits_the_terminal_and_is_whole_in_a_pipe() {
        let heading = ["HANDLE", "TIME", "TYPE"];
        let rows = [
            row(["tcxk8q-4ad6a8", "10:00", "deal.updated"]),
            row(["tcxk8q-4ad6a9", "10:01", &"x".repeat(90)]),
        ];
        let widest = |page: Page| {
            let table = anstream::adapter::strip_str(&page.table(heading, &rows, &[1])).to_string();
            (table.lines().map(|line| line.chars().count()).max(), table)
        };
        let terminal = |width| Page {
            width: Some(width),
            is_utc: true,
        };
        assert_eq!(widest(Page::PIPE).0, Some(13 + 2 + 5 + 2 + 90));
        assert_eq!(widest(terminal(200)), widest(Page::PIPE));
        for width in [80, 40, 25] {
            let (columns, table) = widest(terminal(width));
            assert_eq!(columns, Some(width), "{table}");
            assert!(!table.contains("TIME") && table.contains('…'), "{table}");
            assert!(table.contains("tcxk8q-4ad6a8"), "{table}");
        }
    }

    #[test]
    fn a_terminal_shows_the_time_of_its_zone() {
        let time = Timestamp::parse("2026-11-21T20:43:00.5Z").unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(3));
        assert_eq!(in_zone(time, &zone), "2026-11-21 23:43:00");
        assert_eq!(Page::PIPE.time(time), "2026-11-21T20:43:00Z");
    }

    #[test]
    fn a_type_is_short_without_the_words_of_its_provider() {
        assert_eq!(short_type("com.pipedrive.deal.updated"), "deal.updated");
        assert_eq!(
            short_type("app.closer.conversation.created"),
            "conversation.created"
        );
        assert_eq!(short_type("other"), "other");
    }

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
