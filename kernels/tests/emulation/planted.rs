//! That the cases notice mistakes in the kernels: each is planted in a copy of a kernel's file, and a case must fail.

use crate::child::run_test;
use crate::compile::{Change, Missing, library};
use crate::emulated::{Emulated, LIBRARY};
use crate::on_emulated_device::{CASE, cases_of};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

/// A mistake.
struct Bug {
    name: &'static str,
    /// The kernel's file that gets it.
    kernel: &'static str,
    /// That file or one that it includes, and the text there that is replaced where it occurs for the n-th time, from
    /// 0 on.
    file: &'static str,
    original: &'static str,
    nth: usize,
    replacement: &'static str,
    /// The table and the case that must fail.
    table: &'static str,
    case: &'static str,
}

const SCORES: Bug = Bug {
    name: "",
    kernel: "scores.cu",
    file: "scores.cu",
    original: "",
    nth: 0,
    replacement: "",
    table: "scores",
    case: "scores_are_those_of_the_reference",
};
const SCORES_TILE: Bug = Bug { file: "tile.h", ..SCORES };
const TOP_K: Bug =
    Bug { kernel: "top_k.cu", file: "top_k.cu", table: "top_k", case: "the_best_with_ties_and_without", ..SCORES };
const RANKS: Bug =
    Bug { kernel: "ranks.cu", file: "ranks.cu", table: "ranks", case: "positions_with_ties_and_without", ..SCORES };
const RANKS_TILE: Bug = Bug { file: "tile.h", ..RANKS };
const PAIRS: Bug =
    Bug { kernel: "pairs.cu", file: "pairs.cu", table: "pairs", case: "steps_are_those_of_double_precision", ..SCORES };

const BUGS: &[Bug] = &[
    // Barriers.
    Bug { name: "no barrier after a slab is loaded", original: "__syncthreads();", nth: 1, ..SCORES_TILE },
    Bug { name: "no barrier before a slab is filled again", original: "__syncthreads();", ..RANKS_TILE },
    Bug {
        name: "no barrier before lists are merged",
        original: "mask = candidates.offer(sums, mask, first_item);\n    while (__syncthreads_or(mask != 0)) {",
        replacement: "mask = candidates.offer(sums, mask, first_item);\n\
            for (bool first = true; first || __syncthreads_or(mask != 0); first = false) {",
        ..TOP_K
    },
    Bug {
        name: "no barrier after lists are merged",
        original: "merge_above(Capacity / 4);\n      __syncthreads();",
        replacement: "merge_above(Capacity / 4);",
        ..TOP_K
    },
    Bug {
        name: "no barrier before floors are read",
        original: "= NOTHING;\n  __syncthreads();",
        replacement: "= NOTHING;",
        ..TOP_K
    },
    Bug {
        name: "no barrier before lists of splits are merged",
        original: "half /= 2) {\n    __syncthreads();",
        replacement: "half /= 2) {",
        case: "few_users_and_many_users",
        ..TOP_K
    },
    Bug { name: "no barrier before counts are read", original: "__syncthreads();", nth: 1, ..RANKS },
    Bug {
        name: "two warps count in one place",
        original: "atomicAdd(&higher[row][place], counts & 0xffffu);",
        replacement: "higher[row][place] += counts & 0xffffu;",
        ..RANKS
    },
    Bug {
        name: "barrier in a branch that some threads take",
        original: "wait_copies<0>();",
        replacement: "wait_copies<0>(); if (threadIdx.x < 7) __syncthreads();",
        ..SCORES_TILE
    },
    // Warps.
    Bug {
        name: "no warp barrier between stages of a sort",
        original: "    }\n  }\n  __syncwarp();",
        replacement: "    }\n  }",
        ..TOP_K
    },
    Bug { name: "no warp barrier before keys are sorted", original: "__syncwarp();", nth: 1, ..TOP_K },
    Bug {
        name: "a shuffle among half of the lanes",
        original: "__shfl_xor_sync(ALL_LANES,",
        replacement: "__shfl_xor_sync(ALL_LANES >> 16,",
        ..RANKS
    },
    Bug { name: "sums of too few lanes", original: "distance < end", replacement: "2 * distance < end", ..PAIRS },
    // Copies.
    Bug { name: "no wait for copies", original: "wait_copies<0>();", replacement: "wait_copies<1>();", ..SCORES_TILE },
    Bug {
        name: "the slab that is computed with is filled",
        original: "shared.slabs[(s + 1) % 2]",
        replacement: "shared.slabs[s % 2]",
        ..SCORES_TILE
    },
    // Edges.
    Bug { name: "a factor too many", original: "factor < rank", replacement: "factor <= rank", ..SCORES_TILE },
    Bug { name: "a panel too many", original: "p < panels", replacement: "p <= panels", ..SCORES_TILE },
    Bug { name: "a user too many", original: "user >= user_count", replacement: "user > user_count", ..SCORES },
    Bug { name: "an item too many", original: "item >= item_count", replacement: "item > item_count", ..SCORES },
    Bug {
        name: "an item too many in lists",
        original: ">= item_count - first_item) mask",
        replacement: "> item_count - first_item) mask",
        case: "lists_of_every_length",
        ..TOP_K
    },
    // What is computed.
    Bug {
        name: "not fused",
        original: "fmaf(u[i], v[j], sums[i][j])",
        replacement: "u[i] * v[j] + sums[i][j]",
        ..SCORES_TILE
    },
    Bug { name: "the higher item first", original: "<< 32 | ~item", replacement: "<< 32 | item", ..TOP_K },
    Bug {
        name: "no second try where a list is full",
        original: "left |= 1u << at;",
        replacement: "left |= 0u << at;",
        ..TOP_K
    },
    Bug {
        name: "a level too high",
        original: "list[k - 1], LOWEST",
        replacement: "list[k > 1 ? k - 2 : 0], LOWEST",
        ..TOP_K
    },
    Bug {
        name: "equal scores counted as higher",
        original: "sums[i][j] > target",
        replacement: "sums[i][j] >= target",
        ..RANKS
    },
    Bug {
        name: "the gradient of the liked item for the other one",
        original: "place % 2 == 0",
        replacement: "true",
        ..PAIRS
    },
];

/// Long enough for a case on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

impl Bug {
    /// The file with the mistake in it.
    fn plant(&self) -> Change {
        let path = format!("{}/cu/{}", env!("CARGO_MANIFEST_DIR"), self.file);
        let text = fs::read_to_string(path).expect("a kernel's file");
        let places: Vec<_> = text.match_indices(self.original).collect();
        let (at, _) = places.get(self.nth).unwrap_or_else(|| {
            panic!("{}: `{}` occurs {} times in {}", self.name, self.original, places.len(), self.file)
        });
        let text = format!("{}{}{}", &text[..*at], self.replacement, &text[at + self.original.len()..]);
        Change { file: self.file, kernel: self.kernel, text }
    }

    /// How its case fails, if it does.
    fn noticed(&self) -> Option<String> {
        let known = cases_of(self.table).iter().any(|(case, _)| *case == self.case);
        assert!(known, "{}: no case {}", self.name, self.case);
        let library = library(Some(&self.plant())).unwrap_or_else(|missing| match missing {
            Missing::Skipped(reason) => panic!("{reason}"),
            Missing::Broken(reason) => panic!("{}: {reason}", self.name),
        });
        let environment = [(LIBRARY, library.to_str().expect("a path of text")), (CASE, self.case)];
        let ended = run_test(&format!("on_emulated_device::{}", self.table), &environment, LIMIT);
        if ended.hung {
            return Some("hangs".into());
        }
        let telling =
            |line: &&str| line.starts_with("emulator: ") || line.contains("expected") || line.starts_with("assertion");
        (!ended.succeeded).then(|| ended.said.lines().find(telling).unwrap_or("fails").to_owned())
    }
}

#[test]
fn mistakes_are_noticed() {
    // What is loaded here decides nothing, but whether anything can be.
    let Some(emulated) = Emulated::take() else { return };
    drop(emulated);
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from).min(BUGS.len()) {
            scope.spawn(|| {
                while let Some(bug) = BUGS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let noticed = bug.noticed();
                    println!("{} ({}): {}", bug.name, bug.kernel, noticed.as_deref().unwrap_or("MISSED"));
                    if noticed.is_none() {
                        missed.lock().expect("no panic").push(bug.name);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no panic");
    assert!(missed.len() * 10 <= BUGS.len(), "{} of {} mistakes are missed: {missed:?}", missed.len(), BUGS.len());
}
