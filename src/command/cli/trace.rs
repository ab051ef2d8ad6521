//! The arguments `--trace` and `--trace-file`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `--trace` and `--trace-file`
#[derive(Args, Clone, Debug, Default)]
pub struct TraceArgs {
    /// Print each turn of the loop to standard error, in words or as one JSON object on each line:
    /// names and sizes, never contents
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true,
        default_missing_value = "text")]
    pub trace: Option<TraceForm>,
    /// Write the turns of the loop to this file, as trace events for Perfetto and Chromium
    #[arg(long, value_name = "FILE")]
    pub trace_file: Option<PathBuf>,
}

/// The form of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceForm {
    /// In words
    Text,
    /// One JSON object on each line
    Json,
}
