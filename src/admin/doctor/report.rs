//! PURE. The findings, and how they are printed.

use std::fmt::{self, Formatter};

use derive_more::Display;

use crate::admin::words::escaped;

/// What was found about one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display)]
pub enum Verdict {
    /// It is fine.
    #[display("ok")]
    Fine,
    /// It is off, or can't be checked.
    #[display("-")]
    Unchecked,
    /// The service runs, perhaps not as intended.
    #[display("warning")]
    Warning,
    /// Something doesn't work.
    #[display("broken")]
    Broken,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// The part.
    pub subject: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    pub(super) fn fine(subject: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Fine, subject, found.into(), None)
    }

    pub(super) fn unchecked(subject: &'static str, found: impl Into<String>) -> Self {
        Self::new(Verdict::Unchecked, subject, found.into(), None)
    }

    pub(super) fn warning(
        subject: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Warning, subject, found.into(), Some(advice.into()))
    }

    pub(super) fn broken(
        subject: &'static str,
        found: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::new(Verdict::Broken, subject, found.into(), Some(advice.into()))
    }

    fn new(verdict: Verdict, subject: &'static str, found: String, advice: Option<String>) -> Self {
        Self {
            verdict,
            subject,
            found,
            advice,
        }
    }
}

/// All findings, in order. Shown as one line for each, and one more for what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis(pub Vec<Finding>);

impl Diagnosis {
    /// How many parts are broken.
    pub fn broken(&self) -> usize {
        let broken = self.0.iter().filter(|it| it.verdict == Verdict::Broken);
        broken.count()
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for finding in &self.0 {
            let (verdict, found) = (finding.verdict.to_string(), escaped(&finding.found));
            writeln!(f, "{verdict:<8} {:<11} {found}", finding.subject)?;
            if let Some(advice) = &finding.advice {
                writeln!(f, "{:<20} -> {}", "", escaped(advice))?;
            }
        }
        Ok(())
    }
}
