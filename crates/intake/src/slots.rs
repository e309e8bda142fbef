//! Places for associations: so many in all, so many from one address and of one AE title, and the last one never for a peer that has
//! one already. So no peer can shut the others out.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use domain::text::AeTitle;

/// Connections without a place that may wait at one time to be refused politely: they have to send their request before they
/// can be told. More than these are closed at once.
pub(crate) const TURNED_AWAY_MAX: usize = 64;

/// How many associations there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) all: usize,
    pub(crate) per_address: usize,
    pub(crate) per_ae_title: usize,
}

#[derive(Default)]
struct Taken {
    all: usize,
    turned_away: usize,
    by_address: HashMap<IpAddr, usize>,
    by_ae: HashMap<AeTitle, usize>,
}

/// All places. Clones are the same places.
#[derive(Clone)]
pub(crate) struct Slots {
    limits: Limits,
    taken: Arc<Mutex<Taken>>,
}

/// A place, or what there is instead; given back when dropped.
pub(crate) struct Slot {
    slots: Slots,
    address: IpAddr,
    ae: Option<AeTitle>,
    is_place: bool,
}

/// No place is left for this AE title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Crowded;

impl Slots {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// A place for a connection from an address; one that is no place, when there is none; nothing, when even those who are to be
    /// refused are too many.
    pub(crate) fn take(&self, address: IpAddr) -> Option<Slot> {
        let address = counted(address);
        let mut taken = self.taken();
        let here = taken.by_address.get(&address).copied().unwrap_or_default();
        let is_last = taken.all + 1 >= self.limits.all;
        let is_place =
            taken.all < self.limits.all && here < self.limits.per_address && !(is_last && here > 0);
        if is_place {
            taken.all += 1;
            taken.by_address.insert(address, here + 1);
        } else if taken.turned_away < TURNED_AWAY_MAX {
            taken.turned_away += 1;
        } else {
            return None;
        }
        Some(Slot { slots: self.clone(), address, ae: None, is_place })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Whether an association may be held here; else it is only a place to be refused in.
    pub(crate) const fn is_place(&self) -> bool {
        self.is_place
    }

    /// The connection turned out to be of this AE title.
    pub(crate) fn belongs_to(&mut self, ae: &AeTitle) -> Result<(), Crowded> {
        let slots = self.slots.clone();
        let mut taken = slots.taken();
        let others = taken.by_ae.get(ae).copied().unwrap_or_default();
        let is_last = taken.all >= slots.limits.all;
        if others >= slots.limits.per_ae_title || (is_last && others > 0) {
            return Err(Crowded);
        }
        taken.by_ae.insert(ae.clone(), others + 1);
        self.ae = Some(ae.clone());
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken();
        if !self.is_place {
            taken.turned_away -= 1;
            return;
        }
        taken.all -= 1;
        give_back(&mut taken.by_address, &self.address);
        if let Some(ae) = &self.ae {
            give_back(&mut taken.by_ae, ae);
        }
    }
}

/// The address that counts: of IPv6 the network of 64 bits, since whoever has one has all its addresses.
fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
    }
}

fn give_back<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(all: usize, per_address: usize, per_ae_title: usize) -> Slots {
        Slots::new(Limits { all, per_address, per_ae_title })
    }

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn place(slots: &Slots, last: u8) -> Option<Slot> {
        slots.take(address(last)).filter(Slot::is_place)
    }

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let slots = slots(4, 2, 9);
        let held: Vec<_> = [1, 1, 2].into_iter().map(|peer| place(&slots, peer).unwrap()).collect();
        assert!(place(&slots, 1).is_none(), "one address has two");
        assert!(place(&slots, 2).is_none(), "the last place is not for one that has a place");
        let last = place(&slots, 3).unwrap();
        assert!(place(&slots, 4).is_none(), "all are taken");
        drop(last);
        drop(held);
        assert!(slots.taken().by_address.is_empty() && slots.taken().all == 0);
        assert!(place(&slots, 1).is_some());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let slots = slots(9, 2, 9);
        let take = |text: &str| slots.take(text.parse().unwrap()).filter(Slot::is_place);
        let _held = [take("2001:db8::1").unwrap(), take("2001:db8::2:3").unwrap()];
        assert!(take("2001:db8:0:0:ffff::1").is_none());
        assert!(take("2001:db8:0:1::1").is_some());
        let _mapped = [take("::ffff:192.0.2.1").unwrap(), take("192.0.2.1").unwrap()];
        assert!(take("192.0.2.1").is_none());
    }

    #[test]
    fn one_peer_never_has_all_whatever_is_set() {
        let slots = slots(3, 100, 100);
        let held: Vec<_> = (0..10).filter_map(|_| place(&slots, 1)).collect();
        assert_eq!(held.len(), 2);
        assert!(place(&slots, 2).is_some());
    }

    #[test]
    fn a_single_place_is_for_anybody() {
        let slots = slots(1, 1, 1);
        let held = place(&slots, 1);
        assert!(held.is_some() && place(&slots, 2).is_none());
    }

    #[test]
    fn ae_titles_are_counted_over_addresses() {
        let ae = AeTitle::parse("CT").unwrap();
        let slots = slots(4, 9, 2);
        let mut held: Vec<_> = (1..=4).map(|peer| place(&slots, peer).unwrap()).collect();
        assert_eq!(held[0].belongs_to(&ae), Ok(()));
        assert_eq!(held[1].belongs_to(&ae), Err(Crowded), "all places are taken, and it has one");
        held.pop();
        assert_eq!(held[1].belongs_to(&ae), Ok(()));
        assert_eq!(held[2].belongs_to(&ae), Err(Crowded), "it has two");
        drop(held);
        assert!(slots.taken().by_ae.is_empty());
    }

    #[test]
    fn those_who_are_refused_are_counted_too() {
        let slots = slots(1, 1, 1);
        let _held = place(&slots, 1);
        let waiting: Vec<_> = (0..TURNED_AWAY_MAX + 5).filter_map(|_| slots.take(address(2))).collect();
        assert_eq!(waiting.len(), TURNED_AWAY_MAX);
        assert!(waiting.iter().all(|slot| !slot.is_place()));
        drop(waiting);
        assert_eq!(slots.taken().turned_away, 0);
    }
}
