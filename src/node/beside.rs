//! Threads beside the stages, which no stage waits for or knows of: snapshots, retention, figures over
//! HTTP. They end with the node.

use super::StartError;
use super::boot::Logs;
use super::folding::{self, Folding};
use super::retention::{RetentionInputs, Retiring};
use crate::agent::ExitProcess;
use crate::config::Config;
use crate::ops::{View, http};
use crate::sys::clock::Clock;
use crate::types::TimeNs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// The threads; each where it is asked for.
pub(super) struct Beside {
    _folding: Option<Folding>,
    _retiring: Option<Retiring>,
    _http: Option<http::Server>,
}

impl Beside {
    /// Starts them, on `core` where one is given.
    pub(super) fn start(
        config: &Config,
        logs: &Logs,
        admin: Option<AdminListener>,
        view: View,
        core: Option<usize>,
    ) -> Result<Beside, StartError> {
        let clock = view.clock;
        let (live, now) = (Some(view.cursors.clone()), TimeNs(clock.wall_ns()));
        let inputs = RetentionInputs { live, ..RetentionInputs::new(&config.retention, logs, now) };
        let (exit, stats) = (Arc::new(ExitProcess), view.stats.clone());
        let retiring = Retiring::start(inputs, Box::new(clock), exit, core, stats);
        let folding =
            folding::Plan::new(config, logs.commands.data_dir(), core, view.stats.clone());
        Ok(Beside {
            _folding: Folding::start(folding).map_err(refused("snapshots"))?,
            _retiring: retiring.map_err(refused("retention"))?,
            _http: admin
                .map(|admin| admin.listening.serve(view, core))
                .transpose()
                .map_err(refused("http"))?,
        })
    }
}

fn refused(thread: &str) -> impl FnOnce(io::Error) -> StartError {
    let thread = thread.to_owned();
    |source| StartError::Thread { thread, source }
}

/// The admin listener's address is taken before anything runs, and served when everything does.
pub(super) struct AdminListener {
    listening: http::Listening,
    pub(super) address: SocketAddr,
}

impl AdminListener {
    pub(super) fn bind(config: &Config) -> Result<Option<AdminListener>, StartError> {
        let Some(address) = config.admin.http.listen.address() else { return Ok(None) };
        let key = "admin.http.listen";
        let unheard = |source| StartError::Listen { key, address, source };
        let listening = http::Listening::bind(address).map_err(unheard)?;
        let address = listening.address().map_err(unheard)?;
        Ok(Some(AdminListener { listening, address }))
    }
}
