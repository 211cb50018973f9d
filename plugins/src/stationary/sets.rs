//! Sets of a given size, counted and listed.

/// Number of sets of `k` of `n` items; the largest number where there are more.
pub(crate) fn choose(n: usize, k: usize) -> usize {
    if k > n {
        return 0;
    }
    let k = k.min(n - k);
    (0..k).try_fold(1usize, |ways, j| Some(ways.checked_mul(n - j)? / (j + 1))).unwrap_or(usize::MAX)
}

/// All sets of `k` of `items`, in lexicographic order.
pub(crate) fn subsets(items: &[u32], k: usize) -> Vec<Vec<u32>> {
    if k > items.len() {
        return Vec::new();
    }
    let mut places: Vec<usize> = (0..k).collect();
    let mut sets = Vec::new();
    loop {
        sets.push(places.iter().map(|&at| items[at]).collect());
        let Some(at) = (0..k).rev().find(|&at| places[at] < items.len() - k + at) else { return sets };
        places[at] += 1;
        (at + 1..k).for_each(|later| places[later] = places[later - 1] + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_all_there_in_order() {
        assert_eq!(subsets(&[3, 5, 8], 2), [[3, 5], [3, 8], [5, 8]]);
        assert_eq!((subsets(&[3, 5], 0), subsets(&[3], 2)), (vec![vec![]], vec![]));
        assert_eq!((choose(50, 2), choose(5, 0), choose(2, 3)), (1225, 1, 0));
        assert_eq!((choose(1000, 500), subsets(&[1, 2, 3, 4, 5, 6, 7], 3).len()), (usize::MAX, choose(7, 3)));
    }
}
