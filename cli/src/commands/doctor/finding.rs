//! What a check finds, and how it is said.

use crate::{
    Failure,
    output::{Output, cell, json_line, say},
};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// What a check found.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What there is to see, or why it was not looked at.
    text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Fail,
    Skip,
}

impl Finding {
    /// All is well.
    pub(crate) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            text: text.into(),
            advice: None,
        }
    }

    /// It is not, and what to do.
    pub(crate) fn fail(
        check: &'static str,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            check,
            verdict: Verdict::Fail,
            text: text.into(),
            advice: Some(advice.into()),
        }
    }

    /// It was not looked at, and why.
    pub(crate) fn skip(check: &'static str, why: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Skip,
            text: why.into(),
            advice: None,
        }
    }

    /// One line for people.
    fn line(&self) -> String {
        let (word, style) = match self.verdict {
            Verdict::Ok => ("ok", Style::new().fg_color(Some(AnsiColor::Green.into()))),
            Verdict::Fail => (
                "FAIL",
                Style::new().fg_color(Some(AnsiColor::Red.into())).bold(),
            ),
            Verdict::Skip => ("skip", Style::new().dimmed()),
        };
        let check = self.check;
        // Both may quote what AWS or a server answered.
        let text = cell(&self.text);
        let advice = self.advice.as_deref().map(cell);
        match (self.verdict, advice) {
            (Verdict::Skip, _) => format!("{style}{word:<4}{style:#}  {check:<12}  ({text})"),
            (_, Some(advice)) => {
                format!("{style}{word:<4}{style:#}  {check:<12}  {text}: {advice}")
            }
            (_, None) => format!("{style}{word:<4}{style:#}  {check:<12}  {text}"),
        }
    }
}

/// Says what is found as it is found, and in the end whether anything fails.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    checks: usize,
    failing: usize,
}

impl Report {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            checks: 0,
            failing: 0,
        }
    }

    pub(crate) fn say(
        &mut self,
        findings: impl IntoIterator<Item = Finding>,
    ) -> Result<(), Failure> {
        for finding in findings {
            let line = match self.output {
                Output::Json => json_line(&finding)?,
                Output::Table => finding.line(),
            };
            say!("{line}")?;
            self.checks += 1;
            self.failing += usize::from(finding.verdict == Verdict::Fail);
        }
        Ok(())
    }

    /// # Errors
    /// A sentence, when a check fails.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self.failing {
            0 => Ok(()),
            failing => Err(format!(
                "{failing} of {} checks fail: what to do stands beside each",
                self.checks
            )
            .into()),
        }
    }
}
