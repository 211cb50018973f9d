//! Values of rows, cut at the borders of entities, for tasks that write to them.

/// `rows` cut into the rows of `chunk` entities each, with the first entity; those of entity e are
/// `offsets[e]..offsets[e + 1]`.
pub(crate) fn split<'v, V>(offsets: &[usize], mut rows: &'v mut [V], chunk: usize) -> Vec<(usize, &'v mut [V])> {
    let entities = offsets.len() - 1;
    let mut chunks = Vec::with_capacity(entities.div_ceil(chunk));
    for first in (0..entities).step_by(chunk) {
        let (head, tail) = rows.split_at_mut(offsets[(first + chunk).min(entities)] - offsets[first]);
        chunks.push((first, head));
        rows = tail;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_with_an_entity() {
        let mut rows = [10, 11, 20, 30, 31];
        let chunks = split(&[0, 2, 2, 3, 5], &mut rows, 3);
        assert_eq!(chunks, [(0, &mut [10, 11, 20][..]), (3, &mut [30, 31])]);
        assert!(split::<u8>(&[0], &mut [], 3).is_empty());
    }
}
