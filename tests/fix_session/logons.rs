//! Logons: how a session begins, begins anew, and is refused.

use super::desk::{check, check_each, check_running, check_running_with, options};
use openoutcry::fix::Version;
use openoutcry::fix::session::Options;

#[test]
fn line_01_a_logon_with_the_expected_number_is_answered() {
    check_each(
        |_| {},
        "in: 35=A|34=1|98=0|108=25
         out: 35=A|34=1|98=0|108=25
         expected: 2
         at: 25
         out: 35=0|34=2",
    );
}

#[test]
fn line_02_a_logon_ahead_is_answered_then_what_is_missing_asked_for() {
    check_each(
        |_| {},
        "in: 35=A|34=5|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         out: 35=2|34=2|7=1|16=0
         expected: 1
         in: 35=4|34=1|43=Y|122=0|123=Y|36=4
         expected: 4
         in: 35=D|34=4|43=Y|122=0
         deliver: 4 dup
         expected: 6
         in: 35=D|34=6
         deliver: 6",
    );
}

#[test]
fn line_03_a_logon_may_begin_both_numbers_anew() {
    check_each(
        |_| {},
        "do: set 7 9
         in: 35=A|34=1|98=0|108=30|141=Y
         reset
         out: 35=A|34=1|98=0|108=30|141=Y
         expected: 2
         in: 35=D|34=2
         deliver: 2",
    );
}

#[test]
fn line_03_a_running_session_may_begin_both_numbers_anew() {
    check_running(
        "in: 35=D|34=2
         deliver: 2
         in: 35=D|34=9
         out: 35=2|34=2|7=3|16=0
         in: 35=A|34=1|98=0|108=20|141=Y
         reset
         out: 35=A|34=1|98=0|108=20|141=Y
         expected: 2
         in: 35=D|34=2
         deliver: 2
         in: 35=D|34=4
         out: 35=2|34=2|7=3|16=0
         at: 20
         out: 35=0|34=3",
    );
}

#[test]
fn messages_ahead_from_before_a_reset_never_come_after_it() {
    check_running(
        "in: 35=D|34=3|11=old
         out: 35=2|34=2|7=2|16=0
         in: 35=A|34=1|98=0|108=30|141=Y
         reset
         out: 35=A|34=1|98=0|108=30|141=Y
         in: 35=D|34=2
         deliver: 2
         expected: 3
         in: 35=D|34=3
         deliver: 3",
    );
}

#[test]
fn a_reset_that_does_not_begin_with_one_is_refused_and_resets_nothing() {
    let text = "MsgSeqNum (34) must be 1 with ResetSeqNumFlag (141), not 4";
    check_each(
        |_| {},
        &format!(
            "do: set 4 6
             in: 35=A|34=4|98=0|108=30|141=Y
             out: 35=5|34=none|58={text}
             disconnect: LogonRefused
             expected: 4"
        ),
    );
    check_running(&format!(
        "in: 35=0|34=2
         in: 35=0|34=3
         in: 35=A|34=4|98=0|108=30|141=Y
         out: 35=5|34=2|58={text}
         disconnect: LogonAgain
         expected: 4"
    ));
}

#[test]
fn a_logon_sent_again_resets_nothing() {
    check_each(
        |_| {},
        "in: 35=A|34=1|98=0|108=30|141=Y
         reset
         out: 35=A|34=1|98=0|108=30|141=Y
         in: 35=D|34=2
         deliver: 2
         in: 35=A|34=1|43=Y|122=0|98=0|108=30|141=Y
         expected: 3",
    );
    check_each(
        |_| {},
        "do: set 7 9
         in: 35=A|34=1|43=Y|122=0|98=0|108=30|141=Y
         out: 35=5|34=none|58=MsgSeqNum too low, expecting 7 but received 1
         disconnect: LogonRefused
         expected: 7
         do: connect
         in: 35=A|34=7|43=Y|122=0|98=0|108=30|141=Y
         out: 35=A|34=1|98=0|108=30
         expected: 8",
    );
}

#[test]
fn line_04_the_answer_shows_no_reset_that_was_not_asked_for() {
    let script = "do: set 7 9
         in: 35=A|34=1|98=0|108=30
         reset
         out: 35=A|34=1|98=0|108=30";
    check_each(|options| options.reset_on_logon = true, script);
    let shown = format!("{script}|141=Y");
    let both = |options: &mut Options| {
        options.reset_on_logon = true;
        options.show_own_reset = true;
    };
    check_each(both, &shown);
}

#[test]
fn a_venue_that_resets_by_itself_still_asks_for_what_is_missing() {
    check_each(
        |options| options.reset_on_logon = true,
        "do: set 7 9
         in: 35=A|34=3|98=0|108=30
         reset
         out: 35=A|34=1|98=0|108=30
         out: 35=2|34=2|7=1|16=0",
    );
}

#[test]
fn line_05_what_is_no_logon_is_not_answered() {
    for message in ["35=D|34=1", "35=0|34=1", "35=5|34=1", "35=4|34=1|36=10", "35=2|34=1|7=1|16=0"]
    {
        check_each(|_| {}, &format!("in: {message}\ndisconnect: FirstNotLogon\nexpected: 1"));
    }
}

#[test]
fn line_05_what_is_garbled_instead_of_a_logon_is_not_answered() {
    check_each(|_| {}, "do: garbled\ndisconnect: FirstNotLogon\nexpected: 1");
}

#[test]
fn line_05_a_logon_that_is_wrong_is_refused_with_a_reason() {
    for (change, text) in [
        ("49=OTHER", "SenderCompID (49) is not this session's"),
        ("49=", "SenderCompID (49) is not this session's"),
        ("56=OTHER", "TargetCompID (56) is not this session's"),
        ("52=-121", "SendingTime (52) accuracy problem"),
        ("52=99999999", "SendingTime (52) accuracy problem"),
        ("52=", "SendingTime (52) accuracy problem"),
        ("98=1", "EncryptMethod (98) must be 0"),
    ] {
        check_each(
            |_| {},
            &format!(
                "in: 35=A|34=1|{change}|98=0|108=30
                 out: 35=5|34=none|58={text}
                 disconnect: LogonRefused
                 expected: 1"
            ),
        );
    }
    for (version, begin) in [(Version::Fix42, "FIX.4.4"), (Version::Fix44, "FIXT.1.1")] {
        let own = version.begin_string();
        check(
            options(version),
            &format!(
                "in: 8={begin}|35=A|34=1|98=0|108=30
                 out: 35=5|34=none|58=BeginString (8) must be {own} in this session
                 disconnect: LogonRefused"
            ),
        );
    }
}

#[test]
fn line_05_a_logon_that_the_dictionary_refuses_is_refused() {
    check_each(
        |_| {},
        "in: 35=A|34=1|98=0|108=30 ! 1 98 Required tag missing
         out: 35=5|34=none|58=Required tag missing (98)
         disconnect: LogonRefused",
    );
}

#[test]
fn line_05_a_logon_without_a_number_is_refused() {
    for number in ["34=", "34=abc", "34=99999999999999999999"] {
        check_each(
            |_| {},
            &format!(
                "in: 35=A|{number}|98=0|108=30
                 out: 35=5|34=none|58=MsgSeqNum (34) must be a number in range
                 disconnect: LogonRefused"
            ),
        );
    }
}

#[test]
fn line_05_fixt_needs_the_version_of_its_applications() {
    for (change, text) in [
        ("1137=", "DefaultApplVerID (1137) is missing"),
        ("1137=7", "DefaultApplVerID (1137) must be 9"),
    ] {
        check(
            options(Version::Fix50),
            &format!(
                "in: 35=A|34=1|98=0|108=30|{change}
                 out: 35=5|34=none|58={text}
                 disconnect: LogonRefused"
            ),
        );
    }
}

#[test]
fn line_06_the_fixt_answer_carries_the_version_of_its_applications() {
    check(
        options(Version::Fix50),
        "in: 35=A|34=1|98=0|108=30|1137=9
         out: 35=A|34=1|98=0|108=30|1137=9",
    );
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30|1137=9
         out: 35=A|34=1|98=0|108=30",
    );
}

#[test]
fn line_06_a_second_connection_leaves_the_first_as_it_is() {
    check_running(
        "do: connect-again
         in: 35=D|34=2
         deliver: 2",
    );
}

#[test]
fn line_07_a_logon_works_at_once_after_a_logout() {
    check_running(
        "in: 35=5|34=2
         out: 35=5|34=2
         disconnect: LoggedOut
         do: connect
         in: 35=A|34=3|98=0|108=30
         out: 35=A|34=3|98=0|108=30
         expected: 4",
    );
}

#[test]
fn a_connection_without_a_logon_is_closed() {
    check_each(|_| {}, "at: 9\nat: 10\ndisconnect: NoLogon");
    check_each(|_| {}, "do: bytes\nat: 10\ndisconnect: NoLogon");
}

#[test]
fn a_heartbeat_interval_is_bounded() {
    let bounds = |options: &mut Options| {
        options.heartbeat_min_s = 5;
        options.heartbeat_max_s = 60;
        options.heartbeat_off = false;
    };
    for (given, text) in [
        ("4", "HeartBtInt (108) 4 is not between 5 and 60"),
        ("61", "HeartBtInt (108) 61 is not between 5 and 60"),
        ("0", "HeartBtInt (108) 0 is not allowed here, 5 is the least"),
        ("-1", "HeartBtInt (108) must be a number of seconds"),
        ("", "HeartBtInt (108) must be a number of seconds"),
    ] {
        check_each(
            bounds,
            &format!(
                "in: 35=A|34=1|98=0|108={given}
                 out: 35=5|34=none|58={text}
                 disconnect: LogonRefused"
            ),
        );
    }
    for given in ["5", "60"] {
        check_each(
            bounds,
            &format!("in: 35=A|34=1|98=0|108={given}\nout: 35=A|34=1|98=0|108={given}"),
        );
    }
}

#[test]
fn nothing_changes_before_the_credentials_are_checked() {
    check_each(
        |options| options.authenticate = true,
        "do: set 7 9
         in: 35=A|34=1|98=0|108=30|141=Y|553=user|554=wrong
         authenticate
         expected: 7
         do: refuse - user or password are wrong
         out: 35=5|34=none|58=user or password are wrong
         disconnect: LogonRefused
         expected: 7",
    );
}

#[test]
fn fixt_says_why_a_logon_is_refused_as_a_number_too() {
    let mut asked = options(Version::Fix50);
    asked.authenticate = true;
    check(
        asked,
        "in: 35=A|34=1|98=0|108=30
         authenticate
         do: refuse 5 user or password are wrong
         out: 35=5|34=none|1409=5|58=user or password are wrong
         disconnect: LogonRefused",
    );
}

#[test]
fn a_refusal_may_use_up_a_number() {
    check_running_with(
        |options| options.refusals_numbered = true,
        "do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=5|34=2|58=MsgSeqNum too low, expecting 2 but received 1
         disconnect: LogonRefused
         expected: 2
         do: connect
         in: 35=A|34=2|98=0|108=30
         out: 35=A|34=3|98=0|108=30",
    );
}

#[test]
fn a_refused_logon_changes_nothing_on_either_side() {
    check_running(
        "do: close
         disconnect: LineClosed
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=5|34=none|58=MsgSeqNum too low, expecting 2 but received 1
         disconnect: LogonRefused
         expected: 2
         do: connect
         in: 35=A|34=2|98=0|108=30
         out: 35=A|34=2|98=0|108=30",
    );
}

#[test]
fn messages_that_do_not_wait_for_the_answer_come_after_a_logon_ahead() {
    for (logon, answer) in [("", ""), ("|789=1", "|789=3")] {
        let mut asked = options(Version::Fix44);
        asked.authenticate = true;
        let request = if logon.is_empty() { "out: 35=2|34=2|7=3|16=0" } else { "" };
        check(
            asked,
            &format!(
                "do: set 3 0
                 in: 35=A|34=5|98=0|108=0{logon}
                 authenticate
                 in: 35=D|34=6
                 do: accept
                 out: 35=A|34=1|98=0|108=0{answer}
                 {request}
                 in: 35=D|34=3|43=Y|122=0
                 deliver: 3 dup
                 in: 35=D|34=4|43=Y|122=0
                 deliver: 4 dup
                 deliver: 6
                 expected: 7
                 at: 100"
            ),
        );
    }
}

#[test]
fn what_came_too_late_before_the_answer_is_refused_after_it() {
    let asked = |options: &mut Options| options.authenticate = true;
    for time in ["-31536", "121"] {
        check_each(
            asked,
            &format!(
                "in: 35=A|34=1|98=0|108=30
                 authenticate
                 in: 35=D|34=2|52={time}
                 do: accept
                 out: 35=A|34=1|98=0|108=30
                 out: 35=3|34=2|45=2|371=52|372=D|373=10|58=SendingTime accuracy problem
                 out: 35=5|34=3|58=SendingTime accuracy problem
                 expected: 3"
            ),
        );
    }
    // Its time is that at which it came, not that of the answer.
    check_each(
        asked,
        "in: 35=A|34=1|98=0|108=30
         authenticate
         in: 35=D|34=2|52=-118
         at: 9
         do: accept
         out: 35=A|34=1|98=0|108=30
         deliver: 2",
    );
}

#[test]
fn messages_that_do_not_wait_for_the_answer_come_after_it() {
    check_each(
        |options| options.authenticate = true,
        "do: set 2 2
         in: 35=A|34=1|98=0|108=30|141=Y
         authenticate
         in: 35=D|34=2
         in: 35=1|34=3|112=there?
         expected: 2
         do: accept
         reset
         out: 35=A|34=1|98=0|108=30|141=Y
         deliver: 2
         out: 35=0|34=2|112=there?
         expected: 4",
    );
}

#[test]
fn an_answer_about_credentials_that_never_comes_ends_the_connection() {
    check_each(
        |options| options.authenticate = true,
        "in: 35=A|34=1|98=0|108=30
         authenticate
         at: 10
         out: 35=5|34=none|58=the Logon was not checked in time
         disconnect: LogonRefused
         do: accept
         expected: 1",
    );
}

#[test]
fn a_refused_logon_that_was_logged_on_before_resets_nothing() {
    check_running_with(
        |options| options.reset_on_disconnect = true,
        "do: close
         reset
         disconnect: LineClosed
         do: set 4 4
         do: connect
         in: 35=A|34=1|98=0|108=30
         out: 35=5|34=none|58=MsgSeqNum too low, expecting 4 but received 1
         disconnect: LogonRefused
         expected: 4",
    );
}

#[test]
fn a_logon_in_a_running_session_is_refused_and_the_session_goes_on() {
    check(
        options(Version::Fix42),
        "in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         in: 35=A|34=2|98=0|108=30
         out: 35=3|34=2|45=2|372=A|58=already logged on
         expected: 3",
    );
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         in: 35=A|34=2|98=0|108=30
         out: 35=3|34=2|45=2|372=A|373=99|58=already logged on
         in: 35=D|34=3
         deliver: 3",
    );
}

#[test]
fn a_logon_says_what_it_expects_and_both_sides_send_again_unasked() {
    for version in [Version::Fix44, Version::Fix50] {
        check(
            options(version),
            "in: 35=A|34=1|98=0|108=30
             out: 35=A|34=1|98=0|108=30
             app: 35=8|58=one
             out: 35=8|34=2|58=one
             do: close
             disconnect: LineClosed
             app: 35=8|58=two
             do: connect
             at: 5
             in: 35=A|34=4|98=0|108=30|789=2
             out: 35=A|34=4|98=0|108=30|789=2
             resend: 2 3
             out: 35=8|34=2|43=Y|122=0|52=5|58=one
             out: 35=8|34=3|43=Y|122=0|52=5|58=two
             in: 35=D|34=2|43=Y|122=0
             deliver: 2 dup
             in: 35=D|34=5
             in: 35=4|34=3|43=Y|122=0|123=Y|36=5
             deliver: 5
             expected: 6",
        );
    }
}

#[test]
fn a_logon_that_expects_what_comes_next_is_sent_nothing_again() {
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30|789=1
         out: 35=A|34=1|98=0|108=30|789=2",
    );
}

#[test]
fn a_logon_that_expects_more_than_was_sent_is_refused() {
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30|789=2
         out: 35=5|34=none|58=NextExpectedMsgSeqNum too high, expecting 1 but received 2
         disconnect: LogonRefused
         expected: 1",
    );
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30|789=0
         out: 35=5|34=none|58=NextExpectedMsgSeqNum (789) must be a number above 0
         disconnect: LogonRefused",
    );
}

#[test]
fn what_a_logon_expects_of_old_numbers_is_nothing_to_new_ones() {
    for (flag, own) in [("|141=Y", false), ("", true)] {
        let mut asked = options(Version::Fix44);
        asked.reset_on_logon = own;
        check(
            asked,
            &format!(
                "do: set 4 9
                 in: 35=A|34=1|98=0|108=30{flag}|789=7
                 reset
                 out: 35=A|34=1|98=0|108=30{flag}|789=2
                 app: 35=8|58=two
                 out: 35=8|34=2|58=two"
            ),
        );
    }
}

#[test]
fn a_running_session_that_begins_anew_says_what_it_expects_too() {
    check(
        options(Version::Fix44),
        "in: 35=A|34=1|98=0|108=30
         out: 35=A|34=1|98=0|108=30
         in: 35=A|34=1|98=0|108=30|141=Y|789=1
         reset
         out: 35=A|34=1|98=0|108=30|141=Y|789=2
         in: 35=A|34=1|98=0|108=30|141=Y|789=x
         out: 35=5|34=2|58=NextExpectedMsgSeqNum (789) must be a number above 0
         disconnect: LogonAgain",
    );
}

#[test]
fn what_a_logon_expects_is_nothing_to_a_version_or_session_without_it() {
    let script = "in: 35=A|34=3|98=0|108=30|789=7
         out: 35=A|34=1|98=0|108=30
         out: 35=2|34=2|7=1|16=0";
    check(options(Version::Fix42), script);
    let mut without = options(Version::Fix44);
    without.next_expected = false;
    check(without, script);
}

#[test]
fn comp_ids_are_the_logons_where_none_are_demanded() {
    check_each(
        |options| {
            options.client_comp_id.clear();
            options.own_comp_id.clear();
        },
        "in: 35=A|34=1|98=0|108=30|49=ANY|56=BODY
         out: 35=A|34=1|98=0|108=30
         in: 35=D|34=2|49=ANY|56=BODY
         deliver: 2
         in: 35=D|34=3
         out: 35=3|34=2|45=3|371=49|372=D|373=9|58=CompID problem
         out: 35=5|34=3|58=CompID problem",
    );
}

#[test]
fn a_comp_id_is_something_and_bounded_where_none_is_demanded() {
    let free = |options: &mut Options| {
        options.client_comp_id.clear();
        options.own_comp_id.clear();
    };
    let (fits, long) = ("x".repeat(64), "x".repeat(65));
    check_each(free, &format!("in: 35=A|34=1|98=0|108=30|49={fits}\nout: 35=A|34=1|98=0|108=30"));
    for given in ["", &long] {
        check_each(
            free,
            &format!(
                "in: 35=A|34=1|98=0|108=30|49={given}
                 out: 35=5|34=none|58=SenderCompID (49) is not this session's
                 disconnect: LogonRefused"
            ),
        );
    }
}
