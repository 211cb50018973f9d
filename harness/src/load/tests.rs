//! Whole data sets, made in temporary folders.

use super::*;
use evenhand_core::Groups;
use std::fs;

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    dir
}

/// Loads one file `x.txt` of this text.
fn file(text: &[u8], options: &Options) -> Result<(Dataset, Notes)> {
    let dir = folder(&[("x.txt", text)]);
    load_with_notes(&dir.path().join("x.txt"), options)
}

fn options(toml: &str) -> Options {
    toml::from_str(toml).unwrap()
}

fn triples(data: &Interactions) -> Vec<(u32, u32, f32)> {
    data.iter().collect()
}

fn sizes(groups: &Groups) -> Vec<(&str, usize)> {
    groups.labels().iter().enumerate().map(|(g, l)| (l.as_str(), groups.members(g).len())).collect()
}

fn grouping<'a>(groups: &'a [Groups], name: &str) -> Vec<(&'a str, usize)> {
    sizes(groups.iter().find(|g| g.name() == name).unwrap())
}

const MOVIELENS_100K: [(&str, &[u8]); 3] = [
    ("u.data", b"10\t2\t3\t881250949\r\n9\t7\t5\t881250950\n9\t2\t1\t881250951"),
    ("u.user", b"9|24|M|writer|85711\n10|56|F||94043\n11|7|M|none|1\n"),
    (
        "u.item",
        b"2|Caf\xe9 (1995)|01-Jan-1995||http://x|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0|0\n\
          7|unknown||||1|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
    ),
];
const MOVIELENS_1M: [(&str, &[u8]); 3] = [
    ("ratings.dat", b"1::1193::5::0\n2::661::3::0\n2::1193::4::0\n"),
    ("users.dat", b"1::F::1::10::48067\n2::M::56::16::70072\n"),
    ("movies.dat", b"661::James (1996)::Animation|Children's\n1193::Cuckoo's Nest (1975)::Drama\n3::Other::Drama\n"),
];
const MOVIELENS_CSV: [(&str, &[u8]); 2] = [
    ("ratings.csv", b"\xef\xbb\xbfuserId,movieId,rating,timestamp\r\n1,296,5.0,1147880044\r\n2,306,3.5,1147868817\r\n"),
    (
        "movies.csv",
        b"movieId,title,genres\n296,\"American, \"\"The\"\" (1995)\",Comedy|Drama\n306,Red,(no genres listed)\n",
    ),
];
const RECBOLE: [(&str, &[u8]); 3] = [
    (
        "x.inter",
        b"user_id:token\titem_id:token\trating:float\ttimestamp:float\nb\t10\t4\t8.81250949E8\na\t9\t2\t881250950\n",
    ),
    ("x.user", b"user_id:token\tage:token\tgender:token\tincome:float\na\t24\tM\t1.5\nb\t60\tF\t2\n"),
    (
        "x.item",
        b"item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n9\tRed Sun\t1995\tDrama War\n",
    ),
];
const PAIR: [(&str, &[u8]); 2] =
    [("trainingset.tsv", b"0\t32\t4\t978824330\n1\t34\t4\t978824331\n"), ("testset.tsv", b"0\t25\t5\t978824351\n")];

#[test]
fn movielens_100k() {
    let dir = folder(&MOVIELENS_100K);
    let (data, notes) = load_with_notes(dir.path(), &Options::default()).unwrap();
    assert_eq!(triples(&data.ratings), [(0, 0, 1.0), (0, 1, 5.0), (1, 0, 3.0)]);
    assert_eq!(data.ratings.times(), Some([881_250_951, 881_250_950, 881_250_949].as_slice()));
    assert_eq!(
        (data.user_ids.names(), data.item_ids.names()),
        (&["9".into(), "10".into()][..], &["2".into(), "7".into()][..])
    );
    assert_eq!(data.item_titles, ["Caf\u{e9} (1995)", "unknown"]);
    assert_eq!(grouping(&data.user_groups, "age"), [("18-24", 1), ("56+", 1)]);
    assert_eq!(grouping(&data.user_groups, "gender"), [("F", 1), ("M", 1)]);
    assert_eq!(grouping(&data.user_groups, "occupation"), [("writer", 1)]);
    assert_eq!(grouping(&data.item_groups, "genre"), [("Action", 1), ("Sci-Fi", 1), ("unknown", 1)]);
    assert_eq!((data.scale, data.test), (Scale::FIVE_STARS, None));
    assert_eq!((notes.format, notes.rows, notes.unknown, notes.files.len()), (Format::Movielens100k, 3, 1, 3));
}

#[test]
fn movielens_1m() {
    let dir = folder(&MOVIELENS_1M);
    let (data, notes) = load_with_notes(dir.path(), &Options::default()).unwrap();
    assert_eq!(triples(&data.ratings), [(0, 1, 5.0), (1, 0, 3.0), (1, 1, 4.0)]);
    assert_eq!(data.ratings.times(), None, "all times are zero");
    assert_eq!(grouping(&data.user_groups, "age"), [("56+", 1), ("under 18", 1)]);
    assert_eq!(grouping(&data.user_groups, "occupation"), [("K-12 student", 1), ("self-employed", 1)]);
    assert_eq!(grouping(&data.item_groups, "genre"), [("Animation", 1), ("Children's", 1), ("Drama", 1)]);
    assert_eq!(data.item_titles[1], "Cuckoo's Nest (1975)");
    let few = "note: protected groups of fewer than 30";
    let text = format!(
        "movielens-1m: 3 rows, 1 lines about users or items without rows left out\n\
         {few} users by gender: `F` 1, `M` 1\n{few} items by genre: `Animation` 1, `Children's` 1, `Drama` 1"
    );
    assert_eq!(notes.to_string(), text);
}

#[test]
fn movielens_10m_has_half_stars_and_no_users() {
    let dir = folder(&[("ratings.dat", b"1::2::4.5::0\n2::2::0.5::0\n"), MOVIELENS_1M[2]]);
    let data = load(dir.path(), &Options::default()).unwrap();
    assert_eq!((triples(&data.ratings), data.scale.low), (vec![(0, 0, 4.5), (1, 0, 0.5)], 0.5));
}

#[test]
fn movielens_latest() {
    let dir = folder(&MOVIELENS_CSV);
    let data = load(dir.path(), &Options::default()).unwrap();
    assert_eq!(triples(&data.ratings), [(0, 0, 5.0), (1, 1, 3.5)]);
    assert_eq!(data.item_titles, ["American, \"The\" (1995)", "Red"]);
    assert_eq!(grouping(&data.item_groups, "genre"), [("Comedy", 1), ("Drama", 1)]);
    assert_eq!(data.scale, Scale { low: 0.5, ..Scale::FIVE_STARS });
}

#[test]
fn recbole() {
    let dir = folder(&RECBOLE);
    let data = load(dir.path(), &Options::default()).unwrap();
    assert_eq!((triples(&data.ratings), data.user_ids.name(0)), (vec![(0, 0, 2.0), (1, 1, 4.0)], "a"));
    assert_eq!(data.ratings.times(), Some([881_250_950, 881_250_949].as_slice()));
    assert_eq!(data.user_groups.iter().map(Groups::name).collect::<Vec<_>>(), ["age", "gender"]);
    assert_eq!(grouping(&data.user_groups, "age"), [("18-24", 1), ("56+", 1)]);
    assert_eq!(data.item_titles, ["Red Sun", ""]);
    assert_eq!(grouping(&data.item_groups, "class"), [("Drama", 1), ("War", 1)]);
    assert_eq!(grouping(&data.item_groups, "release_year"), [("1995", 1)]);
}

#[test]
fn a_training_and_a_test_file_share_their_indices() {
    let dir = folder(&PAIR);
    let data = load(dir.path(), &Options::default()).unwrap();
    assert_eq!(data.item_ids.names(), ["25", "32", "34"]);
    assert_eq!(
        (triples(&data.ratings), triples(&data.test.unwrap())),
        (vec![(0, 1, 4.0), (1, 2, 4.0)], vec![(0, 0, 5.0)])
    );
    let one = load(&dir.path().join("trainingset.tsv"), &options("test = 'testset.tsv'")).unwrap();
    assert_eq!((one.name.as_str(), one.test.unwrap().len()), ("trainingset", 1));
}

#[test]
fn delimited_files_of_all_kinds() {
    let same = [(0, 1, 5.0), (1, 0, 3.0)];
    for text in [
        "1\t20\t5\n2\t3\t3\n",
        "1::20::5\r\n2::3::3\r\n\r\n\n",
        "\u{feff}rating,user,item\n5,1,20\n3,2,3",
        "\n1 20 5\n2 3 3\n",
        "User-ID;ISBN;Stars\n\"1\";\"20\";\"5\"\n2;3;3\n",
        "2|3|3\n1|20|5\n",
    ] {
        assert_eq!(triples(&file(text.as_bytes(), &Options::default()).unwrap().0.ratings), same, "{text}");
    }
    let (data, notes) = file(b"ann milk\nbob bread\n", &Options::default()).unwrap();
    assert!(notes.to_string().ends_with(
        "\nnote: no header line; the columns are taken for user, item, in this order; name them with data.columns"
    ));
    assert_eq!((triples(&data.ratings), data.scale.likes(1.0)), (vec![(0, 1, 1.0), (1, 0, 1.0)], true));
    let given = options("separator = 'tab'\nheader = true\ncolumns = { user = 'b', item = 1 }");
    assert_eq!(triples(&file(b"a\tb\tc\n20\t1\t5\n3\t2\t3\n", &given).unwrap().0.ratings), [(0, 1, 1.0), (1, 0, 1.0)]);
}

#[test]
fn indices_do_not_depend_on_the_order_of_rows() {
    let one = file(b"10\tx\t1\n9\ty\t2\n100\tx\t3\n", &Options::default()).unwrap().0;
    let two = file(b"100\tx\t3\n10\tx\t1\n9\ty\t2\n", &Options::default()).unwrap().0;
    assert_eq!((one.user_ids.names().join(" "), &one), ("9 10 100".to_string(), &two));
}

#[test]
fn the_same_at_any_number_of_threads() {
    let mut text = String::new();
    for row in 0u32..150_000 {
        let mixed = row.wrapping_mul(2_654_435_761) >> 8;
        text.push_str(&format!("user-{}\t{}\t{}\t{row}\n", mixed % 1_009, mixed % 503, 1 + row % 5));
    }
    let dir = folder(&[("x.tsv", text.as_bytes())]);
    let at = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| load(&dir.path().join("x.tsv"), &Options::default()).unwrap())
    };
    let one = at(1);
    assert!(text.len() > 2 << 20 && one.ratings.users() == 1_009 && one == at(2) && one == at(7));
}

#[test]
fn huge_ids_and_sizes_are_only_ids() {
    let data = file(b"10000000000 10000000000 1\n4294967295 1000000000000000 1\n", &Options::default()).unwrap().0;
    assert_eq!((data.ratings.users(), data.ratings.items()), (2, 2));
    assert_eq!(data.item_ids.name(1), "1000000000000000");
    let error = file(b"%%MatrixMarket matrix coordinate real general\n10 10 1\n", &Options::default()).unwrap_err();
    assert!(error.to_string().contains("x.txt:1: a Matrix Market file"), "{error}");
}

#[test]
fn duplicates_follow_the_rule_and_are_counted() {
    let text = b"1\t1\t2\t20\n1\t1\t4\t10\n\n2\t1\t3\t5\n1\t1\t3\t15\n";
    let values = |rule: &str| {
        let (data, notes) = file(text, &options(&format!("duplicates = '{rule}'"))).unwrap();
        assert_eq!(notes.duplicates, 2);
        (data.ratings.by_user().values(0).to_vec(), data.scale.high)
    };
    assert_eq!(values("keep"), (vec![2.0, 4.0, 3.0], 5.0));
    assert_eq!(values("last"), (vec![2.0], 5.0), "the latest time, not the last line");
    assert_eq!(values("mean"), (vec![3.0], 5.0));
    assert_eq!(values("sum"), (vec![9.0], 9.0));
    let error = file(text, &options("duplicates = 'refuse'")).unwrap_err().to_string();
    assert!(error.contains("x.txt:2: user `1` and item `1` again, first on line 1; "), "{error}");
    let error = file(text, &options("duplicates = 'sum'\nscale = { low = 1, high = 5, like_above = 3 }")).unwrap_err();
    assert!(error.to_string().contains("add up to 9, expected 1 to 5"), "{error}");
}

#[test]
fn bad_input_is_named() {
    let say = |text: &[u8], toml: &str| {
        let error = file(text, &options(toml)).unwrap_err().to_string();
        error.split_once("x.txt").unwrap_or(("", &error)).1.to_string()
    };
    assert!(say(b"", "").starts_with(": no rows"));
    assert!(say(b"\n\r\n", "").starts_with(": no rows"));
    assert_eq!(say(b"1\t2\t3\n", ""), ": 1 user, expected at least two users");
    assert_eq!(
        say(b"1,1,3\n2,1,11\n", "scale = { low = 0, high = 10, like_above = 5 }"),
        ":2: rating `11`, expected a number from 0 to 10"
    );
    assert!(
        say(b"user,item\na,b\n", "columns = { user = 'usr' }")
            .contains(":1: no column `usr` for the user (did you mean `user`?)")
    );
    assert!(say(b"\x1f\x8b\x08", "").contains("gzip"));
    assert!(say(b"\xff\xfe1\0", "").contains("UTF-16"));
    assert!(say(b"1,2\n", "format = 'train-test'").contains("expected a folder"));
}

#[test]
fn bad_folders_are_named() {
    let say = |files: &[(&str, &[u8])], change: (&str, &[u8]), toml: &str| {
        let dir = folder(files);
        fs::write(dir.path().join(change.0), change.1).unwrap();
        let error = load(dir.path(), &options(toml)).unwrap_err().to_string();
        error.rsplit_once('/').unwrap().1.to_string()
    };
    let rating = say(&MOVIELENS_1M, ("ratings.dat", b"1::1::5::0\n2::1::5.5::0\n"), "");
    assert_eq!(rating, "ratings.dat:2: rating `5.5`, expected a number from 1 to 5");
    let fields = say(&MOVIELENS_100K, ("u.data", b"1\t2\t3\n"), "");
    assert_eq!(fields, "u.data:1: 3 fields, expected 4 (user, item, rating, time) separated by tabs");
    assert_eq!(say(&MOVIELENS_100K, ("u.user", b"9|24|M\n"), ""), "u.user:1: 3 fields, expected 5");
    assert_eq!(
        say(&MOVIELENS_100K, ("u.user", b"9|old|M|x|1\n"), ""),
        "u.user:1: age `old`, expected a number of years"
    );
    assert!(
        say(&MOVIELENS_100K, ("u.genre", b"unknown|0\nAction|7\n"), "").starts_with("u.genre:2: `Action|7`, expected")
    );
    let flag = say(&MOVIELENS_100K, ("u.genre", b"unknown|0\n"), "");
    assert_eq!(flag, "u.item:1: 24 fields, expected 6 (5 and a flag per genre)");
    let quoted = b"movieId,title,genres\r\n\r\n296,\"A, b\",Drama\r\n306,Red\r\n";
    assert_eq!(say(&MOVIELENS_CSV, ("movies.csv", quoted), ""), "movies.csv:4: 2 fields, expected 3");
    assert!(say(&RECBOLE, ("x.user", b""), "").starts_with("x.user: no lines"));
    let unnamed = say(&RECBOLE, ("x.user", b"who:token\tgender:token\na\tM\n"), "");
    assert_eq!(unnamed, "x.user:1: no column of the user among `who`, `gender`, expected `user_id`");
    let strange = say(&RECBOLE, ("x.item", b"movie_id:token\tclass:token\n77\tDrama\n"), "");
    assert_eq!(strange, "x.item: no line is about any item of the ratings, by `movie_id`");
    assert!(
        say(&MOVIELENS_1M, ("x", b""), "header = true").contains("movielens-1m: the columns of this format are fixed")
    );
    assert!(say(&PAIR, ("testset.tsv", b""), "").starts_with("testset.tsv: no rows"));
}

#[test]
fn latin1_ids_of_a_plain_file_are_refused() {
    let error = file(b"ann,milk\nJos\xe9,milk\n", &Options::default()).unwrap_err().to_string();
    assert!(error.contains("x.txt:2: user `Jos\u{fffd}`, expected an id in UTF-8"), "{error}");
}

/// Whatever the bytes, the answer is a data set or an error.
#[test]
fn mutated_files_never_panic() {
    let sets: [&[(&str, &[u8])]; 5] = [&MOVIELENS_100K, &MOVIELENS_1M, &MOVIELENS_CSV, &RECBOLE, &PAIR];
    let special = b"\0\n\r\t,;:|\"\\ -+.09eENaN\xff\xe9\x80_#%";
    let mut state = 42u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    let (mut good, mut bad) = (0, 0);
    for set in sets {
        for _ in 0..150 {
            let changed = below(set.len());
            let mut bytes = set[changed].1.to_vec();
            for _ in 0..=below(4) {
                let at = below(bytes.len());
                match below(5) {
                    0 if !bytes.is_empty() => bytes[at] = below(256) as u8,
                    1 if !bytes.is_empty() => bytes[at] = special[below(special.len())],
                    2 => bytes.insert(at, special[below(special.len())]),
                    3 => bytes.truncate(at),
                    _ => bytes.extend_from_within(at..),
                }
            }
            let mut files = set.to_vec();
            files[changed].1 = &bytes;
            let dir = folder(&files);
            let rules = ["last", "refuse", "keep", "sum", "mean"];
            match load(dir.path(), &options(&format!("duplicates = '{}'", rules[below(5)]))) {
                Ok(data) => {
                    good += 1;
                    assert!(data.check().is_ok() && !describe(&data).to_string().is_empty());
                }
                Err(error) => {
                    bad += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
        }
    }
    assert!(good > 100 && bad > 100, "{good} loaded, {bad} refused");
}

/// Users 1 to 4 of both genders, each with a rating of every film; genres are not in alphabetical order.
fn films(extra: &str) -> tempfile::TempDir {
    let mut ratings = String::new();
    (1..=4).for_each(|user| (1..=6).for_each(|item| ratings.push_str(&format!("{user}::{item}::4::0\n"))));
    let users = b"1::F::25::1::0\n2::M::25::1::0\n3::M::35::1::0\n4::F::35::2::0\n";
    let movies = format!(
        "1::A::War|Romance\n2::B::Romance|War\n3::C::Drama|Crime\n4::D::Action|Sci-Fi\n5::E::Children's\n6::F::Drama\n\
         7::unrated::Musical\n{extra}"
    );
    folder(&[("ratings.dat", ratings.as_bytes()), ("users.dat", users), ("movies.dat", movies.as_bytes())])
}

fn members(groups: &Groups) -> Vec<(&str, &[u32])> {
    (0..groups.len()).map(|g| (groups.labels()[g].as_str(), groups.members(g))).collect()
}

#[test]
fn movielens_items_are_grouped_by_the_genre_that_stands_first() {
    let (data, notes) = load_with_notes(films("").path(), &Options::default()).unwrap();
    let protected = data.protected();
    assert_eq!(protected.users.unwrap().name(), "gender");
    let items = protected.items.unwrap();
    assert_eq!((items.name(), members(items)), ("genre-stereotype", vec![("F", [1, 4].as_slice()), ("M", &[0])]));
    let how = "items by genre-stereotype: by first genre: F = Children's, Musical, Romance; M = Crime, Sci-Fi, War";
    assert_eq!(notes.made, [how]);
    let text = describe(&data).to_string();
    assert!(text.contains("  items by genre-stereotype (protected): F 2, M 1; in none 3\n"), "{text}");
    assert!(text.contains("  users by gender (protected): F 2, M 2\n"), "{text}");
    assert!(text.contains("  users by age: 25-34 2, 35-44 2\n"), "{text}");
    // From MovieLens 20M on it is spelled `Children`; the sample without any such film has no stereotype.
    let csv = |genre: &str| {
        let movies = format!("movieId,title,genres\n1,A,{genre}|War\n2,B,War\n");
        let dir = folder(&[("ratings.csv", b"1,1,4,0\n2,2,5,0\n1,2,3,0\n"), ("movies.csv", movies.as_bytes())]);
        load(dir.path(), &Options::default()).unwrap()
    };
    assert_eq!(members(csv("Children").protected().items.unwrap()), [("F", [0].as_slice()), ("M", &[1])]);
    assert_eq!(csv("Drama").protected().items.unwrap().name(), "genre");
}

#[test]
fn groupings_are_declared_by_rule_and_from_files() {
    let dir = films("");
    fs::write(dir.path().join("shelves.csv"), "id,shelf\n1,top\n2,top\n2,new\n2,new\n").unwrap();
    fs::write(dir.path().join("all.tsv"), "1\tall\n2\tall\n3\tall\n4\tall\n4\tlate\n").unwrap();
    let text = "protect = { users = 'all', items = 'shelf' }\n\
        [item_groups.genre-stereotype]\nrule = 'any'\ngroups = { M = ['War', 'Sci-Fi'], F = ['Romance'] }\n\
        [item_groups.shelf]\nfile = 'shelves.csv'\n[user_groups.all]\nfile = 'all.tsv'\n\
        [user_groups.age]\nfrom = 'age'\ngroups = { old = ['35-44'] }";
    let (data, notes) = load_with_notes(dir.path(), &options(text)).unwrap();
    let of_items = |name: &str| members(data.item_groups.iter().find(|g| g.name() == name).unwrap());
    assert_eq!(of_items("genre-stereotype"), [("F", [0, 1].as_slice()), ("M", &[0, 1, 3])]);
    assert_eq!(of_items("shelf"), [("new", [1].as_slice()), ("top", &[0, 1])]);
    assert_eq!(data.item_groups.iter().map(Groups::name).collect::<Vec<_>>(), ["genre", "genre-stereotype", "shelf"]);
    assert_eq!(data.user_groups.iter().map(Groups::name).collect::<Vec<_>>(), ["gender", "occupation", "age", "all"]);
    assert_eq!(grouping(&data.user_groups, "age"), [("old", 2)], "in the place of the column");
    assert_eq!((data.protected().users.unwrap().name(), data.protected().items.unwrap().name()), ("all", "shelf"));
    assert!(notes.remarks.contains(&"protected group `all`/`all` of users holds all of them".to_string()), "{notes}");
    // Two are declared and none is named: the first by name is protected, and this is said.
    let (data, notes) = load_with_notes(dir.path(), &options(&text.replace(", items = 'shelf'", ""))).unwrap();
    assert_eq!(data.protected().items.unwrap().name(), "genre-stereotype");
    let several = "several groupings of items are declared; `genre-stereotype` is protected, see data.protect.items";
    assert_eq!(notes.remarks[0], several);
    let say = |text: &str| load(dir.path(), &options(text)).unwrap_err().to_string();
    assert!(
        say("protect.users = 'gendr'").contains("= `gendr`, expected a grouping of the users (did you mean `gender`?)")
    );
    assert!(
        say("item_groups.x = { from = 'tags', groups = { a = ['b'] } }").contains("= `tags`, expected a column about")
    );
    let children = say("item_groups.x.groups.a = ['Children']");
    assert!(
        children.contains("= `Children`, expected a genre of some item (did you mean `Children's`?)"),
        "{children}"
    );
    let musical = say("item_groups.x.groups.a = ['Musical']");
    assert!(
        musical.ends_with("`Musical`, expected at least one item with ratings whose first genre it is"),
        "{musical}"
    );
}

#[test]
fn another_rule_or_protected_grouping_is_another_data_set() {
    let dir = films("");
    let digest = |text: &str| crate::cell::digest(&load(dir.path(), &options(text)).unwrap());
    let rule = |rule: &str| {
        let groups = "groups = { M = ['War', 'Crime'], F = ['Romance', \"Children's\"] }";
        format!("[item_groups.genre-stereotype]\nrule = '{rule}'\n{groups}")
    };
    let mut digests = [
        digest(""),
        digest(&rule("any")),
        digest("protect.users = 'age'"),
        digest("protect.items = 'genre'"),
        digest(&rule("first").replace("'Crime'", "'Drama'")),
    ];
    // The same groups are the same data, however they were made.
    assert_eq!(digests[0], digest(&rule("first")));
    digests.sort_unstable();
    assert!(digests.windows(2).all(|pair| pair[0] != pair[1]), "{digests:?}");
}

#[test]
fn a_zero_is_a_value() {
    let text = b"1,1,0\n1,2,5\n2,1,3\n2,2,1\n";
    let (data, notes) = file(text, &Options::default()).unwrap();
    assert_eq!(triples(&data.ratings), [(0, 0, 0.0), (0, 1, 5.0), (1, 0, 3.0), (1, 1, 1.0)]);
    assert_eq!(data.scale, Scale { low: 0.0, high: 5.0, like_above: 2.5 });
    let doubt = "1 ratings of 0 count as the lowest of 0 to 5; where 0 stands for no rating, leave such rows out, or \
        declare data.scale";
    assert_eq!(notes.remarks.last().unwrap(), doubt);
    let declared = |scale: &str| file(text, &options(&format!("scale = {{ {scale} }}")));
    let (_, notes) = declared("low = 0, high = 5, like_above = 3").unwrap();
    assert!(!notes.remarks.iter().any(|r| r.contains("of 0")), "{notes}");
    let error = declared("low = 1, high = 5, like_above = 3").unwrap_err().to_string();
    assert!(error.ends_with("x.txt:1: rating `0`, expected a number from 1 to 5"), "{error}");
    let (_, notes) = declared("low = 0, high = 5, like_above = 5").unwrap();
    assert_eq!(notes.remarks.last().unwrap(), "no value from 0 to 5 is above the threshold 5: nothing is a like");
    let dir = folder(&MOVIELENS_1M);
    fs::write(dir.path().join("ratings.dat"), "1::1::5::0\n2::1::0::0\n").unwrap();
    let error = load(dir.path(), &Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("ratings.dat:2: rating `0`, expected a number from 1 to 5"), "{error}");
}

#[test]
fn a_part_of_the_data_is_kept() {
    let dir = films("");
    fs::write(dir.path().join("shelves.csv"), "1,top\n2,top\n6,low\n").unwrap();
    fs::write(dir.path().join("guide.csv"), GUIDE).unwrap();
    fs::write(dir.path().join("links.csv"), "movieId,imdbId\n1,01\n3,03\n6,06\n").unwrap();
    let rule = |rule: &str| format!("select = {{ {rule} }}\nitem_groups.shelf.file = 'shelves.csv'");
    let text = rule("items = { groups = 'genre', any = ['War', 'Drama'] }, top_items = 3, top_users = 2");
    let (data, notes) = load_with_notes(dir.path(), &options(&text)).unwrap();
    assert_eq!((data.user_ids.names().concat(), data.item_ids.names().concat()), ("12".into(), "123".into()));
    assert_eq!((data.ratings.len(), data.item_titles.concat()), (6, "ABC".into()));
    assert_eq!(
        members(&data.item_groups[0]),
        [("Crime", [2].as_slice()), ("Drama", &[2]), ("Romance", &[0, 1]), ("War", &[0, 1])]
    );
    assert_eq!(data.protected().items.unwrap().name(), "shelf");
    let expected = "\nselected: items by genre in War or Drama: 4 of 6\nselected: items with the most rows: 3 of 4\n\
        selected: users with rows on these: 4 of 4\nselected: users with the most rows: 2 of 4\nselected: rows: 6 of 24\n\
        selected: left without members: users by age: 35-44\n";
    assert!(notes.to_string().contains(expected), "{notes}");
    // By a declared grouping and by the guide.
    let shelf = rule("items = { groups = 'shelf', any = ['top', 'low'], guide = 'guide.csv', links = 'links.csv' }");
    assert_eq!(load(dir.path(), &options(&shelf)).unwrap().item_ids.names().concat(), "16");
    let digest = |text: &str| crate::cell::digest(&load(dir.path(), &options(text)).unwrap());
    assert!(digest(&text) != digest(&shelf) && digest(&shelf) != digest(&rule("")));
    let gone = load(dir.path(), &options(&format!("{shelf}\nprotect.items = 'genres'"))).unwrap_err().to_string();
    assert!(gone.contains("= `genres`, expected a grouping of the items (did you mean `genre`?)"), "{gone}");
}

const GUIDE: &str = "tconst,sex_code,violence_code,profanity_code,drug_code,intense_code\n\
    tt0000001,1,1,1,1,1\ntt0000003,1,1,1,1,4\ntt0000006,,,,,\n";
