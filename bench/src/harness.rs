//! The loop that measures a load. It waits for events, passes them to the load, and moves the meter from one phase of
//! the run to the next. The load decides what is sent and whether input is correct.

use super::Failure;
use super::child::ServerProcess;
use super::meter::{Meter, Timing};
use super::poller::{CONTROL, Poller};
use super::results::Run;
use rustix::event::epoll::EventFlags;

/// What a load runs on.
pub struct Harness<'a> {
    /// The server under test.
    pub server: &'a mut ServerProcess,
    /// The clock and the record of the run.
    pub meter: Meter,
    /// Watches the sockets of the load.
    pub poller: Poller,
}

/// A load that is measured.
pub trait Load {
    /// Sends the first messages and adds its sockets to the poller.
    fn begin(&mut self, harness: &mut Harness<'_>) -> Result<(), Failure>;
    /// Handles an event of the socket that the load added to the poller under this key.
    fn handle_event(&mut self, key: u64, flags: EventFlags, harness: &mut Harness<'_>)
    -> Result<(), Failure>;
    /// Returns the number of units that have arrived and were verified.
    fn units(&self) -> u64;
    /// Returns whether no message is in flight.
    fn is_over(&self) -> bool;
    /// Returns the failure where nothing has arrived for [`SILENCE`](super::child::SILENCE) and the server still runs.
    fn silence(&self) -> Failure;
}

/// Runs a load once.
///
/// # Errors
/// A wrong message, the end of the server, Ctrl-C.
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
