//! What time brings: heartbeats, questions whether the client is there, and ends of waiting.

use super::action::{Action, Admin, Reason};
use super::text::Text;
use super::{Gap, Session, State, Wait};
use crate::types::TimeNs;

impl Session {
    /// When [`Session::time_came`] has something to do, as it looks at the moment.
    #[must_use]
    pub fn deadline(&self) -> Option<TimeNs> {
        let limit = match self.state {
            State::Closed => return None,
            State::Running => None,
            _ => Some(self.limit),
        };
        let life = self.is_open().then(|| self.life_deadline()).flatten();
        [limit, life, self.gap_limit()].into_iter().flatten().min()
    }

    /// Does what is due; nothing where nothing is.
    pub fn time_came(&mut self, now: TimeNs, out: &mut Vec<Action>) {
        let is_over = now >= self.limit;
        match self.state {
            State::Closed => return,
            State::Connected if is_over => return self.disconnect(Reason::NoLogon, out),
            State::Authenticating(_) if is_over => {
                return self.refuse(now, "the Logon was not checked in time".into(), None, out);
            }
            State::LoggingOut { .. } if is_over => {
                return self.disconnect(Reason::LogoutUnanswered, out);
            }
            State::Ending { reason, .. } if is_over => return self.disconnect(reason, out),
            State::Running | State::LoggingOut { .. } => {}
            _ => return,
        }
        if self.gap_limit().is_some_and(|limit| now >= limit) {
            let expected = self.expected;
            let text = Text::of(format_args!("messages from {expected} on were not sent again"));
            return self.end(now, text, None, (Reason::GapNotFilled, Wait::No), out);
        }
        if self.heartbeat_ns == 0 {
            return;
        }
        match self.tested {
            Some(_) if now >= self.silence_ends() => return self.disconnect(Reason::Silent, out),
            None if now >= self.silence_ends() => {
                self.tested = Some(now);
                self.test_count += 1;
                let id = Text::of(format_args!("TEST-{}", self.test_count));
                self.send(now, Admin::TestRequest { id }, out);
            }
            _ => {}
        }
        if now >= self.heartbeat_is_due() {
            self.send(now, Admin::Heartbeat { test_req_id: None }, out);
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.state, State::Running | State::LoggingOut { .. })
    }

    fn life_deadline(&self) -> Option<TimeNs> {
        let earlier = self.heartbeat_is_due().min(self.silence_ends());
        (self.heartbeat_ns != 0).then_some(earlier)
    }

    fn heartbeat_is_due(&self) -> TimeNs {
        TimeNs(self.last_sent.0.saturating_add(self.heartbeat_ns))
    }

    /// 1.2 intervals after the last byte, and as many after the question that followed it.
    fn silence_ends(&self) -> TimeNs {
        let since = self.tested.unwrap_or(self.last_received);
        TimeNs(since.0.saturating_add(self.heartbeat_ns / 5 * 6))
    }

    fn gap_limit(&self) -> Option<TimeNs> {
        let Gap { since, .. } = self.gap?;
        let limit = self.options.gap_limit_s;
        (limit != 0 && self.is_open()).then(|| super::after(since, limit))
    }
}
