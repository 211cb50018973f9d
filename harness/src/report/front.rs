//! The Pareto front: settings that no other one beats in accuracy and in fairness at once.

/// Which points are on the front, smaller being better in both: no other point is as good in both and better in one.
/// Equal points are on it together; what is no point is not.
pub(super) fn front(points: &[Option<(f64, f64)>]) -> Vec<bool> {
    let beats = |a: (f64, f64), b: (f64, f64)| a.0 <= b.0 && a.1 <= b.1 && a != b;
    points.iter().map(|p| p.is_some_and(|p| !points.iter().flatten().any(|&other| beats(other, p)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_by_hand() {
        let points = [(1.0, 5.0), (2.0, 2.0), (3.0, 3.0), (4.0, 1.0), (2.0, 4.0), (5.0, 1.0)].map(Some);
        assert_eq!(front(&points), [true, true, false, true, false, false]);
    }

    #[test]
    fn equal_points_stand_together_and_missing_ones_nowhere() {
        assert_eq!(front(&[Some((1.0, 1.0)), None, Some((1.0, 1.0)), Some((1.0, 2.0))]), [true, false, true, false]);
        assert_eq!(front(&[None]), [false]);
        assert_eq!(front(&[Some((0.0, 0.0))]), [true]);
    }
}
