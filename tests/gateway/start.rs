//! Settings that cannot be: refused at the start, by name.

use super::node::Home;

#[test]
fn a_wrong_setting_is_refused_with_its_name() {
    let cases = [
        ("gateway.native.listen=127.0.0.1:99999", "gateway.native.listen"),
        ("gateway.native.listen=localhost", "gateway.native.listen"),
        ("gateway.native.listen=", "gateway.native.listen"),
        ("gateway.rpc.listen=127.0.0.1:0", "gateway.rpc.listen"),
        ("gateway.fix.listen=127.0.0.1:0", "gateway.fix.listen"),
        ("admin.http.listen=127.0.0.1", "admin.http.listen"),
        ("gateway.threads=17", "gateway.threads"),
        ("sequencer.queues.batch=9000", "overload.total"),
        ("priorities.above_entitlement=drop", "priorities.above_entitlement"),
        ("overload.slow_ms=0", "overload.slow_ms"),
        ("ack.policy=standby", "ack.policy"),
        ("ack.policy=disk+standby", "ack.policy"),
        ("ack.policy=whatever", "ack.policy"),
        ("threads.layout=wide", "threads.layout"),
        ("journal.append=scribble", "journal.append"),
        ("journal.segment_size_bytes=4097", "journal.segment_size_bytes"),
        ("sequencer.ring_slots=1000", "sequencer.ring_slots"),
        ("limits.frame_max_bytes=10", "limits.frame_max_bytes"),
        ("limits.connections_max=0", "limits.connections_max"),
        ("gateway.logon_timeout_ms=-1", "gateway.logon_timeout_ms"),
        ("gateway.idle_timeout_ms=soon", "gateway.idle_timeout_ms"),
        ("gateway.nativ.listen=off", "gateway.native"),
    ];
    let home = Home::new();
    for (setting, name) in cases {
        let (status, text) = home.refused(&[setting]);
        assert_eq!(status, Some(2), "{setting}: {text}");
        assert!(text.contains(name), "{setting}: {text}");
        assert!(!home.path().join("data").exists(), "{setting} left a data directory");
    }
}

#[test]
fn a_port_that_is_taken_has_its_own_status() {
    let home = Home::new();
    let node = home.start(&[]);
    let other = Home::new();
    let listen = format!("gateway.native.listen={}", node.address);
    let (status, text) = other.refused(&[&listen]);
    assert_eq!(status, Some(21), "{text}");
    assert!(text.contains(&node.address), "{text}");
    node.assert_well();
}
