//! What is sent twice, and what is refused.

use super::desk::{check, check_running, check_running_with, options};
use openoutcry::fix::Version;
use openoutcry::fix::session::{Body, routing_back};

#[test]
fn line_24_what_was_sent_before_is_ignored_where_it_came() {
    check_running(
        "in: 35=D|34=2
         deliver: 2
         at: 3
         in: 35=D|34=2|43=Y|122=0
         in: 35=0|34=1|43=Y|122=3
         in: 35=5|34=2|43=Y|122=0
         expected: 3",
    );
}

#[test]
fn line_24_what_was_sent_before_is_taken_where_it_did_not_come() {
    check_running("in: 35=D|34=2|43=Y|122=0\ndeliver: 2 dup\nexpected: 3");
    check_running("in: 35=D|34=2|43=Y\ndeliver: 2 dup\nexpected: 3");
}

#[test]
fn line_25_a_message_sent_before_it_was_sent_ends_the_session() {
    check_running(
        "in: 35=0|34=2
         in: 35=D|34=2|43=Y|122=5
         out: 35=3|34=2|45=2|371=122|372=D|373=10|58=OrigSendingTime is later than SendingTime
         out: 35=5|34=3|58=SendingTime accuracy problem
         expected: 3
         in: 35=D|34=3
         in: 35=5|34=2|43=Y|122=0
         at: 9
         in: 35=5|34=4
         disconnect: SendingTime
         expected: 3",
    );
}

#[test]
fn line_26_a_message_sent_before_says_when() {
    check_running(
        "in: 35=0|34=2
         in: 35=D|34=2|43=Y
         out: 35=3|34=2|45=2|371=122|372=D|373=1|58=Required tag missing
         in: 35=D|34=2|43=Y|122=never
         out: 35=3|34=3|45=2|371=122|372=D|373=6|58=Incorrect data format for value
         expected: 3
         in: 35=D|34=3
         deliver: 3",
    );
}

#[test]
fn line_27_what_may_be_known_under_another_number_is_delivered_as_such() {
    check_running("in: 35=D|34=2|97=Y\ndeliver: 2 again\nexpected: 3");
    check_running("in: 35=D|34=2|43=Y|122=0|97=Y\ndeliver: 2 dup again\nexpected: 3");
}

#[test]
fn what_the_dictionary_refuses_is_rejected_and_uses_up_its_number() {
    for (reason, tag) in
        [(0, "999"), (0, "-1"), (1, "56"), (2, "58"), (4, "56"), (5, "21"), (6, "38")]
    {
        check_running(&format!(
            "in: 35=D|34=2 ! {reason} {tag} said
             out: 35=3|34=2|45=2|371={tag}|372=D|373={reason}|58=said
             expected: 3
             in: 35=D|34=3
             deliver: 3"
        ));
    }
}

#[test]
fn line_09_of_the_table_a_wrong_comp_id_ends_the_session() {
    for (change, tag) in [("49=OTHER", 49), ("56=OTHER", 56), ("49=", 49)] {
        check_running(&format!(
            "in: 35=D|34=2|{change}
             out: 35=3|34=2|45=2|371={tag}|372=D|373=9|58=CompID problem
             out: 35=5|34=3|58=CompID problem
             expected: 3
             in: 35=5|34=3
             disconnect: CompId
             expected: 4"
        ));
    }
}

#[test]
fn a_comp_id_that_is_missing_is_the_dictionarys() {
    check_running(
        "in: 35=D|34=2|56= ! 1 56 Required tag missing
         out: 35=3|34=2|45=2|371=56|372=D|373=1|58=Required tag missing
         in: 35=D|34=3
         deliver: 3",
    );
}

#[test]
fn line_10_of_the_table_a_sending_time_far_off_ends_the_session() {
    for time in ["-121", "121"] {
        check_running(&format!(
            "in: 35=D|34=2|52={time}
             out: 35=3|34=2|45=2|371=52|372=D|373=10|58=SendingTime accuracy problem
             out: 35=5|34=3|58=SendingTime accuracy problem
             expected: 3
             at: 10
             disconnect: SendingTime"
        ));
    }
    for time in ["-120", "120"] {
        check_running(&format!("in: 35=D|34=2|52={time}\ndeliver: 2"));
    }
    check_running_with(
        |options| options.sending_time_tolerance_s = None,
        "in: 35=D|34=2|52=99999\ndeliver: 2",
    );
}

#[test]
fn what_was_kept_is_as_old_as_it_was_when_it_came() {
    check_running_with(
        |options| options.gap_limit_s = 0,
        "in: 35=D|34=3|52=-100
         out: 35=2|34=2|7=2|16=0
         at: 30
         out: 35=0|34=3
         in: 35=D|34=2
         deliver: 2
         deliver: 3",
    );
}

#[test]
fn line_11_of_the_table_an_unknown_type_is_rejected() {
    check_running(
        "in: 35=*|34=2 ! 11 - Invalid MsgType
         out: 35=3|34=2|45=2|372=*|373=11|58=Invalid MsgType
         expected: 3",
    );
}

#[test]
fn reasons_that_4_2_does_not_know_are_left_out_there() {
    for reason in [13, 14, 16] {
        let script = |shown: &str| {
            format!(
                "in: 35=A|34=1|98=0|108=30
                 out: 35=A|34=1|98=0|108=30
                 in: 35=D|34=2 ! {reason} 386 said
                 out: 35=3|34=2|45=2|371=386|372=D{shown}|58=said"
            )
        };
        check(options(Version::Fix42), &script(""));
        check(options(Version::Fix44), &script(&format!("|373={reason}")));
        check(options(Version::Fix50), &script(&format!("|373={reason}")));
    }
}

#[test]
fn line_28_a_type_that_is_not_taken_is_a_business_reject() {
    check_running(
        "in: 35=8|34=2 ! unsupported
         out: 35=j|34=2|45=2|372=8|380=3|58=Unsupported message type
         expected: 3",
    );
}

#[test]
fn line_30_routing_is_turned_round_for_an_answer() {
    struct Message(Vec<(u32, &'static [u8])>);
    impl Body for Message {
        fn get(&self, tag: u32) -> Option<&[u8]> {
            self.0.iter().find(|(given, _)| *given == tag).map(|(_, value)| *value)
        }
    }
    let message = Message(vec![(115, b"desk"), (116, b"joe"), (128, b""), (145, b"floor")]);
    let back: Vec<(u32, &[u8])> = routing_back(&message).collect();
    assert_eq!(back, [(128, b"desk".as_slice()), (129, b"joe"), (144, b"floor")]);
}

#[test]
fn line_31_what_is_garbled_is_not_answered_and_uses_up_no_number() {
    check_running(
        "do: garbled
         expected: 2
         in: 35=D|34=3
         out: 35=2|34=2|7=2|16=0",
    );
}

#[test]
fn line_32_another_begin_string_ends_the_session_unanswered() {
    for version in [Version::Fix42, Version::Fix44, Version::Fix50] {
        let own = version.begin_string();
        check(
            options(version),
            &format!(
                "in: 35=A|34=1|98=0|108=30
                 out: 35=A|34=1|98=0|108=30
                 in: 8=FIX.4.0|35=D|34=2
                 out: 35=5|34=2|58=Incorrect BeginString, expecting {own}
                 disconnect: BeginString
                 expected: 2"
            ),
        );
    }
}
