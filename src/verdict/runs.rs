//! Run-length sets of message numbers: an unbroken history costs one run, whatever its length.

use smallvec::SmallVec;

/// A set of `u32`, kept as sorted, disjoint, non-adjacent runs. Two of them need no memory of their own: a judge holds
/// several sets for each client, and nearly all are one run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Runs(SmallVec<[(u32, u32); 2]>);

impl Runs {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self(SmallVec::new_const())
    }

    /// Adds a number; false if it was there already.
    pub fn insert(&mut self, n: u32) -> bool {
        if let Some((_, last)) = self.0.last_mut()
            && n == last.wrapping_add(1)
            && n > *last
        {
            *last = n; // the usual case: the next in order
            return true;
        }
        let at = self.0.partition_point(|(_, last)| *last < n);
        if self.0.get(at).is_some_and(|(first, _)| *first <= n) {
            return false;
        }
        let joins_before = at > 0 && self.0[at - 1].1.checked_add(1) == Some(n);
        let joins_after = self.0.get(at).is_some_and(|(first, _)| n.checked_add(1) == Some(*first));
        match (joins_before, joins_after) {
            (true, true) => {
                self.0[at - 1].1 = self.0[at].1;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].1 = n,
            (false, true) => self.0[at].0 = n,
            (false, false) => self.0.insert(at, (n, n)),
        }
        true
    }

    /// Adds `first..=last`.
    pub fn insert_range(&mut self, first: u32, last: u32) {
        if first > last {
            return;
        }
        let from = self.0.partition_point(|(_, l)| l.saturating_add(1) < first);
        let to = self.0.partition_point(|(f, _)| *f <= last.saturating_add(1));
        if from < to {
            self.0[from] = (first.min(self.0[from].0), last.max(self.0[to - 1].1));
            self.0.drain(from + 1..to);
        } else {
            self.0.insert(from, (first, last));
        }
    }

    /// Takes a number out; false if it was not there.
    pub fn remove(&mut self, n: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < n);
        let Some(&(first, last)) = self.0.get(at).filter(|(first, _)| *first <= n) else { return false };
        match (first == n, last == n) {
            (true, true) => {
                self.0.remove(at);
            }
            (true, false) => self.0[at].0 = n + 1,
            (false, true) => self.0[at].1 = n - 1,
            (false, false) => {
                self.0[at].1 = n - 1;
                self.0.insert(at + 1, (n + 1, last));
            }
        }
        true
    }

    /// True if the number is there.
    #[must_use]
    pub fn contains(&self, n: u32) -> bool {
        let at = self.0.partition_point(|(_, last)| *last < n);
        self.0.get(at).is_some_and(|(first, _)| *first <= n)
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The largest number.
    #[must_use]
    pub fn max(&self) -> Option<u32> {
        self.0.last().map(|(_, last)| *last)
    }

    /// The runs, in order: first and last of each.
    pub fn runs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// Adds all numbers of `other` that lie in `first..=last`.
    pub fn insert_part(&mut self, other: &Self, first: u32, last: u32) {
        let from = other.0.partition_point(|(_, l)| *l < first);
        for (f, l) in &other.0[from..] {
            if *f > last {
                break;
            }
            self.insert_range((*f).max(first), (*l).min(last));
        }
    }

    /// What is in `self` and in `other`.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (first, last) in other.runs() {
            both.insert_part(self, first, last);
        }
        both
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut rest = SmallVec::new();
        for (mut first, last) in self.runs() {
            let from = other.0.partition_point(|(_, l)| *l < first);
            let mut used_up = false;
            for (f, l) in &other.0[from..] {
                if *f > last {
                    break;
                }
                if *f > first {
                    rest.push((first, f - 1));
                }
                if *l >= last {
                    used_up = true;
                    break;
                }
                first = l + 1;
            }
            if !used_up {
                rest.push((first, last));
            }
        }
        Self(rest)
    }
}
