//! Maps by number that are read for every message: like `BTreeMap<u32, T>`, but where the machine's caches matter.

use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Index;

/// Values by number, in order. Numbers that follow each other without a gap, as those of a fleet's clients do, are found at once;
/// others by bisection. A new number costs a move of those above it: it is for numbers that come in order, once.
#[derive(Clone, Debug)]
pub struct Table<T>(Vec<(u32, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    /// Where a number is, or belongs.
    fn find(&self, number: u32) -> Result<usize, usize> {
        let first = self.0.first().ok_or(0_usize)?.0;
        let guess = number.wrapping_sub(first) as usize;
        match self.0.get(guess) {
            Some((found, _)) if *found == number => Ok(guess),
            _ => self.0.binary_search_by_key(&number, |(n, _)| *n),
        }
    }

    /// A number's value.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.find(number).ok().map(|at| &self.0[at].1)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.find(number).ok().map(|at| &mut self.0[at].1)
    }

    /// The numbers, from the lowest on.
    pub fn keys(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(|(number, _)| *number)
    }

    /// All of it, from the lowest number on.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.0.iter_mut().map(|(number, value)| (*number, value))
    }
}

impl<T: Default> Table<T> {
    /// A number's value; a new one if there is none.
    pub fn or_default(&mut self, number: u32) -> &mut T {
        let at = match self.find(number) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (number, T::default()));
                at
            }
        };
        &mut self.0[at].1
    }
}

/// Panics if the number is not there, as a map's index does.
impl<T> Index<u32> for Table<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        self.get(number).expect("the number is in the table")
    }
}

/// Values by number, in no order: nothing may depend on one, and so there is none to go by. Numbers may come and go.
#[derive(Debug)]
#[allow(clippy::disallowed_types, reason = "its order is never seen")]
pub struct Unordered<T>(std::collections::HashMap<u32, T, BuildHasherDefault<Mix>>);

/// Numbers are near each other: a multiplication by an odd number without pattern (2^64 over the golden ratio: Knuth, The Art of
/// Computer Programming 3, section 6.4) spreads them, in its upper bits.
#[derive(Debug, Default)]
pub struct Mix(u64);

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(32)
    }
}

impl<T> Default for Unordered<T> {
    fn default() -> Self {
        Self(Default::default())
    }
}

impl<T> Unordered<T> {
    /// A number's value.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&T> {
        self.0.get(&number)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.0.get_mut(&number)
    }

    /// Sets a number's value.
    pub fn insert(&mut self, number: u32, value: T) {
        self.0.insert(number, value);
    }

    /// Takes a number's value out.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        self.0.remove(&number)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does the same to each, in no order.
    pub fn each(&mut self, f: impl FnMut(&mut T)) {
        self.0.values_mut().for_each(f);
    }

    /// All of it, by number.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(u32, T)> {
        let mut all: Vec<(u32, T)> = self.0.into_iter().collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Table, Unordered};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn a_table_is_a_map(numbers in prop::collection::vec(prop_oneof![0..40_u32, any::<u32>()], 0..60), asked in 0..50_u32) {
            let (mut table, mut map) = (Table::<usize>::default(), BTreeMap::<u32, usize>::new());
            for (i, n) in numbers.iter().enumerate() {
                *table.or_default(*n) += i;
                *map.entry(*n).or_default() += i;
            }
            for n in numbers.iter().copied().chain([asked, u32::MAX]) {
                prop_assert_eq!(table.get(n), map.get(&n));
            }
            prop_assert!(table.keys().eq(map.keys().copied()));
            prop_assert!(table.iter_mut().map(|(n, v)| (n, *v)).eq(map.into_iter()));
        }

        #[test]
        fn without_order_it_is_a_map_too(deeds in prop::collection::vec((0..20_u32, any::<bool>()), 0..60)) {
            let (mut table, mut map) = (Unordered::<usize>::default(), BTreeMap::<u32, usize>::new());
            for (i, (n, there)) in deeds.into_iter().enumerate() {
                if there {
                    table.insert(n, i);
                    map.insert(n, i);
                } else {
                    prop_assert_eq!(table.remove(n), map.remove(&n));
                }
                prop_assert_eq!((table.get(n), table.len()), (map.get(&n), map.len()));
            }
            table.each(|v| *v += 1);
            prop_assert!(table.into_sorted().into_iter().eq(map.into_iter().map(|(n, v)| (n, v + 1))));
        }
    }
}
