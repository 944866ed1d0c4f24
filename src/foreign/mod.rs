//! Clients under test: other people's MQTT clients, whose half of the protocol is judged by what they say on the wire.
//!
//! [`observer`] reads both directions of a client's connections and writes the trace that squall's own devices write themselves;
//! [`provoke`] says when to cut a connection so that the client must walk its hard paths; [`proxy`] puts both between a client and its link; [`ledger`] is what the driver of a client
//! and its observer tell each other. None of them does input or output, or reads a clock.

pub mod ledger;
pub mod observer;
pub mod provoke;
pub mod proxy;
