//! The loop that measures a load: it waits, has the load attend to what has come, and has the meter pass from one phase
//! of the run to the next. What the load is, and whether what comes is right, is the load's business.

use super::Failure;
use super::child::ServerProcess;
use super::meter::{Meter, Timing};
use super::poller::{CONTROL, Poller};
use super::results::Run;
use rustix::event::epoll::EventFlags;

/// What a load runs on.
pub struct Harness<'a> {
    /// What is measured.
    pub server: &'a mut ServerProcess,
    /// When it is.
    pub meter: Meter,
    /// What is waited for: the sockets of the load.
    pub poller: Poller,
}

/// A load that is measured.
pub trait Load {
    /// Sends the first messages, and has the sockets watched on which something may come.
    fn begin(&mut self, harness: &mut Harness<'_>) -> Result<(), Failure>;
    /// Acts on an event of a socket that it has put into the poller under this key.
    fn handle_event(&mut self, key: u64, flags: EventFlags, harness: &mut Harness<'_>)
    -> Result<(), Failure>;
    /// How many units have arrived, each of them verified.
    fn units(&self) -> u64;
    /// Whether nothing is on its way.
    fn is_over(&self) -> bool;
    /// What is missing where nothing has come for [`SILENCE`](super::child::SILENCE) and the server runs.
    fn silence(&self) -> Failure;
}

/// Runs a load once.
///
/// # Errors
/// A message that was wrong, a server that ended, Ctrl-C.
pub fn run(mut load: impl Load, server: &mut ServerProcess, timing: Timing) -> Result<Run, Failure> {
    let poller = Poller::new(server)?;
    let mut harness = Harness { server, meter: Meter::start(timing), poller };
    load.begin(&mut harness)?;
    loop {
        let Harness { server, meter, poller } = &mut harness;
        if !meter.advance(server, load.units())? {
            return Err(server.end().map_or_else(|| load.silence(), Failure::Broken));
        }
        if meter.is_draining() && load.is_over() {
            return Ok(meter.result(server));
        }
        for index in 0..poller.wait(meter.patience())? {
            match harness.poller.event(index) {
                (CONTROL, _) => harness.receive_counters()?,
                (key, flags) => load.handle_event(key, flags, &mut harness)?,
            }
        }
    }
}

impl Harness<'_> {
    fn receive_counters(&mut self) -> Result<(), Failure> {
        let received = self.meter.receive_counters(self.server);
        received.map_err(|error| self.server.broken("its operator", &error))
    }
}
