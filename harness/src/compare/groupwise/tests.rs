use super::*;
use crate::compare::{CellEnd, Host, compare};
use crate::experiment::{Experiment, Overrides};
use crate::report::Summary;
use evenhand_core::{Environment, GroupTable, Result, Simulator, plugin};
use nalgebra::DMatrix;
use std::path::Path;

plugin! {
    /// For tests: a fixed table. One group is empty, one has a single row.
    pub struct Fixed: Simulator = "test-groups" {
        /// Number of rows.
        rows: usize = 40, in 1..;
        /// Number of groups.
        groups: usize = 4, in 4..;
        /// What the feature is called; the groups are `g0`, `g1` and so on.
        feature: String = "x".into();
    }
}

impl Simulator for Fixed {
    fn open(&self, _: &Run) -> Result<Box<dyn Environment>> {
        Ok(Box::new(self.clone()))
    }
}

impl Environment for Fixed {
    /// The last group is empty, the one before has the first row; others have every second one, or all.
    fn table(&self) -> Result<GroupData> {
        let (rows, groups) = (self.rows, self.groups);
        let features = DMatrix::from_fn(1, rows, |_, row| (row % 7) as f64);
        let there = |group: usize, row: usize| match groups - 1 - group {
            0 => false,
            1 => row == 0,
            _ => group.is_multiple_of(2) || row.is_multiple_of(2),
        };
        let names = (0..groups).map(|group| format!("g{group}")).collect();
        let table =
            GroupTable::new(features, DMatrix::from_fn(groups, rows, there), vec![self.feature.clone()], names)?;
        GroupData::new("fixed", table, "y", (0..rows).map(|row| (row % 5) as f64).collect())
    }
}

fn parse(data: &str, lines: &str) -> Experiment {
    let text = format!("seeds = [0, 1]\n[groupwise.data]\n{data}\n{lines}");
    Experiment::parse("e", &text, Path::new(""), &Overrides::default()).unwrap()
}

fn host() -> Host {
    Host { threads: 1, ..Host::default() }
}

const RUN: &str = "[[groupwise.run]]\nregressor = 'test-level'\nlabel = 'level'\n";

#[test]
fn a_plugin_that_panics_is_a_failed_row_and_the_others_go_on() {
    let lines = format!("{RUN}params.panics = [true, false]\nlearning = ['online', 'batch']\n");
    let experiment = parse("simulator = 'test-groups'", &lines);
    let comparison = compare(&experiment, None, &host()).unwrap();
    let words = ["groups without a row, which have no figures: `g3`", "groups of one row, which have no R2: `g2`"];
    assert_eq!(comparison.warnings, words);
    let online = compare(&parse("simulator = 'test-groups'", RUN), None, &host()).unwrap();
    assert_eq!(online.warnings, words[..1], "nobody asks for an R2");
    let summary = Summary::new(&experiment, &comparison);
    let compared = comparison.groupwise.unwrap();
    let failed = |end: &CellEnd| matches!(end, CellEnd::Failed(reason) if reason.contains("never learns"));
    let ends: Vec<bool> = compared.cells.iter().map(|cell| failed(&cell.end)).collect();
    assert_eq!(ends, [vec![true; 4], vec![false; 4]].concat());
    let sizes: Vec<usize> = compared.data.groups.iter().map(|group| group.rows).collect();
    assert_eq!((compared.data.rows, compared.data.features, sizes), (40, 1, vec![40, 20, 1, 0]));
    let failure = &summary.failures[0];
    assert_eq!((failure.protocol, failure.recommender.as_str()), ("groupwise", "test-level"));
    assert_eq!((failure.label.as_str(), summary.failures.len()), ("level panics=true online", 4));
}

#[test]
fn runs_share_one_hindsight_whatever_the_order() {
    let lines = format!("{RUN}params.level = [1, 2]\n[groupwise]\nindicators.online = false\n");
    let cells = compare(&parse("simulator = 'test-groups'", &lines), None, &host()).unwrap().groupwise.unwrap().cells;
    let of = |cell: &Cell, metric: &str| {
        let figures = &cell.outcome().unwrap().figures;
        figures.iter().find(|f| f.metric == metric && f.group.as_deref() == Some("g1")).unwrap().value
    };
    assert_eq!(cells.len(), 4);
    assert!(cells.iter().all(|cell| of(cell, "hindsight") == of(&cells[0], "hindsight") && of(cell, "rank") == 1.0));
    assert!(of(&cells[0], "loss") != of(&cells[2], "loss"));
    let lines = format!("{RUN}[groupwise]\norders = 'as-is'\n");
    let cells = compare(&parse("simulator = 'test-groups'", &lines), None, &host()).unwrap().groupwise.unwrap().cells;
    // A feature and the four memberships, two of which tell apart rows of this group: always there, or the first row.
    assert_eq!(of(&cells[0], "rank"), 3.0);
}

#[test]
fn what_can_not_be_compared_is_refused() {
    let refused = |data: &str, lines: &str| match compare(&parse(data, lines), None, &host()) {
        Ok(_) => panic!("{data} {lines}"),
        Err(failure) => (failure.code(), failure.to_string()),
    };
    let batch = format!("{RUN}learning = 'batch'\n");
    let said = refused("simulator = 'user-item'", RUN);
    assert_eq!(said, (3, "`user-item` does not support emitting a table of groups".into()));
    let said = refused("simulator = { plugin = 'test-groups', rows = 1 }", &batch);
    assert_eq!(said, (3, "data: `fixed` has a single row, of which none can be held out".into()));
    let clash = "simulator = { plugin = 'test-groups', feature = 'g1' }";
    let text = "data: two features are called `g1`, so memberships can not be features too; set groupwise.indicators.online \
                = false";
    assert_eq!(refused(clash, RUN), (3, text.into()));
    assert!(compare(&parse(clash, &batch), None, &host()).is_ok(), "nobody asks for them");
    let (code, said) =
        refused("simulator = 'test-groups'", &format!("{RUN}[groupwise]\norders = 'no-such-file.csv'\n"));
    assert!(code == 3 && said.contains("no-such-file.csv"), "{said}");
    let spared = format!("{batch}[groupwise]\norders = 'no-such-file.csv'\n");
    assert!(compare(&parse("simulator = 'test-groups'", &spared), None, &host()).is_ok(), "nobody learns row by row");
}
