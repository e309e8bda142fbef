//! Room that images leave free, so that reading, signing and notifying still work on a disk that images have filled.
//!
//! Not here: what happens when a disk is full all the same; whoever writes finds that out.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an answer of the file system is believed. Images of a second fill no reserve.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// The file systems that images fill and others need. Clones share what they saw.
#[derive(Debug, Clone, Default)]
pub struct Room {
    folders: Arc<[PathBuf]>,
    reserve_bytes: u64,
    seen: Arc<Mutex<Option<Seen>>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    has_room: bool,
}

impl Room {
    /// Looks after folders that must each keep so many bytes free.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>, reserve_bytes: u64) -> Self {
        Self { folders: folders.into(), reserve_bytes, seen: Arc::default() }
    }

    /// Whether another image may be taken. A change is logged once.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.is_there_at(Instant::now())
    }

    fn is_there_at(&self, now: Instant) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = seen.as_ref().filter(|seen| now.duration_since(seen.at) < LOOK_AFTER) {
            return seen.has_room;
        }
        let short = self.folders.iter().find(|folder| self.is_short(folder));
        let has_room = short.is_none();
        let had_room = seen.is_none_or(|seen| seen.has_room);
        match short {
            Some(folder) if had_room => tracing::error!(
                folder = %folder.display(),
                reserve_bytes = self.reserve_bytes,
                "images are refused: less room is free than is kept for reports; make room, or lower intake.reserve_bytes"
            ),
            None if !had_room => tracing::info!("images are taken again: there is room"),
            Some(_) | None => {}
        }
        *seen = Some(Seen { at: now, has_room });
        has_room
    }

    fn is_short(&self, folder: &PathBuf) -> bool {
        // Who cannot say how much is free is asked by writing.
        rustix::fs::statvfs(folder)
            .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) < self.reserve_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_refused_while_the_reserve_is_not_free() {
        let folder = tempfile::tempdir().unwrap();
        let room = |reserve_bytes| Room::new(vec![folder.path().to_owned()], reserve_bytes);
        assert!(Room::default().is_there());
        assert!(room(1).is_there());
        assert!(!room(u64::MAX).is_there());
        let gone = Room::new(vec![folder.path().join("gone")], u64::MAX);
        assert!(gone.is_there(), "who cannot say is asked by writing");
    }

    #[test]
    fn the_file_system_is_asked_again_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("later");
        let room = Room::new(vec![path.clone()], u64::MAX);
        let now = Instant::now();
        assert!(room.is_there_at(now));
        std::fs::create_dir(path).unwrap();
        assert!(room.is_there_at(now), "seen a moment ago");
        assert!(!room.is_there_at(now + LOOK_AFTER));
    }
}
