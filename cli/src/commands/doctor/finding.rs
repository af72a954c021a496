//! Findings of the checks, and their output.

use crate::{
    Failure,
    called::as_called,
    output::{Output, cell, json_line, say},
};
use anstyle::{AnsiColor, Style};
use serde::Serialize;

/// Result of a check.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// Observed state, or the reason why the check was skipped.
    text: String,
    /// Advice on how to solve the problem.
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
    /// Result of a check that passed.
    pub(crate) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            text: text.into(),
            advice: None,
        }
    }

    /// Result of a check that failed, with advice.
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

    /// Result of a check that was skipped, with the reason.
    pub(crate) fn skip(check: &'static str, why: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Skip,
            text: why.into(),
            advice: None,
        }
    }

    /// Formats the finding as one line for people.
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
        // Both may quote a response of AWS or of a server.
        let text = cell(&as_called(&self.text));
        let advice = self.advice.as_deref();
        let advice = advice.map(|advice| cell(&as_called(advice)));
        match (self.verdict, advice) {
            (Verdict::Skip, _) => format!("{style}{word:<4}{style:#}  {check:<17}  ({text})"),
            (_, Some(advice)) => {
                format!("{style}{word:<4}{style:#}  {check:<17}  {text}: {advice}")
            }
            (_, None) => format!("{style}{word:<4}{style:#}  {check:<17}  {text}"),
        }
    }
}

/// Prints each finding as soon as it is known, and counts the failed checks.
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

    /// Ends the report.
    ///
    /// # Errors
    /// A sentence, if a check failed.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match self.failing {
            0 => Ok(()),
            failing => Err(format!(
                "{failing} of {} checks failed: see the advice after each one",
                self.checks
            )
            .into()),
        }
    }
}
