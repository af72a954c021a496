//! Progress of a command that goes through a time span.

use crate::Failure;
use indicatif::{ProgressBar, ProgressStyle};
use models::Timestamp;
use std::ops::Range;

/// Progress bar on a terminal, as long as the time span.
pub(crate) fn progress(span: &Range<Timestamp>) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{wide_bar} {percent} %  {msg}  {eta} left")?;
    Ok(ProgressBar::new(micros(span)).with_style(style))
}

/// Length of a time span in microseconds.
pub(crate) fn micros(span: &Range<Timestamp>) -> u64 {
    u64::try_from(span.end.as_micros() - span.start.as_micros()).unwrap_or_default()
}
