//! `doctor`: what the program can use of this machine, on one page.

use super::{print, print_json};
use crate::catalog::{self, Entry, KINDS};
use crate::cell;
use crate::cli;
use crate::failure::{End, Failure};
use crate::panics;
use crate::progress::printable_lines;
use crate::report::new_table;
use evenhand_kernels::Cpu;
use evenhand_kernels::cuda::{self, Facts, Unavailable};
use rayon::current_num_threads;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::{env, fs, thread};

/// Variables that change what is used of the machine.
const VARIABLES: [&str; 5] =
    ["RAYON_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_FORCE_PTX_JIT", "LD_LIBRARY_PATH"];

pub(super) fn run(args: &cli::Doctor) -> Result<End, Failure> {
    let page = Page::look();
    if args.json {
        print_json(&page.json())?
    } else {
        print(&page.text())?
    }
    Ok(End::Fine)
}

/// What was found.
struct Page {
    build: Option<&'static str>,
    /// Processors that this process may use, where the system tells.
    processors: Option<usize>,
    /// Threads of a command without `--threads`.
    threads: usize,
    memory: Memory,
    /// The GPU, or why there is none and what to do about it.
    cuda: Result<Facts, [String; 2]>,
    /// Number of linked plugins by kind, or why they can not be used.
    plugins: Result<Vec<(&'static str, usize)>, String>,
    /// The variables that are set.
    environment: BTreeMap<&'static str, String>,
}

/// Bytes of main memory, where the system tells.
#[derive(Debug, Default, PartialEq, Eq)]
struct Memory {
    total: Option<u64>,
    /// What can be used without swapping.
    free: Option<u64>,
}

impl Page {
    fn look() -> Self {
        let count = |entries: Vec<Entry>| {
            let of = |kind| entries.iter().filter(|e| e.kind == kind).count();
            KINDS.map(|kind| (kind, of(kind))).to_vec()
        };
        let set = |name| Some((name, env::var_os(name)?.to_string_lossy().into_owned()));
        let told = |why: Unavailable| [why.to_string(), remedy(&why).into()];
        // What a driver makes the kernels catch is not for stderr.
        let probed = panics::caught(cuda::probe).map(|found| found.map_err(told));
        Self {
            build: cell::build(),
            processors: thread::available_parallelism().ok().map(usize::from),
            threads: current_num_threads(),
            memory: fs::read_to_string("/proc/meminfo").map_or_else(|_| Memory::default(), |text| Memory::read(&text)),
            cuda: probed.unwrap_or_else(|panic| Err([panic, DRIVER_FAILS.into()])),
            plugins: catalog::all().map(count).map_err(|error| error.to_string()),
            environment: VARIABLES.into_iter().filter_map(set).collect(),
        }
    }

    fn json(&self) -> Json {
        json!({
            "evenhand": env!("CARGO_PKG_VERSION"),
            "build": self.build,
            "os": env::consts::OS,
            "architecture": env::consts::ARCH,
            "processors": self.processors,
            "threads": self.threads,
            "instructions": Cpu::instructions(),
            "memory": { "total": self.memory.total, "free": self.memory.free },
            "cuda": match &self.cuda {
                Ok(facts) => json!({
                    "available": true,
                    "name": facts.name,
                    "driver": version(facts.driver),
                    "capability": version(facts.capability),
                    "multiprocessors": facts.multiprocessors,
                    "memory": { "total": facts.memory, "free": facts.free },
                    "kernels": facts.kernels,
                }),
                Err([reason, remedy]) => json!({ "available": false, "reason": reason, "remedy": remedy }),
            },
            "plugins": match &self.plugins {
                Ok(counts) => counts.iter().map(|&(kind, count)| (kind.to_string(), Json::from(count))).collect(),
                Err(reason) => json!({ "error": reason }),
            },
            "environment": self.environment,
        })
    }

    fn text(&self) -> String {
        let or_unknown = |known: Option<String>| known.unwrap_or_else(|| "unknown".into());
        let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
        let room = |total: String, free: String| format!("{total}, of which {free} free");
        let [total, free] = [self.memory.total, self.memory.free].map(|bytes| or_unknown(bytes.map(gib)));
        let cuda = match &self.cuda {
            Ok(facts) => {
                let [driver, capability] = [facts.driver, facts.capability].map(version);
                let memory = room(gib(facts.memory as u64), gib(facts.free as u64));
                let units = facts.multiprocessors;
                format!(
                    "{}\n{memory}, {units} multiprocessors, compute capability {capability}\n\
                     driver for CUDA {driver}, kernels loaded as {}",
                    facts.name, facts.kernels,
                )
            }
            Err([reason, remedy]) => format!("off: {reason}\n{remedy}"),
        };
        let plugins = match &self.plugins {
            Ok(counts) => counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", "),
            Err(reason) => format!("can not be used: {reason}"),
        };
        let set: Vec<String> = self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let environment = if set.is_empty() { "nothing set that matters here".into() } else { set.join("\n") };
        let version = env!("CARGO_PKG_VERSION");
        let rows = [
            ("evenhand", format!("{version}, build {}", or_unknown(self.build.map(str::to_string)))),
            ("system", format!("{} on {}", env::consts::OS, env::consts::ARCH)),
            ("processors", or_unknown(self.processors.map(|count| count.to_string()))),
            ("threads", format!("{} without --threads", self.threads)),
            ("vector instructions", Cpu::instructions().into()),
            ("memory", room(total, free)),
            ("CUDA", cuda),
            ("plugins", plugins),
            ("environment", environment),
        ];
        let mut table = new_table();
        for (what, found) in rows {
            table.add_row([what, &printable_lines(&found)]);
        }
        format!("{table}\n")
    }
}

impl Memory {
    /// From the text of `/proc/meminfo`, whose unit is KiB.
    fn read(text: &str) -> Self {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        };
        Self { total: bytes("MemTotal"), free: bytes("MemAvailable") }
    }
}

const DRIVER_FAILS: &str = "see whether `nvidia-smi` works, and update the NVIDIA driver if not";

/// What to do about it.
fn remedy(why: &Unavailable) -> &'static str {
    match why {
        Unavailable::NoDriver => "with an NVIDIA GPU: install its driver; nothing else is needed",
        Unavailable::BrokenDriver { .. } => "install the NVIDIA driver again, or take a stub of it off LD_LIBRARY_PATH",
        Unavailable::NoDevice { .. } => "with an NVIDIA GPU: see whether CUDA_VISIBLE_DEVICES hides it",
        Unavailable::OldDevice { .. } => "this GPU can not be used; all is computed on the CPU",
        Unavailable::Kernels { .. } => "update the NVIDIA driver",
        Unavailable::WrongResults(_) => "do not trust this GPU; all is computed on the CPU",
        _ => DRIVER_FAILS,
    }
}

/// `9.0`.
fn version((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_where_it_is_told() {
        let text = "MemTotal:       24689764 kB\nMemFree:        20000000 kB\nMemAvailable:   23101488 kB\n";
        let read = Memory { total: Some(24_689_764 << 10), free: Some(23_101_488 << 10) };
        assert_eq!(Memory::read(text), read);
        assert_eq!(Memory::read("MemTotal: many kB\nMemAvailable: 7\n"), Memory::default());
    }
}
