//! `[mapping]`: what the mappings and expressions of adapters may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Config;
use crate::mapping::Limits;

/// `[mapping]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MappingSection {
    /// Worker processes; one for each processor, and at least 2, when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// Address space of a worker, in bytes.
    pub memory_bytes_max: u64,
    /// Wall time for one record or expression; each MiB of a document adds as much again.
    pub time_ms: u64,
    /// The largest record or document, in bytes.
    pub document_bytes_max: usize,
    /// The largest output of one run, in bytes.
    pub result_bytes_max: usize,
}

impl Default for MappingSection {
    fn default() -> Self {
        let Limits { memory_bytes, time, document_bytes, result_bytes, .. } = Limits::default();
        Self {
            workers: None,
            memory_bytes_max: memory_bytes,
            time_ms: time.as_millis().try_into().unwrap_or(u64::MAX),
            document_bytes_max: document_bytes,
            result_bytes_max: result_bytes,
        }
    }
}

impl Config {
    /// What mappings may take.
    #[must_use]
    pub fn mapping_limits(&self) -> Limits {
        let section = &self.mapping;
        let defaults = Limits::default();
        Limits {
            workers: section.workers.unwrap_or(defaults.workers),
            memory_bytes: section.memory_bytes_max,
            time: Duration::from_millis(section.time_ms),
            document_bytes: section.document_bytes_max,
            result_bytes: section.result_bytes_max,
            ..defaults
        }
    }
}
