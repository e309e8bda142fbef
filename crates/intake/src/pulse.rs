//! What intake holds now and refused since it started, and the limits it keeps, for the status page. The metrics say the same to those
//! who collect them; nothing here decides anything.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use dimse::AcceptorConfig;
use domain::limit::{Limit, Section, Tally, TellsLimits, Unit};

use imaging::guard::{HEADERS_BYTES_MAX, headers_bytes};

use crate::{
    config::Config,
    multipart::{PART_HEAD_BYTES_MAX, PREAMBLE_BYTES_MAX},
    receive::Refusal,
    slots::TURNED_AWAY_MAX,
    web::BOUNDARY_CHARS_MAX,
};

/// Why something was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// An object that cannot be read.
    NotUnderstood,
    /// An object that cannot be read, and is kept in quarantine.
    Quarantined,
    /// An object that is another than was announced.
    Mismatch,
    /// An object beyond the limit.
    TooLarge,
    /// An object whose UID has other contents already.
    Conflict,
    /// An object of a study that was taken out.
    TakenOut,
    /// No room, or a part of us was away.
    Unavailable,
    /// An association of an AE title that no centre has.
    UnknownPeer,
    /// An association that calls another AE title than ours.
    WrongCalledTitle,
    /// An association beyond the number that may be open.
    TooManyAssociations,
    /// An association that broke the protocol or the connection.
    Broken,
    /// An association that was silent too long.
    Silent,
    /// An upload beyond the number that may be under way.
    TooManyRequests,
    /// An upload that cannot be read to its end, or is too large as a whole.
    BrokenRequest,
}

impl Reason {
    const ALL: [Self; 14] = [
        Self::NotUnderstood,
        Self::Quarantined,
        Self::Mismatch,
        Self::TooLarge,
        Self::Conflict,
        Self::TakenOut,
        Self::Unavailable,
        Self::UnknownPeer,
        Self::WrongCalledTitle,
        Self::TooManyAssociations,
        Self::Broken,
        Self::Silent,
        Self::TooManyRequests,
        Self::BrokenRequest,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::NotUnderstood => "Objects: cannot be read",
            Self::Quarantined => "Objects: cannot be read, kept in quarantine",
            Self::Mismatch => "Objects: another than announced",
            Self::TooLarge => "Objects: too large",
            Self::Conflict => "Objects: same UID, other contents",
            Self::TakenOut => "Objects: of a study that was taken out",
            Self::Unavailable => "Objects: no room, or a part was away",
            Self::UnknownPeer => "Associations: no centre has the calling AE title",
            Self::WrongCalledTitle => "Associations: another called AE title",
            Self::TooManyAssociations => "Associations: too many at one time",
            Self::Broken => "Associations: broke off or broke the protocol",
            Self::Silent => "Associations: silent too long",
            Self::TooManyRequests => "Uploads: too many at one time",
            Self::BrokenRequest => "Uploads: cannot be read to the end, or too large",
        }
    }
}

impl From<&Refusal> for Reason {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NotUnderstood(_)
            | Refusal::Unreadable(_)
            | Refusal::BulkData(_)
            | Refusal::TransferSyntax(_) => Self::NotUnderstood,
            Refusal::Quarantined(_) => Self::Quarantined,
            Refusal::Mismatch(_) => Self::Mismatch,
            Refusal::TooLarge(_) => Self::TooLarge,
            Refusal::Conflict => Self::Conflict,
            Refusal::TakenOut => Self::TakenOut,
            Refusal::Unavailable(_) | Refusal::Full => Self::Unavailable,
        }
    }
}

/// Counts. Clones count into the same.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    associations: AtomicU64,
    requests: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
}

/// Something that is under way; no longer when dropped.
#[derive(Debug)]
pub struct UnderWay {
    counts: Arc<Counts>,
    which: fn(&Counts) -> &AtomicU64,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        (self.which)(&self.counts).fetch_sub(1, Relaxed);
    }
}

impl Pulse {
    /// Something was not taken.
    pub fn refused(&self, reason: Reason) {
        let place = Reason::ALL.iter().position(|known| *known == reason);
        if let Some(count) = place.and_then(|place| self.counts.refused.get(place)) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// An association begins.
    #[must_use]
    pub fn association(&self) -> UnderWay {
        self.begin(|counts| &counts.associations)
    }

    /// An upload begins.
    #[must_use]
    pub fn request(&self) -> UnderWay {
        self.begin(|counts| &counts.requests)
    }

    fn begin(&self, which: fn(&Counts) -> &AtomicU64) -> UnderWay {
        which(&self.counts).fetch_add(1, Relaxed);
        UnderWay { counts: Arc::clone(&self.counts), which }
    }
}

/// What intake tells about itself.
#[derive(Debug, Clone)]
pub struct Told {
    /// The settings in force.
    pub config: Config,
    /// The counts of this process.
    pub pulse: Pulse,
}

impl TellsLimits for Told {
    fn section(&self) -> Section {
        let counts = &self.pulse.counts;
        let refused = Reason::ALL
            .iter()
            .zip(&counts.refused)
            .map(|(reason, count)| Tally { name: reason.as_str(), count: count.load(Relaxed) })
            .collect();
        let mut limits = self.associations();
        limits.extend(self.uploads());
        limits.extend(self.objects());
        Section { title: "Intake", limits, refused }
    }
}

impl Told {
    fn associations(&self) -> Vec<Limit> {
        let (config, protocol) = (&self.config, AcceptorConfig::new(""));
        let count = |number: usize| number as u64;
        vec![
            Limit::new("Associations at one time", count(config.associations_max), Unit::Count)
                .set_by("intake.associations_max")
                .in_use(self.pulse.counts.associations.load(Relaxed)),
            Limit::new(
                "Associations at one time from one address",
                count(config.associations_per_address_max),
                Unit::Count,
            )
            .set_by("intake.associations_per_address_max"),
            Limit::new(
                "Associations at one time of one AE title",
                count(config.associations_per_ae_title_max),
                Unit::Count,
            )
            .set_by("intake.associations_per_ae_title_max"),
            Limit::new("Connections that are being refused", count(TURNED_AWAY_MAX), Unit::Count),
            Limit::new("Time to a complete association request", config.request_seconds_max, Unit::Seconds)
                .set_by("intake.request_seconds_max"),
            Limit::new("Silence on an association", config.idle_seconds_max, Unit::Seconds)
                .set_by("intake.idle_seconds_max"),
            Limit::new("P-DATA that is announced", config.pdu_bytes_max.into(), Unit::Bytes)
                .set_by("intake.pdu_bytes_max"),
            Limit::new("Association request", protocol.max_association_pdu.into(), Unit::Bytes),
            Limit::new("Command set", count(protocol.max_command_set), Unit::Bytes),
            Limit::new("Availability notification", count(protocol.max_notice), Unit::Bytes),
            Limit::new("Operations without an answer", count(protocol.max_outstanding), Unit::Count),
        ]
    }

    fn uploads(&self) -> Vec<Limit> {
        let config = &self.config;
        let count = |number: usize| number as u64;
        vec![
            Limit::new("STOW-RS requests at one time", count(config.requests_max), Unit::Count)
                .set_by("intake.requests_max")
                .in_use(self.pulse.counts.requests.load(Relaxed)),
            Limit::new(
                "STOW-RS requests at one time of one centre",
                count(config.requests_per_centre_max),
                Unit::Count,
            )
            .set_by("intake.requests_per_centre_max"),
            Limit::new("STOW-RS body", config.request_bytes_max, Unit::Bytes)
                .set_by("intake.request_bytes_max"),
            Limit::new("Parts of a STOW-RS request", count(config.request_parts_max), Unit::Count)
                .set_by("intake.request_parts_max"),
            Limit::new("Head of a part", count(PART_HEAD_BYTES_MAX), Unit::Bytes),
            Limit::new("Bytes before the first part", count(PREAMBLE_BYTES_MAX), Unit::Bytes),
            Limit::new("Boundary of a STOW-RS request", count(BOUNDARY_CHARS_MAX), Unit::Bytes),
        ]
    }

    fn objects(&self) -> Vec<Limit> {
        let (guard, quarantine) = (self.config.guard_limits(), &self.config.quarantine);
        let count = |number: usize| number as u64;
        vec![
            Limit::new("Object", self.config.object_bytes_max, Unit::Bytes).set_by("intake.object_bytes_max"),
            Limit::new("Objects in quarantine of one centre", quarantine.centre_objects_max, Unit::Count)
                .set_by("intake.quarantine.centre_objects_max"),
            Limit::new("Bytes in quarantine of one centre", quarantine.centre_bytes_max, Unit::Bytes)
                .set_by("intake.quarantine.centre_bytes_max"),
            Limit::new(
                "Time that discarded objects can be had back",
                u64::from(quarantine.decided_days) * 86_400,
                Unit::Seconds,
            )
            .set_by("intake.quarantine.decided_days"),
            Limit::new("Sequences inside each other", count(guard.depth), Unit::Count)
                .set_by("intake.guard.depth"),
            Limit::new("Header element", count(guard.element_bytes), Unit::Bytes)
                .set_by("intake.guard.element_bytes"),
            Limit::new("Elements and items of a header", count(guard.elements), Unit::Count)
                .set_by("intake.guard.elements"),
            Limit::new("Header", count(guard.header_bytes), Unit::Bytes).set_by("intake.guard.header_bytes"),
            Limit::new("Memory for large headers", count(HEADERS_BYTES_MAX), Unit::Bytes)
                .in_use(count(headers_bytes())),
            Limit::new("Growth of a deflated object", guard.inflate_ratio, Unit::Times)
                .set_by("intake.guard.inflate_ratio"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let told = Told { config: Config::default(), pulse: Pulse::default() };
        let open = told.pulse.association();
        told.pulse.refused(Reason::from(&Refusal::Conflict));
        told.pulse.refused(Reason::Silent);
        let section = told.section();
        assert_eq!(section.limits[0].in_use, Some(1));
        let counted: Vec<_> = section.refused.iter().filter(|tally| tally.count > 0).collect();
        assert_eq!(counted.len(), 2);
        drop(open);
        assert_eq!(told.section().limits[0].in_use, Some(0));
        for reason in Reason::ALL {
            assert!(section.refused.iter().any(|tally| tally.name == reason.as_str()));
        }
    }
}
