//! Which call on the disk goes wrong, and how.

use std::time::Duration;

/// A call that changes something, as a program makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// A new file.
    Create,
    /// A new folder.
    MakeFolder,
    /// Bytes written to a file.
    Write,
    /// `ftruncate`.
    Resize,
    /// `fallocate`, holes included.
    Allocate,
    /// `fsync` or `fdatasync` of a file.
    Flush,
    /// `fsync` of a folder.
    FlushFolder,
    /// Another name for a file.
    Link,
    /// A name moved.
    Rename,
    /// A name taken away.
    Unlink,
}

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error number. A flush that fails loses what it should have written.
    Fail(i32),
    /// It takes this much longer.
    Slow(Duration),
    /// The victim is killed by kill -9, before or after it is done.
    Kill(Moment),
    /// The power goes, and the victim is killed, before or after it is done.
    PowerCut(Moment),
    /// Another rule begins to watch, with the next call.
    Arm(Box<Rule>),
}

/// On which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before it has any effect.
    Before,
    /// After it had its effect, before the program hears of it.
    After,
}

/// A fault, and the calls that it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Which calls.
    pub calls: Vec<Call>,
    /// Which paths: those that hold this text. A rename or a link has `old -> new` as its path.
    pub path: String,
    /// Calls that pass before the first one that goes wrong.
    pub passes: u32,
    /// Calls that go wrong then; after them the rule has done its work.
    pub times: u32,
    /// What goes wrong.
    pub fault: Fault,
}

impl Rule {
    /// The next such call goes wrong, once.
    #[must_use]
    pub fn next(calls: &[Call], path: &str, fault: Fault) -> Self {
        Self { calls: calls.to_vec(), path: path.to_owned(), passes: 0, times: 1, fault }
    }

    /// Lets some calls pass first.
    #[must_use]
    pub fn after(mut self, passes: u32) -> Self {
        self.passes = passes;
        self
    }

    /// Goes on for so many calls.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = times;
        self
    }

    /// Begins to watch only after a call of another kind.
    #[must_use]
    pub fn once(self, calls: &[Call], path: &str) -> Self {
        Self::next(calls, path, Fault::Arm(Box::new(self)))
    }

    /// Whether this call goes wrong. Counts it.
    pub(super) fn strikes(&mut self, call: Call, path: &str) -> bool {
        if self.times == 0 || !self.calls.contains(&call) || !path.contains(&self.path) {
            return false;
        }
        if self.passes > 0 {
            self.passes -= 1;
            return false;
        }
        self.times -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_lets_pass_strikes_and_is_done() {
        let mut rule = Rule::next(&[Call::Flush], "objects/", Fault::Fail(5)).after(1).times(2);
        let calls = [
            (Call::Flush, "other/a"),
            (Call::Write, "objects/a"),
            (Call::Flush, "objects/a"),
            (Call::Flush, "objects/b"),
            (Call::Flush, "objects/c"),
            (Call::Flush, "objects/d"),
        ];
        let struck: Vec<bool> = calls.iter().map(|(call, path)| rule.strikes(*call, path)).collect();
        assert_eq!(struck, [false, false, false, true, true, false]);
    }
}
