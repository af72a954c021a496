//! Runs a command in a process of its own, so that the result of a tool is what the command prints.

use std::{io, path::Path, process::Stdio};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
};

/// The longest result, in bytes, so that it fits the context of an assistant.
const MAX_BYTES: usize = 200_000;

/// What a command printed.
pub(super) struct Done {
    pub(super) is_successful: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// A command of this program that prints JSON.
pub(super) fn command(program: &Path, names: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(names)
        .args(["--output", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end. If it prints more than [`MAX_BYTES`], the rest is left out, and
/// `stderr` says so.
pub(super) async fn run(mut command: Command) -> io::Result<Done> {
    let mut child = command.spawn()?;
    let (stdout, stderr) = tokio::try_join!(read(child.stdout.take()), read(child.stderr.take()))?;
    let status = child.wait().await?;
    let stdout = String::from_utf8_lossy(&stdout);
    let mut stderr = String::from_utf8_lossy(&stderr).into_owned();
    let kept = cut(&stdout);
    if kept.len() < stdout.len() {
        stderr += "The result is longer than 200,000 bytes, and the rest was left out. \
            Ask for fewer results, or run the command in a terminal.\n";
    }
    Ok(Done {
        is_successful: status.success(),
        stdout: kept.to_owned(),
        stderr,
    })
}

/// Reads a pipe to its end, or a little more than [`MAX_BYTES`]. It is closed then, so the command
/// ends when it prints more.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        let most = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        pipe.take(most + 1).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The complete lines of a text within [`MAX_BYTES`], or the beginning of a longer first line.
fn cut(text: &str) -> &str {
    if text.len() <= MAX_BYTES {
        return text;
    }
    let (most, _) = text.split_at(text.floor_char_boundary(MAX_BYTES));
    most.rsplit_once('\n').map_or(most, |(lines, _)| lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_after_a_line() {
        let line = "é".repeat(MAX_BYTES / 5) + "\n";
        let [two, three] = [2, 3].map(|count| line.repeat(count));
        assert_eq!(cut(&two), two);
        assert_eq!(cut(&three), two.trim_end());
        let one = "é".repeat(MAX_BYTES);
        assert_eq!(cut(&one).len(), MAX_BYTES);
    }
}
