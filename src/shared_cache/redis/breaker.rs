//! PURE. Whether the server is asked at all (a circuit breaker), and what the log hears of it.

use std::time::Duration;

/// So many calls in a row without a usable answer, and no further one is made.
const MAX_FAILURES: u32 = 3;

/// How a call or a check ended, or an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// A call got a usable answer.
    Answered,
    /// A call got none in time, or none that is of use.
    Failed,
    /// The background check got its answer.
    Checked,
    /// There is no connection, and none can be made.
    Unreachable,
    /// The server won't take a snapshot, which says nothing about reading: it is full, or a replica.
    PublishRefused,
    /// The server has decided on a snapshot.
    PublishTaken,
    /// The server won't let the channel be heard.
    ChannelRefused,
    /// The channel is heard.
    ChannelHeard,
}

/// What the log is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthLine {
    /// The server is away.
    Away,
    /// It is back.
    Back,
    /// It takes no snapshots.
    PublishRefused,
    /// Hints aren't heard.
    ChannelRefused,
}

/// Keeps calls from a server that doesn't answer. One line tells that it has gone and one that it is back; nothing is
/// said in between, and nothing if it comes back for the checks but not for the calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Breaker {
    state: BreakerState,
    publish_refused: bool,
    channel_refused: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BreakerState {
    /// Calls are made; so many in a row have failed.
    Closed { failures: u32 },
    /// No call is made.
    Open,
    /// A check has been answered, so calls are made again; the first that fails ends that.
    HalfOpen,
}

impl Default for BreakerState {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    /// Whether calls may be made.
    pub fn allows_calls(&self) -> bool {
        self.state != BreakerState::Open
    }

    /// Takes note of a result, and says what is to be logged.
    pub fn note(&mut self, result: CallResult) -> Option<HealthLine> {
        match result {
            CallResult::PublishTaken => self.publish_refused = false,
            CallResult::ChannelHeard => self.channel_refused = false,
            CallResult::PublishRefused => {
                let before = std::mem::replace(&mut self.publish_refused, true);
                return (!before).then_some(HealthLine::PublishRefused);
            }
            CallResult::ChannelRefused => {
                let before = std::mem::replace(&mut self.channel_refused, true);
                return (!before).then_some(HealthLine::ChannelRefused);
            }
            _ => {}
        }
        let (next, line) = self.state.after(result);
        self.state = next;
        line
    }
}

impl BreakerState {
    fn after(self, result: CallResult) -> (Self, Option<HealthLine>) {
        let well = Self::Closed { failures: 0 };
        match (self, result) {
            (Self::Closed { .. }, CallResult::Answered | CallResult::PublishTaken) => (well, None),
            (Self::Closed { failures }, CallResult::Failed) if failures + 1 < MAX_FAILURES => {
                let failures = failures + 1;
                (Self::Closed { failures }, None)
            }
            (Self::Closed { .. }, CallResult::Failed | CallResult::Unreachable) => {
                (Self::Open, Some(HealthLine::Away))
            }
            (Self::Open, CallResult::Checked) => (Self::HalfOpen, None),
            (
                Self::HalfOpen,
                CallResult::Answered | CallResult::PublishTaken | CallResult::Checked,
            ) => (well, Some(HealthLine::Back)),
            (Self::HalfOpen, CallResult::Failed | CallResult::Unreachable) => (Self::Open, None),
            // Also a late answer: calls begin again only after a check.
            (state, _) => (state, None),
        }
    }
}

/// The pause before the next attempt to connect, after this many in a row whose connection didn't last until its first
/// check: 50 ms, doubled each time, at most 5 s.
pub fn reconnect_pause(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(5);
    FIRST.saturating_mul(1 << attempts.min(10)).min(MAX)
}
