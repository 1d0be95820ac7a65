//! The one gate in front of a server: may it take work, and if not, why.
//!
//! Several sources speak about a server: the operator, the active checks, passive detection, name resolution. Each
//! writes its own part here and nobody else's, so that an operator's `ready` doesn't bring up a server
//! whose checks fail, and a passing check doesn't end a maintenance. What follows from the parts
//! together is [`Gate::admission`].

use std::time::SystemTime;

use crate::config::model::InitialState;
pub use crate::config::model::Operator;
use crate::observe::ServerState;

/// What the active checks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checked {
    /// No check has ended yet.
    Unknown,
    /// Passing.
    Up,
    /// Failing.
    Down,
}

/// What name resolution says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// There is an address to connect to.
    Resolved,
    /// There is none.
    Unresolved,
}

/// What real traffic says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Passive {
    /// Nothing.
    Silent,
    /// It is out for a while, and why.
    Ejected(String),
    /// It is back after a while, and not checked since.
    Returned,
}

/// Which work a server may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Any.
    Up,
    /// Bound sessions; new ones only while no server is known to be up.
    Unknown,
    /// Bound sessions only.
    BoundOnly,
    /// None.
    Closed,
}

/// The reason of a server's state when nothing checks it.
const NOT_CHECKED: &str = "not checked";

/// The parts, and the words for the last change.
#[derive(Debug, Clone)]
pub struct Gate {
    operator: Operator,
    checked: Checked,
    resolution: Resolution,
    passive: Passive,
    check_reason: String,
    resolution_reason: String,
    since: SystemTime,
}

impl Gate {
    /// A gate before anything is known. `checked` is false when the server has no active checks: it
    /// then counts as up.
    pub fn new(
        checked: bool,
        initial: InitialState,
        resolution: Resolution,
        now: SystemTime,
    ) -> Self {
        let (state, reason) = match (checked, initial) {
            (false, _) => (Checked::Up, NOT_CHECKED),
            (true, InitialState::Unknown) => (Checked::Unknown, "first check pending"),
            (true, InitialState::Up) => (Checked::Up, "taken as up until checked"),
            (true, InitialState::Down) => (Checked::Down, "taken as down until checked"),
        };
        Self {
            operator: Operator::Ready,
            checked: state,
            resolution,
            passive: Passive::Silent,
            check_reason: reason.to_owned(),
            resolution_reason: match resolution {
                Resolution::Resolved => String::new(),
                Resolution::Unresolved => "name not resolved yet".to_owned(),
            },
            since: now,
        }
    }

    /// Which work the server may be given, all parts considered.
    pub fn admission(&self) -> Admission {
        match (self.operator, self.resolution, self.checked) {
            (Operator::Maintenance, _, _)
            | (_, Resolution::Unresolved, _)
            | (_, _, Checked::Down) => Admission::Closed,
            _ if self.is_ejected() => Admission::Closed,
            (Operator::Drain, _, _) => Admission::BoundOnly,
            (Operator::Ready, _, Checked::Up) => Admission::Up,
            (Operator::Ready, _, Checked::Unknown) => Admission::Unknown,
        }
    }

    /// The state in one word, as metrics and the API name it. (A weight of 0 drains as well, which the
    /// gate doesn't know of.)
    pub fn state(&self) -> ServerState {
        match (self.operator, self.resolution, self.checked) {
            (Operator::Maintenance, _, _) => ServerState::Maintenance,
            (_, Resolution::Unresolved, _) | (_, _, Checked::Down) => ServerState::Down,
            _ if self.is_ejected() => ServerState::Down,
            (Operator::Drain, _, _) => ServerState::Drain,
            (_, _, Checked::Up) => ServerState::Up,
            (_, _, Checked::Unknown) => ServerState::Unknown,
        }
    }

    /// Whether the server is held to be healthy, whatever the operator wants of it.
    pub fn is_healthy(&self) -> bool {
        self.resolution == Resolution::Resolved && self.checked == Checked::Up && !self.is_ejected()
    }

    /// Whether it is out for failing real traffic.
    pub fn is_ejected(&self) -> bool {
        matches!(self.passive, Passive::Ejected(_))
    }

    /// Why the state is what it is, in words.
    pub fn reason(&self) -> &str {
        match (self.operator, self.resolution) {
            (Operator::Maintenance, _) => return "set by the operator",
            (_, Resolution::Unresolved) => return &self.resolution_reason,
            _ => {}
        }
        match (&self.passive, self.operator) {
            _ if self.checked == Checked::Down => &self.check_reason,
            (Passive::Ejected(reason), _) => reason,
            (_, Operator::Drain) => "set by the operator",
            (Passive::Returned, _) if self.checked == Checked::Up => "its ejection is over",
            _ => &self.check_reason,
        }
    }

    /// What the last check that decided something saw, in words.
    pub fn check_reason(&self) -> &str {
        &self.check_reason
    }

    /// Why it is out for failing real traffic, if it is.
    pub fn ejection(&self) -> Option<&str> {
        match &self.passive {
            Passive::Ejected(reason) => Some(reason),
            Passive::Silent | Passive::Returned => None,
        }
    }

    /// When the state last changed.
    pub fn since(&self) -> SystemTime {
        self.since
    }

    /// What the checks last said.
    pub fn checked(&self) -> Checked {
        self.checked
    }

    /// What the operator wants.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// Writes the operator's part. Returns whether the state in words changed.
    pub fn set_operator(&mut self, operator: Operator, now: SystemTime) -> bool {
        self.change(now, |gate| gate.operator = operator)
    }

    /// Writes the checks' part. Returns whether the state in words changed.
    pub fn set_checked(&mut self, checked: Checked, reason: String, now: SystemTime) -> bool {
        self.change(now, |gate| {
            gate.checked = checked;
            gate.check_reason = reason;
            if gate.passive == Passive::Returned {
                gate.passive = Passive::Silent;
            }
        })
    }

    /// Follows a reload that turned the checks on or off. Without checks a server counts as up, and a
    /// verdict of checks that are gone must not stay; with new ones what was taken as up goes on.
    /// Returns whether the state in words changed.
    pub fn set_checks(&mut self, checked: bool, now: SystemTime) -> bool {
        if checked {
            return false;
        }
        self.set_checked(Checked::Up, NOT_CHECKED.to_owned(), now)
    }

    /// Writes name resolution's part. Returns whether the state in words changed.
    pub fn set_resolution(
        &mut self,
        resolution: Resolution,
        reason: String,
        now: SystemTime,
    ) -> bool {
        self.change(now, |gate| {
            gate.resolution = resolution;
            gate.resolution_reason = reason;
        })
    }

    /// Writes passive detection's part: why the server is out, or `None` for it to be back. Returns whether the state in
    /// words changed.
    pub fn set_ejected(&mut self, reason: Option<String>, now: SystemTime) -> bool {
        self.change(now, |gate| {
            gate.passive = reason.map_or(Passive::Returned, Passive::Ejected);
        })
    }

    fn change(&mut self, now: SystemTime, write: impl FnOnce(&mut Self)) -> bool {
        let before = self.state();
        write(self);
        let changed = before != self.state();
        if changed {
            self.since = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(checked: bool) -> Gate {
        Gate::new(
            checked,
            InitialState::Unknown,
            Resolution::Resolved,
            SystemTime::UNIX_EPOCH,
        )
    }

    #[test]
    fn a_server_without_checks_is_up() {
        assert_eq!(gate(false).admission(), Admission::Up);
    }

    #[test]
    fn the_verdict_of_checks_goes_with_them() {
        let mut gate = gate(true);
        gate.set_checked(Checked::Down, "refused".into(), SystemTime::UNIX_EPOCH);
        assert!(!gate.set_checks(true, SystemTime::UNIX_EPOCH));
        assert_eq!(gate.admission(), Admission::Closed);
        assert!(gate.set_checks(false, SystemTime::UNIX_EPOCH));
        assert_eq!(gate.admission(), Admission::Up);
        assert_eq!(gate.reason(), "not checked");
    }

    #[test]
    fn an_operator_does_not_override_a_failing_check() {
        let mut gate = gate(true);
        gate.set_checked(Checked::Down, "refused".into(), SystemTime::UNIX_EPOCH);
        gate.set_operator(Operator::Ready, SystemTime::UNIX_EPOCH);
        assert_eq!(gate.admission(), Admission::Closed);
        assert_eq!(gate.reason(), "refused");
    }

    #[test]
    fn a_passing_check_does_not_end_a_maintenance() {
        let mut gate = gate(true);
        gate.set_operator(Operator::Maintenance, SystemTime::UNIX_EPOCH);
        gate.set_checked(Checked::Up, "ok".into(), SystemTime::UNIX_EPOCH);
        assert_eq!(gate.admission(), Admission::Closed);
        assert_eq!(gate.state(), ServerState::Maintenance);
    }

    #[test]
    fn an_ejection_is_one_source_among_others() {
        let mut gate = gate(true);
        let now = SystemTime::UNIX_EPOCH;
        gate.set_checked(Checked::Up, "ok".into(), now);
        assert!(gate.set_ejected(Some("5 resets".into()), now));
        assert_eq!(gate.admission(), Admission::Closed);
        assert_eq!(
            (gate.state(), gate.reason()),
            (ServerState::Down, "5 resets")
        );
        assert!(!gate.is_healthy());
        // A check that passes doesn't end it, and its end doesn't bring up a server whose checks fail.
        assert!(!gate.set_checked(Checked::Up, "ok".into(), now));
        assert!(!gate.set_checked(Checked::Down, "refused".into(), now));
        assert_eq!(gate.reason(), "refused");
        assert!(!gate.set_ejected(None, now));
        assert_eq!(gate.admission(), Admission::Closed);
        assert!(gate.set_checked(Checked::Up, "ok".into(), now));
        assert_eq!(gate.reason(), "ok");
    }

    #[test]
    fn one_that_is_back_says_so_until_it_is_checked() {
        let mut gate = gate(false);
        let now = SystemTime::UNIX_EPOCH;
        gate.set_ejected(Some("5 resets".into()), now);
        assert!(gate.set_ejected(None, now));
        assert_eq!(
            (gate.state(), gate.reason()),
            (ServerState::Up, "its ejection is over")
        );
        gate.set_checked(Checked::Up, "ok".into(), now);
        assert_eq!(gate.reason(), "ok");
    }

    #[test]
    fn draining_keeps_bound_sessions_unless_the_server_is_down() {
        let mut gate = gate(true);
        gate.set_checked(Checked::Up, "ok".into(), SystemTime::UNIX_EPOCH);
        gate.set_operator(Operator::Drain, SystemTime::UNIX_EPOCH);
        assert_eq!(gate.admission(), Admission::BoundOnly);
        gate.set_checked(Checked::Down, "refused".into(), SystemTime::UNIX_EPOCH);
        assert_eq!(gate.admission(), Admission::Closed);
        assert_eq!(gate.state(), ServerState::Down);
        assert_eq!(gate.reason(), "refused");
    }

    #[test]
    fn a_name_that_does_not_resolve_closes_the_gate_and_says_so() {
        let mut gate = gate(false);
        let later = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(5);
        assert!(gate.set_resolution(Resolution::Unresolved, "no such name".into(), later));
        assert_eq!(gate.admission(), Admission::Closed);
        assert_eq!(gate.reason(), "no such name");
        assert_eq!(gate.since(), later);
    }

    #[test]
    fn only_a_change_of_state_moves_the_time() {
        let mut gate = gate(true);
        let one = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let two = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(2);
        assert!(gate.set_checked(Checked::Down, "refused".into(), one));
        assert!(!gate.set_checked(Checked::Down, "no answer".into(), two));
        assert_eq!(gate.since(), one);
        assert_eq!(gate.reason(), "no answer");
    }
}
