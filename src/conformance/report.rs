//! What a conformance run found: one line for each demand of the protocol, and what to do about those not met.

use std::fmt;

use serde::Serialize;

/// One demand of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its stable name.
    pub id: &'static str,
    /// The section of `docs/order-module-protocol.md` that makes it.
    pub section: &'static str,
    /// What is demanded.
    pub demand: &'static str,
    /// What usually mends it.
    pub fix: &'static str,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// The module does what is demanded.
    Pass,
    /// It conforms, and something deserves a look.
    Warn,
    /// It does not do what is demanded.
    Fail,
    /// It could not be checked; `seen` says what is missing.
    Skip,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "PASS",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        })
    }
}

/// One check and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    #[serde(flatten)]
    pub check: Check,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
}

/// The findings of one run, in the order of the protocol's sections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The module's base URL.
    pub module: String,
    /// The protocol version that was checked.
    pub protocol: &'static str,
    /// The findings.
    pub findings: Vec<Finding>,
}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Fail(String),
    Skip(String),
    Warn(String),
}

/// What was seen where the demand is met.
pub(super) type Seen = Result<String, Miss>;

pub(super) fn fail<T>(seen: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::Fail(seen.into()))
}

pub(super) fn skip<T>(seen: impl Into<String>) -> Result<T, Miss> {
    Err(Miss::Skip(seen.into()))
}

impl Report {
    pub(super) fn record(&mut self, check: Check, seen: Seen) {
        let (verdict, seen) = match seen {
            Ok(seen) => (Verdict::Pass, seen),
            Err(Miss::Warn(seen)) => (Verdict::Warn, seen),
            Err(Miss::Fail(seen)) => (Verdict::Fail, seen),
            Err(Miss::Skip(seen)) => (Verdict::Skip, seen),
        };
        self.findings.push(Finding { check, verdict, seen });
    }

    /// How many checks ended so.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// Whether nothing failed. What was skipped is not proven.
    #[must_use]
    pub fn success(&self) -> bool {
        self.count(Verdict::Fail) == 0
    }

    /// The report for machines, with its counts.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let [passed, warned, failed, skipped] =
            [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        serde_json::json!({
            "module": self.module, "protocol": self.protocol, "success": self.success(),
            "passed": passed, "warned": warned, "failed": failed, "skipped": skipped, "findings": self.findings,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Order Module Protocol {} at {}\n", self.protocol, self.module)?;
        for Finding { check, verdict, seen } in &self.findings {
            writeln!(f, "{verdict}  {:<26} {}", check.id, if *verdict == Verdict::Fail { check.demand } else { seen })?;
            if *verdict == Verdict::Fail {
                writeln!(f, "      seen: {seen}\n      fix:  {} (protocol {})", check.fix, check.section)?;
            }
        }
        let [passed, warned, failed, skipped] =
            [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        write!(f, "\n{passed} passed, {warned} with a warning, {failed} failed, {skipped} skipped")
    }
}
