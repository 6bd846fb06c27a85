//! Ends of connections: Logouts of both sides, lines that break, operators.

use super::desk::{check_each, check_running, check_running_with};

#[test]
fn line_34_a_logout_is_answered_then_the_line_closed() {
    check_running(
        "in: 35=5|34=2
         out: 35=5|34=2
         disconnect: LoggedOut
         expected: 3",
    );
}

#[test]
fn line_34_the_line_is_closed_when_the_answer_is_written() {
    check_running(
        "hold
         in: 35=5|34=2
         in: 35=D|34=3
         expected: 3
         at: 9
         go
         out: 35=5|34=2
         disconnect: LoggedOut",
    );
}

#[test]
fn a_logout_that_the_dictionary_refuses_is_answered_all_the_same() {
    check_running(
        "in: 35=5|34=2 ! 0 999 Invalid tag number
         out: 35=5|34=2
         disconnect: LoggedOut
         expected: 3",
    );
}

#[test]
fn a_logout_of_a_clock_that_is_wrong_is_answered_all_the_same() {
    check_running(
        "in: 35=5|34=2|52=-500
         out: 35=5|34=2
         disconnect: LoggedOut
         expected: 3",
    );
}

#[test]
fn an_answer_that_is_never_written_does_not_keep_the_line() {
    check_running(
        "hold
         in: 35=5|34=2
         at: 10
         disconnect: LoggedOut
         do: connect",
    );
}

#[test]
fn line_34_an_own_logout_waits_for_the_answer() {
    check_running(
        "do: logout maintenance
         out: 35=5|34=2|58=maintenance
         at: 5
         in: 35=5|34=2
         disconnect: LoggedOut
         expected: 3",
    );
}

#[test]
fn line_34_an_own_logout_waits_so_long() {
    check_running(
        "at: 20
         do: logout maintenance
         out: 35=5|34=2|58=maintenance
         at: 29
         at: 30
         disconnect: LogoutUnanswered",
    );
}

#[test]
fn what_is_on_its_way_while_logging_out_is_taken() {
    check_running(
        "do: logout maintenance
         out: 35=5|34=2|58=maintenance
         in: 35=D|34=2
         deliver: 2
         in: 35=2|34=3|7=1|16=1
         resend: 1 1
         out: 35=4|34=1|43=Y|122=0|52=0|123=Y|36=2
         in: 35=D|34=5
         out: 35=2|34=3|7=4|16=0
         in: 35=A|34=1|98=0|108=30|141=Y
         in: 35=D|34=4|43=Y|122=0
         deliver: 4 dup
         deliver: 5
         in: 35=5|34=6
         disconnect: LoggedOut
         expected: 7",
    );
}

#[test]
fn logouts_that_cross_are_each_others_answers() {
    check_running(
        "hold
         do: logout maintenance
         in: 35=5|34=2
         expected: 3
         go
         out: 35=5|34=2|58=maintenance
         disconnect: LoggedOut",
    );
}

#[test]
fn one_logout_is_enough() {
    check_running(
        "do: logout maintenance
         out: 35=5|34=2|58=maintenance
         do: logout again
         in: 35=D|34=1
         disconnect: NumberTooLow
         expected: 2",
    );
}

#[test]
fn a_line_that_closes_after_the_logout_ended_orderly() {
    check_running(
        "hold
         in: 35=5|34=2
         do: close
         disconnect: LoggedOut
         go
         do: connect
         in: 35=A|34=3|98=0|108=30
         out: 35=A|34=3|98=0|108=30",
    );
}

#[test]
fn a_line_that_breaks_is_no_logout() {
    check_running_with(
        |options| options.reset_on_logout = true,
        "do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=2|98=0|108=30
         out: 35=A|34=2|98=0|108=30
         expected: 3",
    );
}

#[test]
fn numbers_may_begin_anew_after_a_logout() {
    check_running_with(
        |options| options.reset_on_logout = true,
        "in: 35=5|34=2
         out: 35=5|34=2
         reset
         disconnect: LoggedOut
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         expected: 2",
    );
}

#[test]
fn numbers_may_begin_anew_after_any_end() {
    check_running_with(
        |options| options.reset_on_disconnect = true,
        "in: 35=D|34=2
         deliver: 2
         do: close
         reset
         disconnect: LineClosed
         do: connect
         do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         expected: 2",
    );
}

#[test]
fn the_end_of_the_schedule_logs_out_and_begins_anew() {
    check_running(
        "do: end
         out: 35=5|34=2|58=session time is over
         in: 35=5|34=2
         reset
         disconnect: LoggedOut
         expected: 1
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         do: close
         disconnect: LineClosed
         expected: 2",
    );
    check_each(
        |_| {},
        "do: set 5 5\ndo: close\ndisconnect: LineClosed\ndo: end\nreset\nexpected: 1",
    );
}

#[test]
fn an_operator_may_cut_the_line() {
    check_running("do: cut\ndisconnect: Operator\nexpected: 2");
}

#[test]
fn an_operator_may_log_out_whoever_has_not_logged_on() {
    check_each(|_| {}, "do: logout maintenance\ndisconnect: Operator");
    check_each(
        |options| options.authenticate = true,
        "in: 35=A|34=1|98=0|108=30
         authenticate
         do: logout maintenance
         out: 35=5|34=none|58=maintenance
         disconnect: LogonRefused
         expected: 1",
    );
}

#[test]
fn nothing_is_done_for_a_line_that_is_closed() {
    check_running(
        "do: close
         disconnect: LineClosed
         do: close
         do: cut
         do: logout x
         at: 1000
         in: 35=D|34=2
         expected: 2",
    );
}
