//! Resends of ours, and gap fills of the client's.

use super::desk::{check_each, check_running};

/// A session in which the venue sent: 1 Logon, 2 and 3 application, 4 and 5 Heartbeats, 6 application.
const BUSY: &str = "app: 35=8|58=two
    out: 35=8|34=2|58=two
    at: 5
    app: 35=8|58=three
    out: 35=8|34=3|58=three
    in: 35=1|34=2|112=a
    out: 35=0|34=4|112=a
    in: 35=1|34=3|112=b
    out: 35=0|34=5|112=b
    app: 35=8|58=six
    out: 35=8|34=6|58=six
    at: 9
    ";

fn check_busy(script: &str) {
    check_running(&format!("{BUSY}{script}"));
}

#[test]
fn line_16_a_resend_request_ahead_is_served_and_the_own_gap_asked_for() {
    check_busy(
        "in: 35=2|34=6|7=6|16=0
         resend: 6 6
         out: 35=2|34=7|7=4|16=0
         out: 35=8|34=6|43=Y|122=5|52=9|58=six
         expected: 4
         in: 35=2|34=7|7=2|16=2
         resend: 2 2
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         in: 35=4|34=4|43=Y|122=0|123=Y|36=6
         expected: 8
         in: 35=D|34=8
         deliver: 8",
    );
}

#[test]
fn line_17_application_messages_come_again_as_they_were() {
    check_busy(
        "in: 35=2|34=4|7=2|16=3
         resend: 2 3
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         expected: 5",
    );
}

#[test]
fn line_18_runs_of_administrative_messages_become_one_gap_fill() {
    check_busy(
        "in: 35=2|34=4|7=1|16=6
         resend: 1 6
         out: 35=4|34=1|43=Y|122=0|52=9|123=Y|36=2
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         out: 35=4|34=4|43=Y|122=5|52=9|123=Y|36=6
         out: 35=8|34=6|43=Y|122=5|52=9|58=six",
    );
}

#[test]
fn line_19_zero_is_to_the_end_and_the_gap_fill_stops_at_the_next_number() {
    check_busy(
        "in: 35=1|34=4|112=c
         out: 35=0|34=7|112=c
         in: 35=2|34=5|7=6|16=0
         resend: 6 7
         out: 35=8|34=6|43=Y|122=5|52=9|58=six
         out: 35=4|34=7|43=Y|122=9|52=9|123=Y|36=8
         app: 35=8|58=eight
         out: 35=8|34=8|58=eight",
    );
}

#[test]
fn line_19_a_range_beyond_the_end_stops_at_the_end() {
    for end in ["7", "999999", "18446744073709551615"] {
        check_busy(&format!(
            "in: 35=2|34=4|7=6|16={end}
             resend: 6 6
             out: 35=8|34=6|43=Y|122=5|52=9|58=six"
        ));
    }
}

#[test]
fn line_20_a_resend_uses_up_no_number() {
    check_busy(
        "in: 35=2|34=4|7=1|16=0
         resend: 1 6
         out: 35=4|34=1|43=Y|122=0|52=9|123=Y|36=2
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         out: 35=4|34=4|43=Y|122=5|52=9|123=Y|36=6
         out: 35=8|34=6|43=Y|122=5|52=9|58=six
         in: 35=1|34=5|112=c
         out: 35=0|34=7|112=c",
    );
}

#[test]
fn line_21_a_resend_request_with_an_old_number_is_served() {
    for dup in ["", "|43=Y|122=0", "|43=Y"] {
        check_busy(&format!(
            "in: 35=2|34=2{dup}|7=6|16=6
             resend: 6 6
             out: 35=8|34=6|43=Y|122=5|52=9|58=six
             expected: 4"
        ));
    }
}

#[test]
fn line_21_a_reject_comes_again() {
    check_running(
        "in: 35=D|34=2 ! 1 11 Required tag missing
         out: 35=3|34=2|45=2|371=11|372=D|373=1|58=Required tag missing
         in: 35=2|34=3|7=1|16=0
         resend: 1 2
         out: 35=4|34=1|43=Y|122=0|52=0|123=Y|36=2
         out: 35=3|34=2|43=Y|122=0|52=0|45=2|371=11|372=D|373=1|58=Required tag missing",
    );
}

#[test]
fn a_resend_request_that_makes_no_sense_is_rejected() {
    for (range, fault) in [
        ("7=0|16=0", "371=7|372=2|373=5|58=BeginSeqNo 0 is not between 1 and 6"),
        ("7=7|16=0", "371=7|372=2|373=5|58=BeginSeqNo 7 is not between 1 and 6"),
        ("7=5|16=4", "371=16|372=2|373=5|58=EndSeqNo 4 is below BeginSeqNo 5"),
        ("7=x|16=0", "371=7|372=2|373=6|58=Incorrect data format for value"),
        ("7=1", "371=16|372=2|373=1|58=Required tag missing"),
    ] {
        check_busy(&format!(
            "in: 35=2|34=4|{range}
             out: 35=3|34=7|45=4|{fault}
             expected: 5"
        ));
    }
}

#[test]
fn many_resend_requests_are_no_storm() {
    check_busy(
        "do: hold-resends
         in: 35=2|34=4|7=2|16=0
         resend: 2 6
         in: 35=2|34=5|7=2|16=0
         in: 35=2|34=6|7=3|16=0
         in: 35=2|34=7|7=6|16=6
         do: go-resends
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         out: 35=4|34=4|43=Y|122=5|52=9|123=Y|36=6
         out: 35=8|34=6|43=Y|122=5|52=9|58=six
         expected: 8",
    );
}

#[test]
fn what_a_resend_under_way_does_not_hold_comes_after_it_once() {
    check_busy(
        "do: hold-resends
         in: 35=2|34=4|7=3|16=3
         resend: 3 3
         in: 35=2|34=5|7=6|16=6
         in: 35=2|34=6|7=2|16=2
         in: 35=2|34=7|7=6|16=0
         do: go-resends
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         resend: 2 6
         out: 35=8|34=2|43=Y|122=0|52=9|58=two
         out: 35=8|34=3|43=Y|122=5|52=9|58=three
         out: 35=4|34=4|43=Y|122=5|52=9|123=Y|36=6
         out: 35=8|34=6|43=Y|122=5|52=9|58=six",
    );
}

#[test]
fn a_resend_under_way_ends_with_a_reset() {
    check_busy(
        "do: hold-resends
         in: 35=2|34=4|7=2|16=0
         resend: 2 6
         in: 35=A|34=1|98=0|108=30|141=Y
         reset
         out: 35=A|34=1|98=0|108=30|141=Y
         do: go-resends
         in: 35=2|34=2|7=2|16=0
         out: 35=3|34=2|45=2|371=7|372=2|373=5|58=BeginSeqNo 2 is not between 1 and 1
         in: 35=2|34=3|7=1|16=1
         resend: 1 1
         out: 35=4|34=1|43=Y|122=9|52=9|123=Y|36=2",
    );
}

#[test]
fn a_resend_request_right_after_a_reset_sees_no_number_of_before() {
    check_each(
        |_| {},
        "do: set 1 50
         hold
         in: 35=A|34=1|98=0|108=30|141=Y
         reset
         in: 35=2|34=2|7=40|16=0
         go
         out: 35=A|34=1|98=0|108=30|141=Y
         out: 35=3|34=2|45=2|371=7|372=2|373=5|58=nothing was sent yet",
    );
}

#[test]
fn a_resend_that_was_under_way_is_not_that_of_the_next_connection() {
    check_busy(
        "do: hold-resends
         in: 35=2|34=4|7=2|16=3
         resend: 2 3
         do: close
         disconnect: LineClosed
         do: go-resends
         do: connect
         in: 35=A|34=5|98=0|108=30
         out: 35=A|34=7|98=0|108=30
         in: 35=2|34=6|7=3|16=3
         resend: 3 3
         out: 35=8|34=3|43=Y|122=5|52=9|58=three",
    );
}

#[test]
fn line_22_a_gap_fill_moves_the_expected_number() {
    check_running(
        "in: 35=4|34=2|123=Y|36=7
         expected: 7
         in: 35=D|34=7
         deliver: 7",
    );
}

#[test]
fn line_22_a_gap_fill_ahead_shows_a_gap() {
    check_running(
        "in: 35=4|34=4|123=Y|36=7
         out: 35=2|34=2|7=2|16=0
         expected: 2
         in: 35=4|34=2|43=Y|122=0|123=Y|36=4
         expected: 7",
    );
}

#[test]
fn line_22_an_old_gap_fill_is_ignored_where_it_was_sent_before() {
    check_running("in: 35=4|34=1|43=Y|122=0|123=Y|36=9\nexpected: 2");
    check_running("in: 35=4|34=1|43=Y|123=Y|36=9\nexpected: 2");
    check_running(
        "in: 35=4|34=1|123=Y|36=9
         out: 35=5|34=2|58=MsgSeqNum too low, expecting 2 but received 1
         disconnect: NumberTooLow
         expected: 2",
    );
}

#[test]
fn a_gap_fill_that_goes_back_is_rejected() {
    for new in [1, 2] {
        check_running(&format!(
            "in: 35=4|34=2|123=Y|36={new}
             out: 35=3|34=2|45=2|371=36|372=4|373=5|58=NewSeqNo {new} is not above 2
             expected: 3"
        ));
    }
}

#[test]
fn line_23_a_reset_moves_the_expected_number_whatever_its_own_is() {
    for number in ["1", "2", "9"] {
        for mode in ["", "|123=N"] {
            check_running(&format!(
                "in: 35=4|34={number}{mode}|36=7
                 set-expected: 7
                 expected: 7
                 in: 35=D|34=7
                 deliver: 7"
            ));
        }
    }
    check_running("in: 35=4|34=9|36=2\nexpected: 2");
}

#[test]
fn line_23_a_reset_that_goes_back_is_rejected_and_uses_up_no_number() {
    check_running(
        "in: 35=0|34=2
         in: 35=4|34=3|36=2
         out: 35=3|34=2|45=3|371=36|372=4|373=5|58=NewSeqNo 2 is below the expected 3
         expected: 3
         in: 35=4|34=9|36=x
         out: 35=3|34=3|45=9|371=36|372=4|373=6|58=Incorrect data format for value
         expected: 3
         in: 35=4|34=9 ! 1 36 Required tag missing
         out: 35=3|34=4|45=9|371=36|372=4|373=1|58=Required tag missing
         expected: 3",
    );
}

#[test]
fn a_reset_ends_a_gap() {
    check_running(
        "in: 35=D|34=9
         out: 35=2|34=2|7=2|16=0
         in: 35=4|34=5|36=4
         set-expected: 4
         in: 35=D|34=4|11=new
         deliver: 4
         expected: 5
         in: 35=D|34=6
         out: 35=2|34=3|7=5|16=0",
    );
}

#[test]
fn a_reset_forgets_what_was_ahead() {
    check_running(
        "in: 35=D|34=4|11=old
         out: 35=2|34=2|7=2|16=0
         in: 35=4|34=5|36=4
         set-expected: 4
         in: 35=D|34=4|11=new
         deliver: 4
         expected: 5",
    );
}
