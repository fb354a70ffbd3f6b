//! `redpoll bench`: what the server costs, measured from outside.

pub mod report;
pub mod results;
