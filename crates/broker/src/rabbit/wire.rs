//! A piece of work as a message.

use std::fmt;

use domain::{
    event::Event,
    id::{CentreId, EventId},
    work::{Lane, Work},
};
use lapin::BasicProperties;
use serde::{Deserialize, Serialize};

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Makes a message survive a restart (AMQP 0-9-1, delivery mode "persistent").
const PERSISTENT: u8 = 2;

/// Work as JSON. A new version may add keys; an old reader refuses them, and the message is put aside.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireWork {
    version: u32,
    id: String,
    revision: u64,
    centre: String,
    lane: String,
    event: Event,
}

/// Why a message is no work, without its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotWork(&'static str);

impl fmt::Display for NotWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Work as the body of a message.
pub(super) fn write(work: &Work) -> Vec<u8> {
    let wire = WireWork {
        version: VERSION,
        id: work.id.to_string(),
        revision: work.revision,
        centre: work.centre.to_string(),
        lane: work.lane.as_str().to_owned(),
        event: work.event.clone(),
    };
    serde_json::to_vec(&wire).expect("strings and numbers are JSON")
}

/// The properties of the message.
pub(super) fn properties(work: &Work) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_type("telerad.work.v1".into())
        .with_message_id(work.id.to_string().into())
}

/// Reads the body of a message.
///
/// # Errors
/// When it is not what [`write()`] writes.
pub(super) fn read(body: &[u8]) -> Result<Work, NotWork> {
    let wire: WireWork = serde_json::from_slice(body)
        .map_err(|_| NotWork("not the JSON of a piece of work that is known here"))?;
    if wire.version != VERSION {
        return Err(NotWork("written in a version that is not known here"));
    }
    Ok(Work {
        id: EventId::parse(&wire.id).map_err(|_| NotWork("its id is none"))?,
        revision: wire.revision,
        centre: CentreId::parse(&wire.centre).map_err(|_| NotWork("its centre is none"))?,
        lane: Lane::parse(&wire.lane).ok_or(NotWork("its lane is none"))?,
        event: wire.event,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{"version":1,"id":"01936f5e-0000-7000-8000-000000000001","revision":3,"centre":"c1","lane":"stat","event":{"event":"study_stored_v1","centre":"c1","study":"1.2"}}"#;

    #[test]
    fn the_message_is_pinned() {
        let work = Work {
            id: EventId::parse("01936f5e-0000-7000-8000-000000000001").unwrap(),
            revision: 3,
            centre: CentreId::parse("c1").unwrap(),
            lane: Lane::Stat,
            event: Event::StudyStoredV1 { centre: "c1".into(), study: "1.2".into() },
        };
        assert_eq!(String::from_utf8(write(&work)).unwrap(), GOLDEN);
        assert_eq!(read(GOLDEN.as_bytes()), Ok(work));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"stat\"", "\"soon\""),
            ("study_stored_v1", "study_stored_v9"),
            ("01936f5e", "x"),
            ("\"centre\":\"c1\",\"lane\"", "\"centre\":\"../c1\",\"lane\""),
            ("\"revision\":3", "\"revision\":3,\"colour\":\"red\""),
        ] {
            let changed = GOLDEN.replacen(from, to, 1);
            assert_ne!(changed, GOLDEN);
            assert!(read(changed.as_bytes()).is_err(), "{changed}");
        }
        assert!(read(b"").is_err());
    }
}
