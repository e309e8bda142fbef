//! Free loopback ports, below the range from which the kernel takes ports for outgoing connections, so that no
//! client can sit on one between the look and the start of the service.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Mutex;

use super::Error;

/// The distance at which SeaweedFS puts the second port of each of its parts.
pub(crate) const PAIR_DISTANCE: u16 = 10_000;

const FIRST: u16 = 12_000;
// FIRST + SPAN + PAIR_DISTANCE stays below 32,768, where Linux begins to hand out ports by itself.
const SPAN: u16 = 10_000;
const TRIES: usize = 2_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port that nobody listens on and that this process has not given out before.
///
/// # Errors
/// [`Error::Failed`] when no free port was found in a couple of thousand tries.
pub(crate) fn free() -> Result<u16, Error> {
    find(&[0])
}

/// A free port whose partner at [`PAIR_DISTANCE`] is free too.
///
/// # Errors
/// As [`free`].
pub(crate) fn free_pair() -> Result<u16, Error> {
    find(&[0, PAIR_DISTANCE])
}

fn find(distances: &[u16]) -> Result<u16, Error> {
    let mut guard = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let given = guard.get_or_insert_default();
    for _ in 0..TRIES {
        let port = FIRST + rand::random::<u16>() % SPAN;
        let wanted: Vec<u16> = distances.iter().map(|distance| port + distance).collect();
        if wanted.iter().all(|port| !given.contains(port) && is_free(*port)) {
            given.extend(wanted);
            return Ok(port);
        }
    }
    Err(Error::failed("looking for a free port", "none found"))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!is_free(listener.local_addr().unwrap().port()));
    }

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = (0..100).map(|_| free().unwrap()).collect();
        assert_eq!(ports.len(), 100);
        let pair = free_pair().unwrap();
        assert!(!ports.contains(&pair) && !ports.contains(&(pair + PAIR_DISTANCE)));
    }
}
