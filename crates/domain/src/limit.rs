//! Limits as a person sees them: what a part of the product may hold or take, and what it holds now. Each limit is made where it is
//! enforced; this is only the shape in which it is told. Nothing here enforces anything.

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Bytes per second.
    BytesPerSecond,
    /// So many times as much.
    Times,
}

impl Unit {
    /// For programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::BytesPerSecond => "bytes_per_second",
            Self::Times => "times",
        }
    }
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Of what, in words.
    pub name: &'static str,
    /// How much.
    pub value: u64,
    /// In which unit.
    pub unit: Unit,
    /// The key of the settings that says how much; none for what is fixed.
    pub setting: Option<&'static str>,
    /// How much of it is in use now, where that can be said.
    pub in_use: Option<u64>,
}

impl Limit {
    /// A fixed limit whose use is not counted.
    #[must_use]
    pub const fn new(name: &'static str, value: u64, unit: Unit) -> Self {
        Self { name, value, unit, setting: None, in_use: None }
    }

    /// The settings say how much.
    #[must_use]
    pub const fn set_by(mut self, setting: &'static str) -> Self {
        self.setting = Some(setting);
        self
    }

    /// So much is in use.
    #[must_use]
    pub const fn in_use(mut self, amount: u64) -> Self {
        self.in_use = Some(amount);
        self
    }
}

/// How often something happened since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// What, in words.
    pub name: &'static str,
    /// How often.
    pub count: u64,
}

/// What one part of the product tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The part, in words.
    pub title: &'static str,
    /// Its limits.
    pub limits: Vec<Limit>,
    /// What it refused, by reason.
    pub refused: Vec<Tally>,
}

/// A part of the product that tells its limits and their use. Asked often: it counts nothing anew.
pub trait TellsLimits: Send + Sync {
    /// What it tells now.
    fn section(&self) -> Section;
}
