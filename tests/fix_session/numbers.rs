//! MsgSeqNum: no hole in ours, no gap unseen in the client's.

use super::desk::{check_each, check_running, check_running_with};

#[test]
fn line_08_every_message_has_the_next_number() {
    check_running(
        "app: 35=8|58=one
         out: 35=8|34=2|58=one
         in: 35=1|34=2|112=x
         out: 35=0|34=3|112=x
         in: 35=D|34=3 ! 5 40 Value is incorrect
         out: 35=3|34=4|45=3|371=40|372=D|373=5|58=Value is incorrect
         app: 35=8|58=two
         out: 35=8|34=5|58=two
         in: 35=E|34=4 ! unsupported
         out: 35=j|34=6|45=4|372=E|380=3|58=Unsupported message type
         at: 30
         out: 35=0|34=7",
    );
}

#[test]
fn line_09_one_resend_request_a_gap() {
    check_running(
        "in: 35=D|34=5
         out: 35=2|34=2|7=2|16=0
         in: 35=D|34=6
         in: 35=0|34=7
         expected: 2
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         in: 35=D|34=8
         in: 35=4|34=3|43=Y|122=0|123=Y|36=5
         deliver: 5
         deliver: 6
         deliver: 8
         expected: 9
         in: 35=D|34=5|43=Y|122=0
         in: 35=D|34=6|43=Y|122=0
         in: 35=D|34=9
         deliver: 9
         in: 35=D|34=11
         out: 35=2|34=3|7=10|16=0",
    );
}

#[test]
fn what_has_no_room_is_dropped_and_comes_again() {
    check_running_with(
        |options| options.ahead_max_bytes = 0,
        "in: 35=D|34=4
         out: 35=2|34=2|7=2|16=0
         in: 35=D|34=5
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         in: 35=D|34=3|43=Y|122=0
         deliver: 3 dup
         in: 35=D|34=6
         in: 35=D|34=4|43=Y|122=0
         deliver: 4 dup
         in: 35=D|34=7
         out: 35=2|34=3|7=5|16=0
         in: 35=D|34=5|43=Y|122=0
         deliver: 5 dup
         in: 35=D|34=6|43=Y|122=0
         deliver: 6 dup
         expected: 7",
    );
}

#[test]
fn a_gap_may_be_asked_for_in_parts() {
    check_running_with(
        |options| options.resend_chunk = 3,
        "in: 35=D|34=10
         out: 35=2|34=2|7=2|16=4
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         in: 35=4|34=3|43=Y|122=0|123=Y|36=5
         out: 35=2|34=3|7=5|16=7
         in: 35=4|34=5|43=Y|122=0|123=Y|36=8
         out: 35=2|34=4|7=8|16=0
         in: 35=4|34=8|43=Y|122=0|123=Y|36=10
         deliver: 10
         expected: 11",
    );
}

#[test]
fn a_gap_fill_beyond_the_part_that_was_asked_for_fills_the_gap() {
    check_running_with(
        |options| options.resend_chunk = 3,
        "in: 35=D|34=10
         out: 35=2|34=2|7=2|16=4
         in: 35=4|34=2|43=Y|122=0|123=Y|36=10
         deliver: 10
         expected: 11",
    );
}

#[test]
fn line_10_a_number_too_low_ends_the_session_with_a_reason() {
    check_running(
        "in: 35=0|34=2
         in: 35=0|34=3
         in: 35=0|34=4
         in: 35=D|34=2
         out: 35=5|34=2|58=MsgSeqNum too low, expecting 5 but received 2
         disconnect: NumberTooLow
         expected: 5",
    );
}

#[test]
fn line_10_a_logon_too_low_is_refused_with_a_reason() {
    check_running(
        "do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=5|34=none|58=MsgSeqNum too low, expecting 2 but received 1
         disconnect: LogonRefused
         expected: 2",
    );
}

#[test]
fn line_11_a_logout_ahead_or_behind_is_answered() {
    check_running(
        "in: 35=5|34=9
         out: 35=5|34=2
         disconnect: LoggedOut
         expected: 2",
    );
    check_running(
        "in: 35=5|34=1
         out: 35=5|34=2
         disconnect: LoggedOut
         expected: 2",
    );
}

#[test]
fn line_11_a_logout_ahead_does_not_hide_what_is_missing() {
    check_running(
        "in: 35=5|34=4
         out: 35=5|34=2
         disconnect: LoggedOut
         do: connect
         in: 35=A|34=5|98=0|108=30
         out: 35=A|34=3|98=0|108=30
         out: 35=2|34=4|7=2|16=0
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         in: 35=4|34=3|43=Y|122=0|123=Y|36=6
         expected: 6",
    );
}

#[test]
fn line_12_a_reject_uses_up_its_number_and_is_not_answered() {
    check_running("in: 35=3|34=2|45=1\nexpected: 3");
}

#[test]
fn a_message_without_a_number_ends_the_session() {
    check_running(
        "in: 35=D|34=
         out: 35=5|34=2|58=MsgSeqNum (34) is missing
         disconnect: NumberMissing
         expected: 2",
    );
}

#[test]
fn a_gap_that_is_not_filled_ends_the_session() {
    check_running(
        "in: 35=D|34=5
         out: 35=2|34=2|7=2|16=0
         at: 29
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         at: 30
         out: 35=0|34=3
         at: 60
         out: 35=0|34=4
         in: 35=0|34=6
         at: 88
         in: 35=0|34=7
         at: 89
         out: 35=5|34=5|58=messages from 3 on were not sent again
         disconnect: GapNotFilled
         expected: 3",
    );
}

#[test]
fn what_was_asked_for_on_a_line_that_is_gone_is_asked_for_again() {
    check_running(
        "in: 35=D|34=4
         out: 35=2|34=2|7=2|16=0
         in: 35=D|34=2|43=Y|122=0
         deliver: 2 dup
         do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=5|98=0|108=30
         out: 35=A|34=3|98=0|108=30
         out: 35=2|34=4|7=3|16=0
         in: 35=D|34=3|43=Y|122=0
         deliver: 3 dup
         in: 35=D|34=4|43=Y|122=0
         deliver: 4 dup
         expected: 6",
    );
}

#[test]
fn numbers_are_right_when_they_are_told_late() {
    check_running(
        "hold
         in: 35=1|34=2|112=a
         app: 35=8|58=one
         in: 35=1|34=3|112=b
         in: 35=D|34=6
         in: 35=D|34=7
         expected: 4
         go
         out: 35=0|34=2|112=a
         out: 35=8|34=3|58=one
         out: 35=0|34=4|112=b
         out: 35=2|34=5|7=4|16=0
         in: 35=2|34=8|7=3|16=0
         resend: 3 5
         out: 35=8|34=3|43=Y|122=0|52=0|58=one
         out: 35=4|34=4|43=Y|122=0|52=0|123=Y|36=6",
    );
}

#[test]
fn an_operator_may_set_the_numbers() {
    check_running(
        "in: 35=D|34=9
         out: 35=2|34=2|7=2|16=0
         do: set 20 2
         expected: 20
         in: 35=D|34=20
         deliver: 20",
    );
}

#[test]
fn numbers_set_before_a_reset_are_undone_by_it() {
    check_running(
        "hold
         in: 35=A|34=1|98=0|108=30|141=Y
         reset
         do: set 20 20
         go
         out: 35=A|34=1|98=0|108=30|141=Y
         in: 35=D|34=2
         deliver: 2
         expected: 3",
    );
}

#[test]
fn numbers_out_of_any_reach_are_not_followed() {
    check_running(
        "in: 35=4|34=2|123=Y|36=18446744073709551615
         out: 35=3|34=2|45=2|371=36|372=4|373=5|58=NewSeqNo is out of range
         expected: 3
         in: 35=4|34=3|123=Y|36=99999999999999999999
         out: 35=3|34=3|45=3|371=36|372=4|373=6|58=Incorrect data format for value
         expected: 4",
    );
}

#[test]
fn a_number_out_of_any_reach_ends_the_session() {
    for message in [
        "35=0|34=18446744073709551615",
        "35=1|34=18446744073709551615|112=x",
        "35=2|34=1000000000000|7=1|16=0",
        "35=D|34=1000000000000",
        "35=4|34=1000000000000|123=Y|36=5",
        "35=A|34=1000000000000|98=0|108=30",
    ] {
        check_running(&format!(
            "in: {message}
             out: 35=5|34=2|58=MsgSeqNum (34) must be a number in range
             disconnect: NumberMissing
             expected: 2"
        ));
    }
    check_running("in: 35=D|34=999999999999\nout: 35=2|34=2|7=2|16=0");
    // Those whose number is not looked at are what they are.
    check_running("in: 35=5|34=18446744073709551615\nout: 35=5|34=2\ndisconnect: LoggedOut");
    check_running("in: 35=4|34=18446744073709551615|36=7\nset-expected: 7");
}

#[test]
fn a_number_out_of_any_reach_hides_nothing_that_comes_before_the_answer() {
    check_each(
        |options| options.authenticate = true,
        "in: 35=A|34=1|98=0|108=30
         authenticate
         in: 35=1|34=18446744073709551615|112=x
         in: 35=D|34=2
         in: 35=1|34=18446744073709551615|112=x
         in: 35=D|34=3
         do: accept
         out: 35=A|34=1|98=0|108=30
         deliver: 2
         deliver: 3",
    );
}

#[test]
fn a_resend_under_way_when_numbers_are_set_is_still_the_only_one() {
    check_running(
        "app: 35=8|58=one
         out: 35=8|34=2|58=one
         do: hold-resends
         in: 35=2|34=2|7=1|16=0
         resend: 1 2
         in: 35=2|34=3|7=1|16=1
         do: set 9 2
         in: 35=2|34=9|7=2|16=0
         do: go-resends
         out: 35=4|34=1|43=Y|122=0|52=0|123=Y|36=2
         out: 35=8|34=2|43=Y|122=0|52=0|58=one
         resend: 2 2
         out: 35=8|34=2|43=Y|122=0|52=0|58=one
         in: 35=2|34=10|7=1|16=1
         resend: 1 1
         out: 35=4|34=1|43=Y|122=0|52=0|123=Y|36=2",
    );
}

#[test]
fn a_reset_that_is_wrong_uses_up_its_number_where_it_is_expected() {
    for (message, tag, reason, text) in [
        ("123=X|36=9 ! 6 123 said", 123, 6, "said"),
        ("36= ! 1 36 said", 36, 1, "said"),
        ("36=", 36, 1, "Required tag missing"),
        ("36=x", 36, 6, "Incorrect data format for value"),
        ("36=1000000000000", 36, 5, "NewSeqNo is out of range"),
    ] {
        let reject = format!("|371={tag}|372=4|373={reason}|58={text}");
        check_running(&format!(
            "in: 35=4|34=2|{message}
             out: 35=3|34=2|45=2{reject}
             expected: 3
             in: 35=4|34=7|{message}
             out: 35=3|34=3|45=7{reject}
             in: 35=4|34=1|{message}
             out: 35=3|34=4|45=1{reject}
             expected: 3
             in: 35=D|34=3
             deliver: 3"
        ));
    }
}
