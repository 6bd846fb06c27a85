//! Heartbeats and test requests: is the other side there?

use super::desk::{check_each, check_running, check_running_with};

#[test]
fn line_13_a_test_request_is_answered_with_its_id() {
    check_running(
        "in: 35=1|34=2|112=are you there
         out: 35=0|34=2|112=are you there
         expected: 3",
    );
}

#[test]
fn line_13_a_test_request_without_an_id_is_rejected() {
    check_running(
        "in: 35=1|34=2 ! 1 112 Required tag missing
         out: 35=3|34=2|45=2|371=112|372=1|373=1|58=Required tag missing
         in: 35=1|34=3
         out: 35=3|34=3|45=3|371=112|372=1|373=1|58=Required tag missing
         expected: 4",
    );
}

#[test]
fn a_test_request_id_is_bounded() {
    let (fits, long) = ("x".repeat(96), "x".repeat(97));
    check_running(&format!(
        "in: 35=1|34=2|112={fits}
         out: 35=0|34=2|112={fits}
         in: 35=1|34=3|112={long}
         out: 35=3|34=3|45=3|371=112|372=1|373=5|58=TestReqID is too long
         expected: 4"
    ));
}

#[test]
fn line_14_silence_of_ours_is_broken_by_a_heartbeat() {
    check_running(
        "at: 29
         app: 35=8|58=one
         out: 35=8|34=2|58=one
         do: bytes
         at: 58
         do: bytes
         at: 59
         out: 35=0|34=3
         at: 88
         do: bytes
         at: 89
         out: 35=0|34=4",
    );
}

#[test]
fn line_14_the_interval_is_the_clients() {
    check_each(
        |_| {},
        "in: 35=A|34=1|98=0|108=7
         out: 35=A|34=1|98=0|108=7
         at: 6
         at: 7
         out: 35=0|34=2",
    );
}

#[test]
fn line_14_a_heartbeat_is_asked_for_once_however_late_it_is_sequenced() {
    check_running(
        "hold
         at: 30
         at: 35
         do: bytes
         go
         out: 35=0|34=2
         at: 64
         at: 65
         out: 35=0|34=3",
    );
}

#[test]
fn line_15_silence_of_the_client_is_asked_about() {
    check_running(
        "at: 30
         out: 35=0|34=2
         at: 35
         at: 36
         out: 35=1|34=3|112=TEST-1
         at: 50
         in: 35=0|34=2|112=TEST-1
         at: 66
         out: 35=0|34=4
         at: 86
         out: 35=1|34=5|112=TEST-2",
    );
}

#[test]
fn line_15_a_question_that_is_not_answered_ends_the_session() {
    check_running(
        "at: 36
         out: 35=0|34=2
         out: 35=1|34=3|112=TEST-1
         at: 71
         out: 35=0|34=4
         at: 72
         disconnect: Silent
         expected: 2",
    );
}

#[test]
fn any_byte_is_life() {
    for what in ["bytes", "garbled"] {
        check_running(&format!(
            "at: 30
             out: 35=0|34=2
             at: 35
             do: {what}
             at: 60
             out: 35=0|34=3
             at: 70
             do: {what}
             at: 90
             out: 35=0|34=4
             at: 106
             out: 35=1|34=5|112=TEST-1
             at: 140
             out: 35=0|34=6
             do: {what}
             at: 170
             out: 35=0|34=7"
        ));
    }
}

#[test]
fn a_client_that_serves_a_long_resend_is_alive() {
    check_running_with(
        |options| options.gap_limit_s = 0,
        "in: 35=D|34=9
         out: 35=2|34=2|7=2|16=0
         at: 30
         out: 35=0|34=3
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         at: 60
         out: 35=0|34=4
         in: 35=D|34=3|43=Y|122=0
         deliver: 3 dup
         at: 90
         out: 35=0|34=5
         expected: 4",
    );
}

#[test]
fn a_test_request_in_a_gap_is_answered_at_once() {
    check_running(
        "in: 35=D|34=4
         out: 35=2|34=2|7=2|16=0
         in: 35=1|34=5|112=still there?
         out: 35=0|34=3|112=still there?
         in: 35=4|34=2|43=Y|122=0|123=Y|36=4
         deliver: 4
         expected: 6
         in: 35=4|34=5|43=Y|122=0|123=Y|36=6
         expected: 6
         in: 35=D|34=6
         deliver: 6",
    );
}

#[test]
fn a_test_request_that_shows_a_gap_is_answered_at_once() {
    check_running(
        "in: 35=1|34=4|112=x
         out: 35=0|34=2|112=x
         out: 35=2|34=3|7=2|16=0
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         in: 35=D|34=3|43=Y|122=0
         deliver: 3 dup
         expected: 5",
    );
}

#[test]
fn an_interval_of_zero_is_no_heartbeat_and_no_question() {
    check_each(
        |_| {},
        "in: 35=A|34=1|98=0|108=0
         out: 35=A|34=1|98=0|108=0
         at: 100000
         do: tick
         in: 35=1|34=2|112=x
         out: 35=0|34=2|112=x",
    );
}

#[test]
fn a_resend_is_a_sign_of_life_of_ours() {
    check_running(
        "app: 35=8|58=one
         out: 35=8|34=2|58=one
         at: 29
         in: 35=2|34=2|7=2|16=2
         resend: 2 2
         out: 35=8|34=2|43=Y|122=0|52=29|58=one
         at: 58
         do: bytes
         at: 59
         out: 35=0|34=3",
    );
}
