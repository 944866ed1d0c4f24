//! Tests of the codec and the session, by what goes in and what comes out.

mod malformed;
mod peers;
mod round_trip;
mod session;
