//! The arguments of the command line.

use crate::experiment::parse_seeds;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use evenhand_kernels::Device;
use std::path::PathBuf;

/// Compare recommenders, fairly: the same data, the same split, metrics that no plugin computes itself.
#[derive(Debug, Parser)]
#[command(name = "evenhand", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 all is well; 1 some cells or checks failed, the rest is reported; 2 wrong usage or configuration;
3 data missing or malformed; 5 results could not be written half-way; 130 interrupted, finished cells are kept.

Tables and JSON go to stdout, progress and errors to stderr.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Compare(Compare),
    /// List the plugins that are linked in
    #[command(after_help = "Examples:\n  evenhand list\n  evenhand list recommenders --json")]
    List(List),
    /// Show what a plugin does and its parameters
    #[command(after_help = "Examples:\n  evenhand describe als\n  evenhand describe recommender/als --schema")]
    Describe(Describe),
    /// Check whether plugins keep the contract of their kind
    #[command(
        override_usage = "evenhand check <NAME | --all> [--device <DEVICE>] [--json]",
        after_help = "Examples:\n  evenhand check my-plugin\n  evenhand check --all\n  evenhand check als --device cuda"
    )]
    Check(Check),
    OffPolicy(OffPolicy),
    Calibrate(Calibrate),
    /// Look at data
    #[command(subcommand)]
    Data(Data),
    Doctor(Doctor),
}

/// Run an experiment and show how its recommenders, agents, policies against harm and group regressors compare.
///
/// Without EXPERIMENT, recommenders that come along are compared on simulated data, and policies by what their users
/// come to there, and agents in a simulated world; with --data, recommenders on yours. Every recommender is fitted on
/// the same training rows, once for each seed, and measured on the same test rows. Every agent meets the same users,
/// with the same noise, and every policy against harm the same users of the data. What fails becomes a failed row; the
/// others go on.
#[derive(Debug, Args)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(crate) struct Compare {
    /// The experiment, a TOML file; see the documentation of evenhand::experiment
    pub(crate) experiment: Option<PathBuf>,
    /// Ratings to use instead of the experiment's data: a file or folder in any known format
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Write results to this folder, and finish there what an earlier run has begun
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Run all cells, also those that are finished in the folder of --out
    #[arg(long, requires = "out")]
    pub(crate) fresh: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Seeds to use instead of the experiment's: 0,1,2 or 0..5 (5 left out)
    #[arg(long, value_name = "LIST", value_parser = Seeds::parse)]
    pub(crate) seeds: Option<Seeds>,
    /// Change one value of the experiment, e.g. eval.k=[10,20] or run.als.params.factors=32
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print the summary as JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const COMPARE_EXAMPLES: &str = "\
Examples:
  evenhand compare
  evenhand compare --data ml-1m
  evenhand compare mine.toml --out results/mine --seeds 0..5
  evenhand compare mine.toml --set 'eval.k=[10,20]' --set run.als.params.factors=32
  evenhand compare --json | jq '.offline.settings[].figures[] | select(.metric == \"ndcg\")'

To begin an experiment of your own, copy DIR/experiment.effective.toml of a run with --out DIR.

A path of --set leads from table to table with dots. A [[run]], an [[interactive.agent]], a [[harm.run]] and a
[[groupwise.run]] is found by its recommender or regressor, its label, its place from 0, or * for all of them. The value is
TOML; plain text needs no quotes.";

/// Which part of the machine is used.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Machine {
    /// Number of threads, 0 for one per processor; has no influence on results
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1024))]
    pub(crate) threads: u16,
    #[command(flatten)]
    pub(crate) backend: Backend,
}

/// What computes scores.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Backend {
    /// What computes scores, best items and ranks, which are the same on each, and trains factors on a fairness loss
    ///
    /// What is trained there differs in the last digits from one device to another: the CPU's is what a seed stands
    /// for.
    ///
    /// A GPU needs the driver of NVIDIA and nothing else: the kernels are part of the program. `evenhand doctor` tells
    /// whether there is one that will do, and if not, why. Where a GPU fails in the middle of a run, its cells are
    /// failed rows, and the same command with --device cpu finishes them.
    #[arg(long, value_name = "DEVICE", default_value = "auto", value_parser = devices())]
    pub(crate) device: Device,
}

/// The names of devices.
fn devices() -> impl TypedValueParser<Value = Device> {
    let names = [
        ("auto", "CUDA where there is a GPU that will do, else the CPU"),
        ("cpu", "The CPU; no driver is looked for"),
        ("cuda", "CUDA, or an error that says why there is none"),
    ];
    PossibleValuesParser::new(names.map(|(name, help)| PossibleValue::new(name).help(help)))
        .try_map(|name| name.parse::<Device>())
}

/// A list of seeds.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(pub(crate) Vec<u64>);

impl Seeds {
    fn parse(text: &str) -> Result<Self, String> {
        parse_seeds(text).map(Self)
    }
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this kind, e.g. recommender; the plural will do
    pub(crate) kind: Option<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Describe {
    /// Name of the plugin, or KIND/NAME where several kinds have one of that name
    pub(crate) name: String,
    /// Print the JSON Schema of its parameters
    #[arg(long)]
    pub(crate) schema: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Name of the plugin, or KIND/NAME
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<String>,
    /// Check everything that is linked in
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) backend: Backend,
    /// Print JSON instead of lines
    #[arg(long)]
    pub(crate) json: bool,
}

/// Estimate from a log of actions what other agents would have earned.
///
/// Each agent of the experiment is fitted to the first periods of each log, and its policy evaluated on the others: by
/// inverse propensity scoring (ips), self-normalised (snips), by the model's own predictions (direct), and doubly
/// robust.
#[derive(Debug, Args)]
#[command(after_help = OFF_POLICY_EXAMPLES)]
pub(crate) struct OffPolicy {
    /// The log: actions.csv of a comparison with interactive.log, or any table with the same columns
    pub(crate) log: PathBuf,
    /// The experiment whose agents are evaluated, a TOML file
    pub(crate) experiment: PathBuf,
    /// Share of the periods to learn from
    #[arg(long, value_name = "SHARE", default_value_t = 0.5, value_parser = share)]
    pub(crate) train: f64,
    /// Slates drawn for each logged one, for what a policy would earn by the model
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) draws: u32,
    /// Cut weights above this one off
    #[arg(long, value_name = "WEIGHT", value_parser = weight)]
    pub(crate) clip: Option<f64>,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Change one value of the experiment, e.g. interactive.agent.als.policy=greedy
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    share.ok_or_else(|| "expected a number above 0 and below 1".into())
}

fn weight(text: &str) -> Result<f64, String> {
    let weight = text.parse().ok().filter(|weight: &f64| weight.is_finite() && *weight > 0.0);
    weight.ok_or_else(|| "expected a number above 0".into())
}

const OFF_POLICY_EXAMPLES: &str = "\
Examples:
  evenhand compare mine.toml --out results --set interactive.log=true
  evenhand off-policy results/actions.csv others.toml
  evenhand off-policy results/actions.csv others.toml --train 0.7 --clip 100";

/// Show how much recommendations matter at several weights c of not taking one, and which weight to choose.
///
/// For each recommender of [[harm.run]], fitted with the first seed: the mean click and harm of the policies uniform
/// and alternating at every c of the grid, which is that of harm.c in the experiment or else a usual one. The rule
/// chooses the largest c at which the click of uniform is at least 0.5, or harm.c.click.
#[derive(Debug, Args)]
#[command(after_help = CALIBRATE_EXAMPLES)]
pub(crate) struct Calibrate {
    /// The experiment, a TOML file with [harm]
    pub(crate) experiment: PathBuf,
    /// Ratings to use instead of the experiment's data: a file or folder in any known format
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) machine: Machine,
    /// Seeds to use instead of the experiment's; only the first one counts
    #[arg(long, value_name = "LIST", value_parser = Seeds::parse)]
    pub(crate) seeds: Option<Seeds>,
    /// Change one value of the experiment, e.g. harm.users=10
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
    /// No progress on stderr
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

const CALIBRATE_EXAMPLES: &str = "\
Examples:
  evenhand calibrate mine.toml
  evenhand calibrate mine.toml --set 'harm.c={grid=[1,2,4,8],click=0.6}' --set harm.users=20

To have every comparison calibrate by itself, write that table as c in [harm].";

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Show what a data set holds: users, items, values, groups
    #[command(after_help = DATA_EXAMPLES)]
    Describe(DataDescribe),
}

#[derive(Debug, Args)]
pub(crate) struct DataDescribe {
    /// A file or folder in any known format
    pub(crate) path: PathBuf,
    /// Read it otherwise, as by the `[data]` table of an experiment; may be repeated
    #[arg(long, value_name = "data.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

const DATA_EXAMPLES: &str = "\
Examples:
  evenhand data describe ml-1m
  evenhand data describe ml-1m --set data.select.top_items=100
  evenhand data describe ratings.csv --json";

/// Show what this program can use of this machine: processor, memory, GPU, and the plugins that are linked in.
///
/// A GPU is an extra: without one this ends with 0 all the same, and says what is missing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  evenhand doctor\n  evenhand doctor --json | jq .cuda")]
pub(crate) struct Doctor {
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
