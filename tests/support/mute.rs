//! A server that answers no command: what a client meets when a node stops in the middle.

use super::PATIENCE;
use openoutcry::limits::FRAME_MAX_BYTES;
use openoutcry::types::{AssetId, InstrumentId, KeyId, Role, Sequence, SessionId, TimeNs};
use openoutcry::wire::frame_length;
use openoutcry::wire::message::{Challenge, LogonAccepted, send};
use openoutcry::wire::query::send_reference;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// What the server does when it has read the first command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Says nothing until the client gives up.
    Silence,
    /// Closes the connection.
    Gone,
}

/// A server that logs one client on and tells it the venue; its address.
pub(crate) fn server(then: Then) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut out = Vec::new();
        let challenge = Challenge { nonce: [1; 32], time_ns: TimeNs(1), frame_max: 4096 };
        send(&challenge, 0, &mut out);
        stream.write_all(&out).expect("the client reads");
        next(&mut stream);
        let accepted = LogonAccepted {
            session: SessionId(1),
            key: KeyId(1),
            role: Role::Operator,
            outbound: 0,
            sequence: Sequence(1),
            heartbeat_interval_ms: 0,
        };
        out.clear();
        send(&accepted, 0, &mut out);
        stream.write_all(&out).expect("the client reads");
        let reference = next(&mut stream);
        let asset = openoutcry::genesis::Asset { id: AssetId(1), symbol: "BTC".into(), scale: 8 };
        let instrument = openoutcry::genesis::Instrument {
            id: InstrumentId(1),
            symbol: "BTC-USDT".into(),
            base: AssetId(1),
            quote: AssetId(1),
            price_scale: 2,
            tick_units: 1,
            quantity_scale: 2,
            lot_units: 1,
            base_per_lot: 1,
            quote_per_tick_lot: 1,
            quantity_min: 1,
            quantity_max: 100,
            price_max: 100,
            market_band_bps: 500,
            collar_bps: 0,
        };
        out.clear();
        send_reference(&[asset], &[instrument], reference, &mut out);
        stream.write_all(&out).expect("the client reads");
        next(&mut stream);
        if then == Then::Silence {
            // Until the client gives up.
            let _ = stream.read(&mut [0; 1]);
        }
    });
    address
}

/// Reads a frame; its client sequence.
fn next(stream: &mut TcpStream) -> u64 {
    let mut bytes = Vec::new();
    loop {
        if let Ok(Some(length)) = frame_length(&bytes, FRAME_MAX_BYTES)
            && bytes.len() >= length
        {
            let limits =
                openoutcry::wire::OpenLimits { frame_max: FRAME_MAX_BYTES, strict_reserved: true };
            return openoutcry::wire::Frame::open(&bytes[..length], &limits)
                .expect("a good frame")
                .client_sequence();
        }
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).expect("the client sends");
        assert!(count > 0, "the client stays");
        bytes.extend_from_slice(&buffer[..count]);
    }
}
