//! What a reader of the results should know about one division into train and test.

use super::{Fold, Split};
use evenhand_core::Compressed;

/// Leakage, users who are not measured, cold starts and repeated pairs, with their numbers.
pub(super) fn about(fold: &Fold, rule: &Split) -> Vec<String> {
    let mut warnings = Vec::new();
    let (train, test) = (&fold.train, &fold.test);
    let mut note = |text: String| warnings.push(told(fold, rule, &text));
    if let (Split::LeaveLastOut, Some(known), Some(asked)) = (rule, train.times(), test.times()) {
        let newest = known.iter().max().expect("train is not empty");
        let leaks = asked.iter().filter(|&t| t < newest).count();
        if leaks > 0 {
            let text = "test rows are older than some training row of another user, so models learn from their future";
            note(format!("{leaks} of {} {text}; `global-time` avoids that", asked.len()));
        }
    }
    if matches!(rule, Split::PerUser { .. } | Split::LeaveLastOut) {
        let count = |user: &usize| train.by_user().count(*user) > 0 && test.by_user().count(*user) == 0;
        let left_out = (0..train.users()).filter(count).count();
        if left_out > 0 {
            note(format!("users with too few rows to hold one out, who are not measured: {left_out}"));
        }
    }
    let sides = [("users", train.by_user(), test.by_user()), ("items", train.by_item(), test.by_item())];
    for (what, known, asked) in sides {
        let (unseen, rows) = only_in_test(known, asked);
        if unseen > 0 {
            note(format!("{what} that occur only in test: {unseen}, in {rows} of {} test rows", test.len()));
        }
    }
    let repeats = (0..test.users())
        .flat_map(|u| test.by_user().partners(u).iter().map(move |i| (u, i)))
        .filter(|&(u, i)| train.by_user().partners(u).binary_search(i).is_ok())
        .count();
    if repeats > 0 {
        note(format!(
            "{repeats} of {} test rows repeat a user and item of the training rows and are not ranked",
            test.len()
        ));
    }
    warnings
}

/// A warning about one fold.
pub(crate) fn told(fold: &Fold, rule: &Split, text: &str) -> String {
    let at = if fold.label.is_empty() { String::new() } else { format!(", {}", fold.label) };
    format!("split `{}`{at}: {text}", rule.name())
}

/// Entities with test rows but no training rows, and the number of those rows.
fn only_in_test(train: &Compressed, test: &Compressed) -> (usize, usize) {
    let counts = (0..test.len()).filter(|&e| train.count(e) == 0).map(|e| test.count(e)).filter(|&c| c > 0);
    counts.fold((0, 0), |(entities, rows), c| (entities + 1, rows + c))
}
