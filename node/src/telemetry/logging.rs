//! Logs on standard error: for people on a terminal, one JSON object a line otherwise.
//!
//! `RUST_LOG` chooses what is logged (`info` by default), in the syntax of `tracing_subscriber::EnvFilter`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

const DEFAULT: &str = "info";

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Human,
    Json,
}

/// Why there are no logs.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("RUST_LOG is malformed; write for example RUST_LOG=info,kv_node::transport=debug")]
    Filter(#[from] ParseError),
    #[error("logging was set up before")]
    Twice(#[from] TryInitError),
}

impl Format {
    /// Human on a terminal, JSON otherwise.
    pub fn of_stderr() -> Self {
        if io::stderr().is_terminal() {
            Format::Human
        } else {
            Format::Json
        }
    }
}

/// Sets up the process's logs; once.
pub fn init(format: Format) -> Result<(), LoggingError> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) if !directives.trim().is_empty() => {
            EnvFilter::builder().parse(directives)?
        }
        _ => EnvFilter::new(DEFAULT),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match format {
        Format::Human => lines.with_target(false).finish().try_init()?,
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .finish()
            .try_init()?,
    }
    Ok(())
}
