//! Test counts, read from the lines that test runners print.
//!
//! Knows the summaries of cargo-nextest and vitest and the result lines of `cargo test`. Not a parser of single results.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tests that passed, also those that were slow or needed a retry.
    pub passed: u64,
    /// Tests that failed, could not be started or ran out of time.
    pub failed: u64,
    /// Tests that were ignored or filtered out.
    pub skipped: u64,
}

impl Counts {
    /// The counts that a line of output announces; `None` for every other line. Columns count: a runner that
    /// repeats the output of a failed test indents it, and what that output announces was not this run.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let plain = without_colour(line);
        let plain = plain.trim_end();
        if plain.starts_with("     Summary [") {
            return Self::from_nextest(plain);
        }
        if let Some(results) = plain.strip_prefix("      Tests ") {
            return Self::from_vitest(results);
        }
        let results = plain.strip_prefix("test result: ")?;
        let (_, results) = results.split_once(". ")?;
        Some(Self::sum(results.split(';')))
    }

    // Summary [   0.1s] 5/9 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 4 skipped
    fn from_nextest(line: &str) -> Option<Self> {
        let (_, results) = line.split_once(" run: ")?;
        Some(Self::sum(without_parentheses(results).split(',')))
    }

    // Tests  1 failed | 3 passed | 2 skipped | 1 todo (7)
    fn from_vitest(results: &str) -> Option<Self> {
        let total = results.trim_end().strip_suffix(')')?.rsplit_once('(')?.1;
        total.parse::<u64>().ok()?;
        Some(Self::sum(without_parentheses(results).split('|')))
    }

    fn sum<'a>(parts: impl Iterator<Item = &'a str>) -> Self {
        let mut counts = Self::default();
        for part in parts {
            let Some((number, what)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what.trim() {
                "passed" => counts.passed += number,
                "failed" | "exec failed" | "timed out" | "setup scripts failed" | "setup script failed" => {
                    counts.failed += number;
                }
                "skipped" | "ignored" => counts.skipped += number,
                _ => {}
            }
        }
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The line without terminal colour sequences (ESC `[` … letter).
fn without_colour(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            characters.by_ref().skip(1).find(char::is_ascii_alphabetic);
        } else {
            plain.push(character);
        }
    }
    plain
}

fn without_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u64, failed: u64, skipped: u64) -> Option<Counts> {
        Some(Counts { passed, failed, skipped })
    }

    #[test]
    fn reads_the_summaries_of_all_runners() {
        let table = [
            ("     Summary [   0.005s] 1 test run: 1 passed, 0 skipped", counts(1, 0, 0)),
            (
                "     Summary [  12.300s] 10 tests run: 8 passed (1 slow, 2 flaky), 1 failed, 1 timed out, 3 skipped",
                counts(8, 2, 3),
            ),
            (
                "     Summary [   1.000s] 5/9 tests run: 3 passed, 1 failed, 1 exec failed, 0 skipped",
                counts(3, 2, 0),
            ),
            (
                "\u{1b}[31m     Summary\u{1b}[0m [   0.1s] 2 tests run: \u{1b}[1m1\u{1b}[0m passed, \u{1b}[31m1 failed\u{1b}[0m, 0 skipped",
                counts(1, 1, 0),
            ),
            (
                "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.01s",
                counts(3, 2, 1),
            ),
            (
                "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
                counts(0, 0, 0),
            ),
            ("      Tests  1 failed | 3 passed | 2 skipped (6)", counts(3, 1, 2)),
            (" Test Files  3 passed (3)", None),
            ("      Tests are good", None),
            ("    test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 6 filtered out", None),
            ("         Summary [   0.1s] 2 tests run: 1 passed, 1 failed, 4 skipped", None),
            ("test services::a ... ok", None),
            ("Summary of the study: 3 passed", None),
        ];
        for (line, expected) in table {
            assert_eq!(Counts::from_line(line), expected, "{line}");
        }
    }

    #[test]
    fn counts_add_up_and_read_as_one_line() {
        let mut all = Counts { passed: 1, failed: 2, skipped: 3 };
        all += Counts { passed: 10, failed: 0, skipped: 1 };
        assert_eq!(all.to_string(), "11 passed, 2 failed, 4 skipped");
    }
}
