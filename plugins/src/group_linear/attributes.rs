//! Attributes: families of groups of which every row is in exactly one.

use super::refuse;
use evenhand_core::Result;
use std::collections::HashSet;

/// By how much the chances of an attribute's groups may miss 1.
const SLACK: f64 = 1e-9;

/// An attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute {
    /// Its groups, called `ATTRIBUTE=GROUP`, with their chances, which add up to 1.
    pub(super) groups: Vec<(String, f64)>,
}

impl Attribute {
    /// The group at `place`, from 0 to below 1, of the chances laid end to end. Never one without a chance.
    pub(super) fn at(&self, place: f64) -> usize {
        let mut end = 0.0;
        let inside = self.groups.iter().position(|(_, chance)| {
            end += chance;
            place < end
        });
        // Rounding may leave a gap below 1.
        let last = || self.groups.iter().rposition(|(_, chance)| *chance > 0.0);
        inside.or_else(last).expect("chances add up to 1")
    }
}

/// Reads `NAME: GROUP CHANCE, GROUP CHANCE, ...`, once per attribute.
///
/// # Errors
/// [`evenhand_core::Error::OutOfRange`] for the first text that can not be read, chances that do not add up to 1, or an
/// attribute or a group that occurs twice.
pub(super) fn read(texts: &[String]) -> Result<Vec<Attribute>> {
    if texts.is_empty() {
        return Err(refuse("attributes", "[]".into(), "at least one attribute".into()));
    }
    let (mut names, mut known) = (HashSet::new(), HashSet::new());
    let mut attributes = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let wrong = |expected: String| refuse(format!("attributes[{at}]"), format!("\"{text}\""), expected);
        let (name, attribute) = parse(text).map_err(wrong)?;
        if !names.insert(name) {
            return Err(wrong(format!("each attribute once: there is a `{name}` before")));
        }
        if let Some((twice, _)) = attribute.groups.iter().find(|(name, _)| !known.insert(name.clone())) {
            return Err(wrong(format!("each group once: there is a `{twice}` before")));
        }
        attributes.push(attribute);
    }
    Ok(attributes)
}

/// Reads one attribute; the error is what was expected.
fn parse(text: &str) -> Result<(&str, Attribute), String> {
    let (name, list) = match text.split_once(':').map(|(name, list)| (name.trim(), list)) {
        Some((name, list)) if !name.is_empty() => (name, list),
        _ => return Err("NAME: GROUP CHANCE, GROUP CHANCE, ...".into()),
    };
    let groups = list.split(',').map(|entry| group(name, entry.trim())).collect::<Result<Vec<_>, _>>()?;
    let sum: f64 = groups.iter().map(|(_, chance)| chance).sum();
    if (sum - 1.0).abs() > SLACK {
        return Err(format!("chances of the groups of `{name}` that add up to 1, not {sum}"));
    }
    Ok((name, Attribute { groups }))
}

/// Reads `GROUP CHANCE`; the name of a group may have blanks inside.
fn group(attribute: &str, entry: &str) -> Result<(String, f64), String> {
    let Some((group, chance)) = entry.rsplit_once(char::is_whitespace) else {
        return Err(format!("a group of `{attribute}` and its chance, such as `circle 0.5`, not `{entry}`"));
    };
    match chance.parse::<f64>() {
        Ok(chance) if (0.0..=1.0).contains(&chance) => Ok((format!("{attribute}={}", group.trim()), chance)),
        _ => Err(format!("a chance of the group `{}` of `{attribute}` from 0 to 1, not `{chance}`", group.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn names_chances_and_blanks() {
        let read =
            read(&texts(&["SHAPE: circle 0.5,  square\t0.5", " HAIR colour :light brown 1 , none 0e0"])).unwrap();
        let names = |at: usize| read[at].groups.iter().map(|(n, c)| (n.as_str(), *c)).collect::<Vec<_>>();
        assert_eq!(names(0), [("SHAPE=circle", 0.5), ("SHAPE=square", 0.5)]);
        assert_eq!(names(1), [("HAIR colour=light brown", 1.0), ("HAIR colour=none", 0.0)]);
        let thirds = format!("T: a {0}, b {0}, c {0}", 1.0 / 3.0);
        assert_eq!(super::read(&[thirds]).unwrap()[0].groups.len(), 3);
    }

    /// Chances 0, 0.25, 0, 0.75, 0: groups without a chance are never hit, not even where rounding leaves a gap.
    #[test]
    fn places_of_chances() {
        let attribute = &read(&texts(&["A: a 0, b 0.25, c 0, d 0.75, e 0"])).unwrap()[0];
        for (place, group) in [(0.0, 1), (0.2499, 1), (0.25, 3), (0.9999, 3)] {
            assert_eq!(attribute.at(place), group, "{place}");
        }
        let short = &read(&texts(&["A: a 0.4999999999, b 0.4999999999, c 0"])).unwrap()[0];
        assert_eq!(short.at(0.99999999999), 1);
    }

    #[test]
    fn what_can_not_be_read_says_what_was_expected() {
        let say = |list: &[&str]| {
            let error = read(&texts(list)).unwrap_err().to_string();
            error.strip_prefix("`group-linear`: parameter ").expect("plugin and parameter are named").to_string()
        };
        assert_eq!(say(&[]), "`attributes` = [], expected at least one attribute");
        let form = "NAME: GROUP CHANCE, GROUP CHANCE, ...";
        assert_eq!(say(&["a 1"]), format!("`attributes[0]` = \"a 1\", expected {form}"));
        assert_eq!(say(&[": a 1"]), format!("`attributes[0]` = \": a 1\", expected {form}"));
        let shape = "a group of `S` and its chance, such as `circle 0.5`, not";
        assert_eq!(say(&["S:"]), format!("`attributes[0]` = \"S:\", expected {shape} ``"));
        assert_eq!(say(&["S: a 0.5, b"]), format!("`attributes[0]` = \"S: a 0.5, b\", expected {shape} `b`"));
        for bad in ["x", "-0.1", "1.5", "NaN", "inf"] {
            let expected = format!("expected a chance of the group `b` of `S` from 0 to 1, not `{bad}`");
            assert!(say(&[&format!("S: a 1, b {bad}")]).ends_with(&expected), "{bad}");
        }
        assert!(say(&["S: a 0.5, b 0.4"]).ends_with("expected chances of the groups of `S` that add up to 1, not 0.9"));
        assert!(say(&["S: a 0.5, a 0.5"]).ends_with("expected each group once: there is a `S=a` before"));
        assert!(say(&["S: a 1", "S: b 1"]).ends_with("expected each attribute once: there is a `S` before"));
        let again = say(&["S: a=b 1", "S=a: b 1"]);
        assert!(again.starts_with("`attributes[1]` = ") && again.ends_with("there is a `S=a=b` before"), "{again}");
    }
}
