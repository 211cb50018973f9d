//! Names of columns with `*` for any text.

/// Whether `name` fits `pattern`.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// What the only `*` of `pattern` stands for in a `name` that fits; `None` for another number of them.
pub(super) fn starred<'n>(pattern: &str, name: &'n str) -> Option<&'n str> {
    let (before, after) = pattern.split_once('*').filter(|(_, after)| !after.contains('*'))?;
    name.strip_prefix(before)?.strip_suffix(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name) in
            [("g_*", "g_young"), ("*", "x"), ("*_y", "a_y"), ("a*b*c", "a-b-b-c"), ("a", "a"), ("a*", "a")]
        {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("g_*", "f_g_"), ("*_y", "a_yy"), ("a*b*c", "acb"), ("a", "ab"), ("aa*aa", "aaa")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
        assert_eq!((starred("g_*", "g_young"), starred("*_y", "a_y")), (Some("young"), Some("a")));
        assert_eq!((starred("*_*", "a_y"), starred("a", "a"), starred("g_*", "g_")), (None, None, Some("")));
    }
}
