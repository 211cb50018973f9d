//! Work in blocks of users, as large as memory permits.

use super::fault::Fault;
use std::ops::Range;

/// Most users of a block: a grid has at most 65,535 tiles of users in its second dimension.
pub(in crate::cuda) const MOST: usize = 65_535 * 64;

/// Calls `work` with ranges that make up `0..users`, each of at most as many as `memory` holds at `each` bytes a user.
/// Where the device has less memory than that, because others use it too, blocks are halved down to `least` users;
/// `work` must then leave nothing behind.
///
/// # Errors
/// The first one of `work`; [`Fault::NoRoom`] where `least` users do not fit.
pub(in crate::cuda) fn in_blocks(
    users: usize,
    memory: usize,
    each: usize,
    least: usize,
    mut work: impl FnMut(Range<usize>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut most = (memory / each.max(1) / least * least).clamp(least, MOST);
    let mut first = 0;
    while first < users {
        let range = first..users.min(first + most);
        match work(range.clone()) {
            Ok(()) => first = range.end,
            Err(fault) if !fault.out_of_memory() => return Err(fault),
            Err(_) if most == least => return Err(Fault::NoRoom(range.len() * each)),
            Err(_) => most = (most.min(range.len()) / 2).next_multiple_of(least),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cudarc::driver::DriverError;
    use cudarc::driver::sys::cudaError_enum as Code;

    fn full(most: usize) -> impl FnMut(Range<usize>) -> Result<(), Fault> {
        move |range| match range.len() > most {
            true => Err(DriverError(Code::CUDA_ERROR_OUT_OF_MEMORY).into()),
            false => Ok(()),
        }
    }

    fn ranges(users: usize, memory: usize, fits: usize) -> (Vec<[usize; 2]>, Result<(), Fault>) {
        let (mut done, mut fits) = (Vec::new(), full(fits));
        let end = in_blocks(users, memory, 10, 64, |range| {
            fits(range.clone())?;
            done.push([range.start, range.end]);
            Ok(())
        });
        (done, end)
    }

    #[test]
    fn blocks_cover_all_users_once_and_respect_the_memory() {
        assert!(ranges(0, 0, 64).0.is_empty());
        assert_eq!(ranges(300, 1 << 20, 300).0, [[0, 300]]);
        assert_eq!(ranges(300, 1999, 300).0, [[0, 192], [192, 300]]);
        assert_eq!(ranges(130, 1, 64).0, [[0, 64], [64, 128], [128, 130]]);
    }

    #[test]
    fn blocks_shrink_where_memory_is_short_and_then_give_up() {
        assert_eq!(ranges(300, 1 << 20, 200).0, [[0, 192], [192, 300]]);
        assert_eq!(ranges(300, 1 << 20, 64).0, [[0, 64], [64, 128], [128, 192], [192, 256], [256, 300]]);
        let (done, end) = ranges(300, 1 << 20, 63);
        assert!(done.is_empty() && matches!(end, Err(Fault::NoRoom(640))));
        assert_eq!(ranges(40, 1 << 20, 63).0, [[0, 40]]);
    }
}
