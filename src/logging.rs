//! Logs: structured events on stderr, as text for a person or as JSON lines for a collector.
//!
//! Invariants: stdout is never written (it belongs to a command's result); times are RFC 3339 UTC
//! with nanoseconds in both forms; colours stand only on a terminal that wants them.

use crate::config::{LogFormat, LogLevel};
use crate::timestamp::Rfc3339;
use crate::types::TimeNs;
use std::fmt;
use std::io::IsTerminal;
use std::time::{SystemTime, UNIX_EPOCH};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Times of log lines.
struct Nanoseconds;

impl FormatTime for Nanoseconds {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        // A clock before 1970 or after 2554 still logs, with the nearest time there is.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ns = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        write!(writer, "{}", Rfc3339(TimeNs(ns)))
    }
}

const fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// True where a stream shows colours: a terminal, and nobody asked for none.
#[must_use]
pub fn wants_color(stream: &impl IsTerminal) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    stream.is_terminal()
        && set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
}

/// Sets the process's log up. A second call changes nothing.
pub fn init(level: LogLevel, format: LogFormat) {
    let stderr = std::io::stderr();
    let as_text = match format {
        LogFormat::Auto => stderr.is_terminal(),
        LogFormat::Json => false,
        LogFormat::Text => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_max_level(filter(level))
        .with_timer(Nanoseconds)
        .with_writer(std::io::stderr);
    // An error means that a log is set up already, by the process or by a test: it stays.
    let _: Result<(), _> = if as_text {
        builder.with_ansi(wants_color(&stderr)).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
}
