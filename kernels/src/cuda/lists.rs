//! Lists of numbers on the device, one for each user of a block, one list after the other.

use super::fault::Fault;
use cudarc::driver::{CudaSlice, CudaStream, DeviceRepr};
use evenhand_core::{Compressed, Error};
use std::borrow::Cow;
use std::sync::Arc;

/// The lists of some users: that of the u-th one is `values[offsets[u]..offsets[u + 1]]`.
#[derive(Debug)]
pub(in crate::cuda) struct Lists<T> {
    pub(in crate::cuda) offsets: CudaSlice<u32>,
    pub(in crate::cuda) values: CudaSlice<T>,
}

impl<T: DeviceRepr + Clone + Default> Lists<T> {
    /// Lists of those lengths, which `values` holds one after the other.
    pub(in crate::cuda) fn upload(
        lengths: impl ExactSizeIterator<Item = usize>,
        values: &[T],
        stream: &Arc<CudaStream>,
    ) -> Result<Self, Fault> {
        let offsets = stream.clone_htod(&offsets(lengths)?)?;
        // No memory at all can not be had.
        let values = if values.is_empty() { &[T::default()][..] } else { values };
        Ok(Self { offsets, values: stream.clone_htod(values)? })
    }
}

impl Lists<u32> {
    /// The partners of some users; none of anyone where there is no table.
    pub(in crate::cuda) fn of_partners(
        table: Option<&Compressed>,
        rows: &[u32],
        stream: &Arc<CudaStream>,
    ) -> Result<Self, Fault> {
        let count = |&row: &u32| table.map_or(0, |table| table.count(row as usize));
        let partners = table.map_or(Cow::Borrowed(&[][..]), |table| partners(table, rows));
        Self::upload(rows.iter().map(count), &partners, stream)
    }
}

/// Most users of a block in which lists are so long at most: their offsets are numbers of 32 bits.
pub(in crate::cuda) fn most_users(longest: usize) -> usize {
    u32::MAX as usize / longest.max(1)
}

/// Where lists of those lengths start, and where the last one ends.
fn offsets(lengths: impl ExactSizeIterator<Item = usize>) -> Result<Vec<u32>, Fault> {
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    let mut end = 0;
    offsets.push(0);
    for length in lengths {
        end += length;
        let too_long = |_| Error::shape("numbers in the lists of a block of users", "below 2^32", end);
        offsets.push(u32::try_from(end).map_err(too_long)?);
    }
    Ok(offsets)
}

/// The partners of some users, one after the other. Those of consecutive users stand so already.
fn partners<'a>(table: &'a Compressed, rows: &[u32]) -> Cow<'a, [u32]> {
    match rows {
        [first, .., last] if rows.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1])) => {
            Cow::Borrowed(&table.all_partners()[table.offsets()[*first as usize]..table.offsets()[*last as usize + 1]])
        }
        [row] => Cow::Borrowed(table.partners(*row as usize)),
        _ => rows.iter().flat_map(|&row| table.partners(row as usize)).copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenhand_core::{Interactions, Rows};

    #[test]
    fn partners_of_any_users_stand_one_after_the_other() {
        let mut rows = Rows::default();
        [(0, 3), (0, 5), (2, 1), (3, 0), (3, 1), (3, 2)].into_iter().for_each(|(u, i)| rows.push(u, i, 1.0));
        let data = Interactions::new(4, 6, &rows).unwrap();
        for (users, expected) in [
            (&[][..], &[][..]),
            (&[2], &[1]),
            (&[0, 1, 2], &[3, 5, 1]),
            (&[1, 2, 3], &[1, 0, 1, 2]),
            (&[3, 2], &[0, 1, 2, 1]),
            (&[0, 0], &[3, 5, 3, 5]),
            (&[0, 2], &[3, 5, 1]),
        ] {
            assert_eq!(*partners(data.by_user(), users), *expected, "{users:?}");
        }
    }

    #[test]
    fn offsets_count_up_or_are_refused() {
        assert_eq!(offsets([2, 0, 3].into_iter()).unwrap(), [0, 2, 2, 5]);
        assert_eq!(offsets([].into_iter()).unwrap(), [0]);
        assert!(offsets([u32::MAX as usize, 1].into_iter()).is_err());
        assert!(offsets(vec![1 << 30; most_users(1 << 30)].into_iter()).is_ok());
    }
}
