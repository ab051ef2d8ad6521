//! The arguments `--trace` and `--trace-file`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `--trace` and `--trace-file`
#[derive(Args, Clone, Debug, Default)]
pub struct TraceArgs {
    /// Tell each turn of the loop on standard error, in words or as an object a line: names and
    /// sizes, never contents
    #[arg(long, value_enum, value_name = "FORM", num_args = 0..=1, require_equals = true,
        default_missing_value = "text")]
    pub trace: Option<TraceForm>,
    /// Write the turns of the loop as trace events, which Perfetto and Chromium open
    #[arg(long, value_name = "FILE")]
    pub trace_file: Option<PathBuf>,
}

/// How a trace is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TraceForm {
    /// In words
    Text,
    /// One JSON object a line
    Json,
}
