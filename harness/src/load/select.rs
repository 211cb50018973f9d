//! A part of a data set.

use super::detect::beside_data;
use super::guide;
use super::membership::members;
use evenhand_core::{Compressed, Dataset, Error, Groups, Ids, Interactions, Result, Rows};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};

/// Which part of a data set is kept, in this order.
///
/// ```toml
/// [select]
/// items = { groups = "genre", any = ["Sci-Fi"] }      # see `SelectItems`; by default all
/// top_items = 100             # of these, the items with the most rows
/// top_users = 1000            # the users with the most rows on these items
/// ```
///
/// Rows are the training rows, where the data is published already split. Among as many rows, the one whose id comes first
/// is kept. Those kept stand in the order of their ids. Once items are left out, so are users without a row on the others.
/// Groupings are made of the whole data and scales inferred from it; groups that lose all members are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Select {
    /// What items must meet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<SelectItems>,
    /// At most so many items, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_items: Option<usize>,
    /// At most so many users, at least 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_users: Option<usize>,
}

/// What items must meet: all that is given.
///
/// ```toml
/// items = { groups = "genre", any = ["Sci-Fi"], guide = "IMDB_parental_detail_guide.csv", links = "links.csv" }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectItems {
    /// A grouping of the items, from the files or declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<String>,
    /// Labels of its groups: members of any of them are kept. Labels are matched as a whole; the code of Chee et al. 2024 looks
    /// for the name of a genre anywhere in the text of all genres, which comes to the same for the genres of MovieLens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub any: Vec<String>,
    /// The parental guide of the Internet Movie Database, see [`HarmLabels::Guide`](super::HarmLabels::Guide): the films
    /// that it knows are kept. A relative path begins in the folder of the ratings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guide: Option<PathBuf>,
    /// The `imdbId` of each `movieId`, for the guide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub links: Option<PathBuf>,
}

/// Reads and [checks](Select::check) what is kept.
pub(super) fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Select, D::Error> {
    let select = Select::deserialize(from)?;
    select.check().map_err(D::Error::custom)?;
    Ok(select)
}

impl Select {
    /// Whether all of the data is kept.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// The files that the rule for items names, with their keys.
    pub(crate) fn files(&self) -> Vec<(&'static str, &Path)> {
        let items = self.items.iter();
        let files = items.flat_map(|items| [("items.guide", &items.guide), ("items.links", &items.links)]);
        files.filter_map(|(key, file)| Some((key, file.as_deref()?))).collect()
    }

    /// Refuses what would keep nothing of any data.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |field: &str, value: String, range: &str| {
            Err(Error::OutOfRange { plugin: None, field: format!("select.{field}"), value, range: range.into() })
        };
        for (field, value, least) in [("top_items", self.top_items, 1), ("top_users", self.top_users, 2)] {
            if let Some(value) = value.filter(|&value| value < least) {
                return refuse(field, value.to_string(), &format!("at least {least}"));
            }
        }
        let Some(SelectItems { groups, any, guide, links }) = &self.items else { return Ok(()) };
        match (groups, any.is_empty(), guide, links) {
            (Some(_), true, ..) => refuse("items.any", "[]".into(), "labels of some groups beside `groups`"),
            (None, false, ..) => refuse("items.groups", "none".into(), "the grouping that `any` speaks of"),
            (.., Some(_), None) => refuse("items.links", "none".into(), "a file beside `guide`"),
            (.., None, Some(_)) => refuse("items.guide", "none".into(), "a file beside `links`"),
            (None, _, None, _) => refuse("items", "{}".into(), "`groups` and `any`, or `guide` and `links`, or all"),
            _ => Ok(()),
        }
    }

    /// The part of `data`, and what it is, in words. Relative paths begin beside the ratings of `path`.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a grouping or a label that is not there; those of reading the guide; [`Error::Unusable`] where
    /// fewer than two users, no item or no row is left.
    pub(super) fn apply(&self, data: Dataset, path: &Path) -> Result<(Dataset, Vec<String>)> {
        if self.is_open() {
            return Ok((data, Vec::new()));
        }
        let (ratings, mut said) = (&data.ratings, Vec::new());
        let mut items: Vec<u32> = (0..ratings.items() as u32).collect();
        let mut keep = |items: &mut Vec<u32>, kept: &[bool], what: String| {
            let before = items.len();
            items.retain(|&item| kept[item as usize]);
            said.push(format!("items {what}: {} of {before}", items.len()));
        };
        let rule = self.items.as_ref();
        if let Some((groups, rule)) = rule.and_then(|rule| Some((rule.groups.as_ref()?, rule))) {
            let kept = members(&data, groups, &rule.any, "select.items")?;
            keep(&mut items, &kept, format!("by {groups} in {}", rule.any.join(" or ")));
        }
        if let Some((guide, links)) = rule.and_then(|rule| Some((rule.guide.as_ref()?, rule.links.as_ref()?))) {
            let codes = guide::highest(&beside_data(path, guide), &beside_data(path, links), &data.item_ids)?;
            let kept: Vec<bool> = codes.iter().map(Option::is_some).collect();
            keep(&mut items, &kept, format!("in {}", guide.display()));
        }
        if let Some(most) = self.top_items {
            let before = items.len();
            top(&mut items, most, |item| ratings.by_item().count(item));
            said.push(format!("items with the most rows: {} of {before}", items.len()));
        }
        let places = places(ratings.items(), &items);
        let counts: Vec<usize> = (0..ratings.users()).map(|user| rows_on(ratings.by_user(), user, &places)).collect();
        let mut users: Vec<u32> = (0..ratings.users() as u32).collect();
        if items.len() < ratings.items() {
            users.retain(|&user| counts[user as usize] > 0);
            said.push(format!("users with rows on these: {} of {}", users.len(), ratings.users()));
        }
        if let Some(most) = self.top_users {
            let before = users.len();
            top(&mut users, most, |user| counts[user]);
            said.push(format!("users with the most rows: {} of {before}", users.len()));
        }
        let all = ratings.len();
        let (part, lost) = part(data, &users, &items)?;
        said.push(format!("rows: {} of {all}", part.ratings.len()));
        if part.ratings.users() < 2 || part.ratings.is_empty() {
            let (users, items) = (part.ratings.users(), part.ratings.items());
            let what = format!("`select` keeps {users} users, {items} items and {} rows", part.ratings.len());
            let reason = format!("{what}, expected at least two users and a row ({})", said.join("; "));
            return Err(Error::Unusable(format!("{}: {reason}", path.display())));
        }
        if part.test.as_ref().is_some_and(Interactions::is_empty) {
            return Err(Error::Unusable(format!("{}: `select` keeps no test row", path.display())));
        }
        said.extend(lost.into_iter().map(|lost| format!("left without members: {lost}")));
        Ok((part, said))
    }
}

/// Keeps the `most` entities of highest count, the first ones among equals, in their order.
fn top(entities: &mut Vec<u32>, most: usize, count: impl Fn(usize) -> usize) {
    entities.sort_by_key(|&entity| (std::cmp::Reverse(count(entity as usize)), entity));
    entities.truncate(most);
    entities.sort_unstable();
}

/// The new index of each of so many entities; `None` of one that is not kept.
fn places(entities: usize, kept: &[u32]) -> Vec<Option<u32>> {
    let mut places = vec![None; entities];
    (0..).zip(kept).for_each(|(place, &entity)| places[entity as usize] = Some(place));
    places
}

fn rows_on(by_user: &Compressed, user: usize, items: &[Option<u32>]) -> usize {
    by_user.partners(user).iter().filter(|&&item| items[item as usize].is_some()).count()
}

/// The part of `data` about these users and items, and the groups that have lost all members.
fn part(data: Dataset, users: &[u32], items: &[u32]) -> Result<(Dataset, Vec<String>)> {
    let (of_users, of_items) = (places(data.ratings.users(), users), places(data.ratings.items(), items));
    let rows = |all: &Interactions| {
        let mut rows = Rows::default();
        for (at, (user, item, value)) in all.iter().enumerate() {
            let (Some(user), Some(item)) = (of_users[user as usize], of_items[item as usize]) else { continue };
            rows.push(user, item, value);
            rows.times.extend(all.times().map(|times| times[at]));
        }
        Interactions::new(users.len(), items.len(), &rows)
    };
    let names = |ids: &Ids, kept: &[u32]| Ids::new(kept.iter().map(|&at| ids.name(at).to_string()).collect());
    let title = |&item: &u32| data.item_titles.get(item as usize).cloned();
    let mut lost = Vec::new();
    let mut groupings = |all: &[Groups], side: &str, places: &[Option<u32>], kept: usize| {
        let projected = all.iter().map(|groups| project(groups, places, kept, side, &mut lost));
        projected.filter_map(Result::transpose).collect::<Result<Vec<_>>>()
    };
    let user_groups = groupings(&data.user_groups, "users", &of_users, users.len())?;
    let item_groups = groupings(&data.item_groups, "items", &of_items, items.len())?;
    // A protected grouping that is no more makes room for the first one.
    let again = |before: Option<&Groups>, groups: &[Groups]| {
        before.and_then(|before| groups.iter().position(|g| g.name() == before.name())).unwrap_or(0)
    };
    let protected = data.protected();
    let part = Dataset {
        ratings: rows(&data.ratings)?,
        test: data.test.as_ref().map(rows).transpose()?,
        user_ids: names(&data.user_ids, users)?,
        item_ids: names(&data.item_ids, items)?,
        item_titles: items.iter().filter_map(title).collect(),
        protected_users: again(protected.users, &user_groups),
        protected_items: again(protected.items, &item_groups),
        user_groups,
        item_groups,
        name: data.name.clone(),
        scale: data.scale,
    };
    Ok((part, lost))
}

/// The groups of those kept; `None` where no group has a member.
fn project(
    groups: &Groups,
    places: &[Option<u32>],
    kept: usize,
    side: &str,
    lost: &mut Vec<String>,
) -> Result<Option<Groups>> {
    let members = |g| groups.members(g).iter().filter_map(|&member| places[member as usize]).collect::<Vec<u32>>();
    let all = groups.labels().iter().enumerate().map(|(g, label)| (label.clone(), members(g)));
    let (there, gone): (Vec<_>, Vec<_>) = all.partition(|(_, members)| !members.is_empty());
    if !gone.is_empty() {
        let labels: Vec<String> = gone.into_iter().map(|(label, _)| label).collect();
        lost.push(format!("{side} by {}: {}", groups.name(), labels.join(", ")));
    }
    if there.is_empty() { Ok(None) } else { Groups::new(groups.name(), kept, there).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Options;
    use evenhand_core::Scale;

    /// Users a to e and items p to t. Items have 2, 3, 1, 3 and 1 training rows.
    fn data() -> Dataset {
        let interactions = |pairs: &[(u32, u32)]| {
            let mut rows = Rows::default();
            pairs.iter().for_each(|&(user, item)| rows.push(user, item, (user + item) as f32));
            rows.times = (0..pairs.len() as i64).map(|n| 10 * n).collect();
            Interactions::new(5, 5, &rows).unwrap()
        };
        let train = interactions(&[(0, 0), (0, 1), (1, 1), (1, 3), (2, 3), (2, 0), (3, 3), (3, 1), (4, 4), (4, 2)]);
        let mut data = Dataset::new("x", train, Scale { low: 0.0, high: 9.0, like_above: 4.0 });
        data.test = Some(interactions(&[(0, 3), (4, 1), (1, 4), (3, 1)]));
        let ids = |text: &str| Ids::new(text.chars().map(String::from).collect()).unwrap();
        (data.user_ids, data.item_ids) = (ids("abcde"), ids("pqrst"));
        data.item_titles = "PQRST".chars().map(String::from).collect();
        let groups = |name: &str, lists: &[(&str, &[u32])]| {
            let lists = lists.iter().map(|(label, members)| (label.to_string(), members.to_vec())).collect();
            Groups::new(name, 5, lists).unwrap()
        };
        data.user_groups = vec![groups("rare", &[("x", &[4])]), groups("side", &[("l", &[0, 4]), ("r", &[1, 2, 3])])];
        data.item_groups = vec![groups("genre", &[("A", &[0, 1]), ("B", &[1, 3]), ("C", &[2, 4])])];
        data.protected_users = 1;
        data
    }

    fn select(toml: &str) -> Result<Select, String> {
        let options: Result<Options, _> = toml::from_str(&format!("select = {toml}"));
        options.map(|options| options.select).map_err(|e| e.message().to_string())
    }

    fn apply(toml: &str) -> Result<(Dataset, Vec<String>), String> {
        let (data, said) = select(toml)?.apply(data(), Path::new("/d/x.csv")).map_err(|e| e.to_string())?;
        data.check().unwrap();
        Ok((data, said))
    }

    fn kept(toml: &str) -> (String, String) {
        let (data, _) = apply(toml).unwrap();
        (data.user_ids.names().concat(), data.item_ids.names().concat())
    }

    #[test]
    fn everything_follows_what_is_kept() {
        let (part, said) =
            apply("{ items = { groups = 'genre', any = ['A', 'B'] }, top_items = 2, top_users = 3 }").unwrap();
        // Of p, q and s the latter two; a, c and d have one or two rows on them, b two: b, d and the first of the others.
        assert_eq!((part.user_ids.names().concat(), part.item_ids.names().concat()), ("abd".into(), "qs".into()));
        let rows = |all: &Interactions| all.iter().collect::<Vec<_>>();
        assert_eq!(rows(&part.ratings), [(0, 0, 1.0), (1, 0, 2.0), (1, 1, 4.0), (2, 0, 4.0), (2, 1, 6.0)]);
        assert_eq!(part.ratings.times(), Some([10, 20, 30, 70, 60].as_slice()));
        assert_eq!(rows(part.test.as_ref().unwrap()), [(0, 1, 3.0), (2, 0, 4.0)]);
        assert_eq!((part.item_titles.concat(), part.scale, part.name.as_str()), ("QS".into(), data().scale, "x"));
        assert_eq!(part.protected().users.unwrap().name(), "side");
        assert_eq!(
            (part.user_groups[0].members(0), part.user_groups[0].members(1)),
            ([0].as_slice(), [1, 2].as_slice())
        );
        assert_eq!(
            (part.item_groups[0].labels().concat(), part.item_groups[0].of(0)),
            ("AB".into(), [0, 1].as_slice())
        );
        let expected = [
            "items by genre in A or B: 3 of 5",
            "items with the most rows: 2 of 3",
            "users with rows on these: 4 of 5",
            "users with the most rows: 3 of 4",
            "rows: 5 of 10",
            "left without members: users by rare: x",
            "left without members: items by genre: C",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn among_equals_the_first_is_kept() {
        assert_eq!(kept("{ top_items = 1 }"), ("abd".into(), "q".into()));
        assert_eq!(kept("{ top_items = 4 }"), ("abcde".into(), "pqrs".into()));
        assert_eq!(kept("{ top_users = 3 }"), ("abc".into(), "pqrst".into()));
        assert_eq!(kept("{ top_items = 9, top_users = 9 }"), ("abcde".into(), "pqrst".into()));
        assert_eq!(select("{}").unwrap().apply(data(), Path::new("x")).unwrap(), (data(), vec![]));
    }

    #[test]
    fn what_can_not_be_kept_is_named() {
        let say = |toml: &str| apply(toml).err().unwrap_or_else(|| panic!("{toml}"));
        let refused =
            |field: &str, value: &str, range: &str| format!("parameter `select.{field}` = {value}, expected {range}");
        assert_eq!(say("{ top_items = 0 }"), refused("top_items", "0", "at least 1"));
        assert_eq!(say("{ top_users = 1 }"), refused("top_users", "1", "at least 2"));
        let empty = "`groups` and `any`, or `guide` and `links`, or all";
        assert_eq!(say("{ items = {} }"), refused("items", "{}", empty));
        let labels = refused("items.any", "[]", "labels of some groups beside `groups`");
        assert_eq!(say("{ items = { groups = 'genre' } }"), labels);
        let grouping = refused("items.groups", "none", "the grouping that `any` speaks of");
        assert_eq!(say("{ items = { any = ['A'] } }"), grouping);
        assert_eq!(say("{ items = { guide = 'g' } }"), refused("items.links", "none", "a file beside `guide`"));
        assert_eq!(say("{ items = { links = 'g' } }"), refused("items.guide", "none", "a file beside `links`"));
        let genre = "a grouping of the items (did you mean `genre`?); there: genre";
        assert_eq!(say("{ items = { groups = 'genres', any = ['A'] } }"), refused("items.groups", "`genres`", genre));
        let label = "a group of items by genre (did you mean `A`?); there: A, B, C";
        assert_eq!(say("{ items = { groups = 'genre', any = ['a'] } }"), refused("items.any", "`a`", label));
        assert!(say("{ item = {} }").starts_with("unknown field `item`"));
        let one = "data: /d/x.csv: `select` keeps 1 users, 2 items and 2 rows, expected at least two users and a row (items by genre \
            in C: 2 of 5; users with rows on these: 1 of 5; rows: 2 of 10)";
        assert_eq!(say("{ items = { groups = 'genre', any = ['C'] } }"), one);
        assert_eq!(
            say("{ items = { groups = 'genre', any = ['A'] }, top_items = 1, top_users = 2 }"),
            "data: /d/x.csv: `select` keeps no test row"
        );
        assert!(say("{ items = { guide = 'no.csv', links = 'no.csv' } }").starts_with("/d/no.csv: "));
    }

    #[test]
    fn it_survives_a_round_trip() {
        let text =
            "{ items = { groups = 'genre', any = ['A'], guide = 'g', links = 'l' }, top_items = 3, top_users = 2 }";
        let options = Options { select: select(text).unwrap(), ..Options::default() };
        let again: Options = toml::from_str(&toml::to_string(&options).unwrap()).unwrap();
        assert_eq!(again, options);
        assert_eq!(options.select.files(), [("items.guide", Path::new("g")), ("items.links", Path::new("l"))]);
        assert!(!toml::to_string(&Options::default()).unwrap().contains("select"));
    }
}
