use super::*;
use evenhand_core::GroupTable;
use std::path::PathBuf;

const PEOPLE: &str = "age,sex,bmi,g_north,g_south,cost\n\
    30,F,18.5,0,1,10\n\
    50,M,31,1,0,20\n\
    \n\
    70,F,24.5,1,1,50\n";

/// The table of that text in a file `t.csv`, or what is said about it behind the name of the folder.
fn load(text: &str, toml: &str) -> Result<GroupData, String> {
    let options: TableOptions = toml::from_str(toml).map_err(|e| e.message().to_string())?;
    in_file(text, |path| load_table(path, &options))
}

fn in_file<T>(text: &str, read: impl FnOnce(&Path) -> Result<T>) -> Result<T, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    read(&path).map_err(|e| {
        let text = e.to_string();
        text.rsplit_once("t.csv").map_or(text.clone(), |(_, end)| end.into())
    })
}

fn rows(table: &GroupTable) -> Vec<&[f64]> {
    (0..table.rows()).map(|row| table.row(row).0).collect()
}

#[test]
fn columns_take_their_roles() {
    let data = load(
        PEOPLE,
        "label = 'cost'\nfeatures = ['age', 'bmi']\ncategories = ['sex']\nscale = ['age']\nscale_label = true\n\
         groups = ['g_*', { column = 'sex', values = ['M', 'F'] }, \
         { column = 'age', bins = [30, 60], labels = ['young', 'middle', 'old'], feature = true }]",
    )
    .unwrap();
    assert_eq!((data.name.as_str(), data.label.as_str()), ("t", "cost"));
    assert_eq!(data.labels, [0.0, 0.25, 1.0]);
    let table = &data.table;
    let features = ["age", "bmi", "sex=F", "sex=M", "age=young", "age=middle", "age=old"];
    assert_eq!(table.feature_names(), features);
    // Ages are scaled as a feature, and cut into bins as they stand.
    assert_eq!(rows(table)[0], [0.0, 18.5, 1.0, 0.0, 1.0, 0.0, 0.0]);
    assert_eq!(rows(table)[1], [0.5, 31.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(rows(table)[2], [1.0, 24.5, 1.0, 0.0, 0.0, 0.0, 1.0]);
    assert_eq!(table.groups(), ["north", "south", "sex=M", "sex=F", "age=young", "age=middle", "age=old"]);
    let members: Vec<Vec<usize>> = (0..7).map(|group| table.members(group)).collect();
    assert_eq!(members, [vec![1, 2], vec![0, 2], vec![1], vec![0, 2], vec![0], vec![1], vec![2]]);
}

#[test]
fn features_are_what_has_no_other_role() {
    let names = |toml: &str| load(PEOPLE, toml).unwrap().table.feature_names().to_vec();
    assert_eq!(names("label = 'cost'\ncategories = ['sex']\ngroups = ['g_*']"), ["age", "bmi", "sex=F", "sex=M"]);
    let bins = "label = 'cost'\ngroups = ['g_*', { column = 'sex' }, { column = 'age', bins = [40] }]";
    assert_eq!(names(bins), ["bmi"]);
    // Where they are listed, columns of groups are features too; patterns take neither the label nor categories.
    assert_eq!(names("label = 'cost'\nfeatures = ['g_north', 'age']\ngroups = ['g_*']"), ["g_north", "age"]);
    let all = "label = 'cost'\nfeatures = ['bmi', '*', 'age']\ncategories = ['sex']\ngroups = ['g_*']";
    assert_eq!(names(all), ["bmi", "age", "g_north", "g_south", "sex=F", "sex=M"]);
    // A column without a name is the index that some programs write.
    let indexed = load(",a,y\n0,1,2\n1,3,4\n", "label = 'y'").unwrap();
    assert_eq!(indexed.table.feature_names(), ["a"]);
}

#[test]
fn groups_are_called_by_what_the_star_stands_for_where_that_is_one_group() {
    let text = "x,g_a,g_b,h_a,h_,y\n1,0,1,0,1,2\n2,1.0,0,1,0,3\n";
    let names = |groups: &str| {
        load(text, &format!("label = 'y'\nfeatures = ['x']\ngroups = {groups}")).unwrap().table.groups().to_vec()
    };
    assert_eq!(names("['g_*']"), ["a", "b"]);
    assert_eq!(names("['g_*', 'h_a']"), ["a", "b", "h_a"]);
    assert_eq!(names("['g_*', 'h_*a']"), ["a", "b", "h_a"], "the star stands for nothing");
    assert_eq!(names("['g_*', 'h_*']"), ["a", "b", "h_a", "h_"]);
    assert_eq!(names("['g_*', '*_a']"), ["a", "b", "h"], "a column is taken once");
    assert_eq!(names("['g_b', '*_*']"), ["g_b", "g_a", "h_a", "h_"]);
    let twice = "x,g_a,h_a,y\n1,0,1,2\n";
    let groups = load(twice, "label = 'y'\nfeatures = ['x']\ngroups = ['g_*', 'h_*']").unwrap();
    assert_eq!(groups.table.groups(), ["g_a", "h_a"]);
}

#[test]
fn no_group_is_called_like_all_rows() {
    let of = |toml: &str| load("x,all,g_all,g_b,y\n1,0,1,0,2\n", &format!("label = 'y'\nfeatures = ['x']\n{toml}"));
    assert_eq!(of("groups = ['g_*']").unwrap().table.groups(), ["g_all", "g_b"]);
    let said = of("groups = ['g_*', 'all']").unwrap_err();
    assert_eq!(said, ":1: groups: a column `all` can be no group, for all rows together are called so");
}

#[test]
fn what_has_no_name_has_no_role() {
    for (key, value) in [
        ("features", "['']"),
        ("categories", "['']"),
        ("groups", "['']"),
        ("scale", "['x', '']"),
        ("groups", "[{ column = '' }]"),
    ] {
        let said = load(",x,y\n1,2,3\n", &format!("label = 'y'\n{key} = {value}")).unwrap_err();
        let expected =
            format!("parameter `{key}` = ``, expected names of columns or patterns; one without a name has no role");
        assert_eq!(said, expected);
    }
}

#[test]
fn categories_of_whole_numbers_stand_by_number() {
    let text = "code,word,y\n10,b,1\n9,a,2\n10,B,3\n";
    let data = load(text, "label = 'y'\ncategories = ['code', 'word']\ngroups = [{ column = 'code' }]").unwrap();
    assert_eq!(data.table.feature_names(), ["code=9", "code=10", "word=B", "word=a", "word=b"]);
    assert_eq!(data.table.groups(), ["code=9", "code=10"]);
    assert_eq!(data.table.row(1), (&[1.0, 0.0, 0.0, 1.0, 0.0][..], &[true, false][..]));
}

#[test]
fn a_constant_is_scaled_to_zero_and_a_group_may_be_empty() {
    let toml = "label = 'y'\nscale = ['*']\nscale_label = true\ngroups = [{ column = 'z', bins = [0, 5] }]";
    let data = load("x,z,y\n7,6,3\n7,9,3\n", toml).unwrap();
    assert_eq!((data.labels.as_slice(), rows(&data.table)[0]), (&[0.0, 0.0][..], &[0.0][..]));
    assert_eq!(data.table.groups(), ["z<=0", "0<z<=5", "z>5"]);
    assert_eq!((data.table.members(1).len(), data.table.members(2).len()), (0, 2));
    let few = load("x,y\n1,2\n", "label = 'y'").unwrap();
    assert_eq!(few.table.groups().len(), 0);
}

#[test]
fn separators_quotes_and_marks_are_recognised() {
    let toml = "label = 'y'\ncategories = ['a, b']";
    let quoted = load("\u{feff}\"a, b\",y\r\n\"x, \"\"z\"\"\",\"1\"\r\n", toml).unwrap();
    assert_eq!(quoted.table.feature_names(), ["a, b=x, \"z\""]);
    // Names of several lines, and cells too, and a quote within a field.
    let broken = "\n\"a\r\n b\",x,\"g,\n\n1\",y\r\n\"x\ny\",1,0,2\r\n5\" wide,2,1,3\r\n";
    let lines = load(broken, "label = 'y'\ncategories = ['a b']\ngroups = ['g*1']").unwrap();
    assert_eq!(lines.table.feature_names(), ["x", "a b=5\" wide", "a b=x\ny"]);
    assert_eq!((lines.table.groups()[0].as_str(), lines.labels), (", ", vec![2.0, 3.0]));
    let said = load(&broken.replace(",1,3", ",x,3"), "label = 'y'\ncategories = ['a b']\ngroups = ['g*1']");
    assert_eq!(said, Err(":8: g, 1 `x`, expected 0 or 1".into()));
    let tabs = load("a\ty\n1.5\t2\n", "label = 'y'").unwrap();
    assert_eq!((rows(&tabs.table)[0], tabs.labels[0]), (&[1.5][..], 2.0));
    assert_eq!(load("a b;y\n1;2\n", "label = 'y'\nseparator = ';'").unwrap().table.feature_names(), ["a b"]);
    assert_eq!(load("a;y\n\n\"1\";2\n\n3;x\n", "label = 'y'"), Err(":5: y `x`, expected a finite number".into()));
}

#[test]
fn what_does_not_fit_is_told_with_line_and_column() {
    let there = "age, bmi, cost, g_north, g_south, sex";
    let but_label = "age, bmi, g_north, g_south, sex";
    for (toml, expected) in [
        ("", format!(":1: no `label` is given, expected a column of the file; there: {there}")),
        (
            "label = 'costs'",
            format!(
                ":1: label: no column `costs`, expected a column of the file (did you mean `cost`?); there: {there}"
            ),
        ),
        (
            "label = 'cost'\nfeatures = ['agee']",
            format!(
                ":1: features: no column `agee`, expected a column of the file (did you mean `age`?); there: {there}"
            ),
        ),
        (
            "label = 'cost'\ncategories = ['race']",
            format!(":1: categories: no column `race`, expected a column of the file; there: {there}"),
        ),
        (
            "label = 'cost'\ngroups = ['q_*']",
            format!(":1: groups: no column fits `q_*`, expected a pattern of columns; there: {but_label}"),
        ),
        ("label = 'cost'\nfeatures = ['cost']", ":1: features: `cost` is the label, expected another column".into()),
        ("label = 'cost'\ngroups = ['cost']", ":1: groups: `cost` is the label, expected another column".into()),
        (
            "label = 'cost'\nfeatures = ['age']\nscale = ['bmi']",
            ":1: scale: `bmi`, expected a numeric feature; there: age".into(),
        ),
        ("label = 'cost'\nfeatures = ['age']\ngroups = ['bmi']", ":2: bmi `18.5`, expected 0 or 1".into()),
        ("label = 'cost'\nfeatures = ['age']\ngroups = ['sex']", ":2: sex `F`, expected 0 or 1".into()),
        ("label = 'cost'", ":2: sex `F`, expected a finite number; a column of text belongs in `categories`".into()),
        (
            "label = 'cost'\nfeatures = ['age']\ngroups = [{ column = 'sex', values = ['f'] }]",
            ": groups: sex is never `f`, expected a value of the column (did you mean `F`?); there: F, M".into(),
        ),
        (
            "label = 'cost'\nfeatures = ['age']\ngroups = [{ column = 'sex' }, { column = 'sex' }]",
            ": two groups are called `sex=F`".into(),
        ),
        (
            "label = 'cost'\nfeatures = ['age']\ncategories = ['sex']\ngroups = [{ column = 'sex', feature = true }]",
            ": two features are called `sex=F`".into(),
        ),
    ] {
        assert_eq!(load(PEOPLE, toml), Err(expected), "{toml}");
    }
    let options = TableOptions {
        groups: vec![GroupRule::Bins {
            column: "age".into(),
            bins: vec![2.0, 1.0],
            labels: vec![],
            closed: Closed::Left,
            feature: false,
        }],
        ..TableOptions::default()
    };
    let said = in_file(PEOPLE, |path| load_table(path, &options)).unwrap_err();
    assert_eq!(said, "parameter `groups.age.bins` = [2.0, 1.0], expected finite numbers, ascending, at least one");
}

#[test]
fn bad_cells_and_lines_are_told() {
    for (text, expected) in [
        ("x,y\n1,2\n,2\n", ":3: x ``, expected a finite number"),
        ("x,y\n1,2\n\nNaN,2\n", ":4: x `NaN`, expected a finite number"),
        ("x,y\n1,inf\n", ":2: y `inf`, expected a finite number"),
        ("x,y\n1,\n", ":2: y ``, expected a finite number"),
        ("x,y\n1,2\n1,2,3\n", ":3: 3 fields, expected 2"),
        ("x,y\n", ": no lines but a header"),
        ("\n\n", ": no lines, expected one that names the columns"),
        ("x,x,y\n1,2,3\n", ":1: two columns `x`"),
        ("y\n1\n", ":1: the file has no column but the label"),
        (",y\n0,1\n", ":1: no column is left for a feature"),
        ("x,y\r1,2\r3,4\r", ": line ends are CR only, expected LF or CRLF"),
        ("x,y\n1,2\n3\n", ":3: 1 field, expected 2"),
        ("x,\"y\n1,2\n", ":1: a quote that is not closed"),
        ("x,y\n\"1\",2\n\n\"3\",\"4\n5,6\n", ":4: a quote that is not closed"),
        ("x,y\n\"1\n\",\"2\n", ":3: a quote that is not closed"),
    ] {
        assert_eq!(load(text, "label = 'y'"), Err(expected.into()), "{text}");
    }
    let categories = "label = 'y'\ncategories = ['x']";
    assert_eq!(load("x,y\na,1\n,1\n", categories), Err(":3: x ``, expected a value".into()));
    let many: String = (0..1001).map(|at| format!("v{at},1\n")).collect();
    let said = ":1002: x `v1000`, expected at most 1000 different values in a column of categories or groups";
    for toml in [categories, "label = 'y'\ngroups = [{ column = 'x' }]"] {
        assert_eq!(load(&format!("x,y\n{many}"), toml), Err(said.into()));
    }
    let missing = load_table(Path::new("/nowhere/t.csv"), &TableOptions::default()).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/t.csv: "), "{missing}");
}

#[test]
fn orders_are_found_by_their_seeds() {
    let of = |text: &str, rows, seeds: &[u64]| in_file(text, |path| load_orders(path, rows, seeds));
    let text = "seed_473,5,a_b_7\n2,0,1\n0,1,0\n1,2,2\n";
    assert_eq!(of(text, 3, &[5, 473, 7]), Ok(vec![vec![0, 1, 2], vec![2, 0, 1], vec![1, 0, 2]]));
    assert_eq!(of("seed_1\n1\n0\n", 2, &[1, 1]), Ok(vec![vec![1, 0]; 2]), "one column");
    let say = |text: &str, rows, seeds: &[u64]| of(text, rows, seeds).unwrap_err();
    let missing = ":1: no column of the seed 6, expected `seed_6`; seeds there: 5, 7, 473";
    assert_eq!(say(text, 3, &[5, 6]), missing);
    assert_eq!(say("a,b\n0,0\n", 1, &[1]), ":1: no column of the seed 1, expected `seed_1`; seeds there: none");
    assert_eq!(say("1,s_1\n0,0\n", 1, &[1]), ":1: two columns of the seed 1");
    let column = |cells: &str| say(&format!("seed_1,x\n{cells}"), 3, &[1]);
    assert_eq!(column("0,\n1,\n3,\n"), ":4: seed_1 `3`, expected a row from 0 to 2");
    assert_eq!(column("0,\n1.5,\n"), ":3: seed_1 `1.5`, expected a row from 0 to 2");
    assert_eq!(column("-1,\n"), ":2: seed_1 `-1`, expected a row from 0 to 2");
    assert_eq!(column("0,\n\n0,\n"), ":4: seed_1 `0`, expected each row once, and this one stood above");
    assert_eq!(column("0,\n2,\n"), ": 2 lines below the header, expected 3: one for each row");
    assert_eq!(column("0,\n1,\n2,\n1,\n"), ":5: seed_1 `1`, expected each row once, and this one stood above");
}

/// The tables that the files of `EVENHAND_DATA` hold, where that is set.
#[test]
fn tables_of_published_experiments() {
    let Some(folder) = std::env::var_os("EVENHAND_DATA").map(|data| PathBuf::from(data).join("groups")) else {
        return eprintln!("EVENHAND_DATA is not set: medical, stream and adult tables are not read");
    };
    let load = |name: &str, toml: &str| load_table(&folder.join(name), &toml::from_str(toml).unwrap()).unwrap();
    let shape = |data: &GroupData| (data.table.rows(), data.table.features(), data.table.groups().len());

    let medical = load("medical_prepared.csv", "label = 'y'\nfeatures = ['f_*']\ngroups = ['g_*']");
    assert_eq!((shape(&medical), medical.name.as_str()), ((1338, 18, 11), "medical_prepared"));
    let sizes = |data: &GroupData| -> Vec<usize> {
        (0..data.table.groups().len()).map(|group| data.table.members(group).len()).collect()
    };
    assert_eq!(sizes(&medical), [574, 408, 356, 20, 225, 386, 707, 274, 1064, 676, 662]);
    assert_eq!((medical.table.groups()[8].as_str(), medical.labels[0]), ("non-smoker", 0.2516107566077712));
    let seeds = [473, 503, 623, 550, 692, 989, 617, 458, 301, 205];
    let orders = load_orders(&folder.join("medical_permutations.csv"), 1338, &seeds).unwrap();
    assert_eq!((orders.len(), orders[0][0], orders[9][1]), (10, 526, 519));

    let stream = "label = 'y_mean'\nfeatures = ['x_*']\ngroups = ['g_*']";
    let stream = load("synthetic_stream_10k_d20_g8.csv", stream);
    assert_eq!(shape(&stream), (10_000, 20, 8));
    assert_eq!((stream.table.groups()[4].as_str(), stream.table.row(0).0[0]), ("two-or-more", 0.644144));

    let adult = "label = 'y'\n\
        features = ['hours-per-week', 'age', 'capital-gain', 'capital-loss', 'education-num']\n\
        categories = ['workclass', 'marital-status', 'relationship', 'native-country', 'occupation', 'race', 'sex']\n\
        scale = ['*']\n\
        groups = [{ column = 'age', bins = [35, 50], labels = ['young', 'middle', 'old'], feature = true }, \
        { column = 'education-num', bins = [9], labels = ['HighSchool&less', 'College&more'], feature = true }, \
        { column = 'sex' }, { column = 'race' }]";
    let adult = load("adult_binary_standin.csv", adult);
    assert_eq!(shape(&adult), (45_222, 92, 12));
    let names = adult.table.feature_names();
    assert_eq!(
        (names[5].as_str(), names[12].as_str(), names[91].as_str()),
        ("workclass=0", "marital-status=0", "education-num=College&more")
    );
    assert!(adult.table.matrix().iter().all(|value| (0.0..=1.0).contains(value)));
    let sizes = sizes(&adult);
    assert_eq!(sizes[..3].iter().sum::<usize>(), 45_222);
    // Row 0 is 37 years old: scaled as a feature, in the middle by years.
    assert_eq!((adult.table.row(0).0[1], adult.table.row(0).1[1]), ((37.0 - 17.0) / 73.0, true));
}
