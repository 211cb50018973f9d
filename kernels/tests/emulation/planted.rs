//! That the cases notice mistakes in the kernels: each is planted in a copy of a kernel's file, and a case must fail.

use crate::child::run_test;
use crate::compile::{Change, Missing, library};
use crate::emulated::{Emulated, LIBRARY};
use crate::on_emulated_device::{CASE, cases_of};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
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
    /// Whether the case never ends then. That another one does not end in time is no sign: a machine may be busy.
    hangs: bool,
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
    hangs: false,
};
const SCORES_TILE: Bug = Bug { file: "tile.h", ..SCORES };
const TOP_K: Bug =
    Bug { kernel: "top_k.cu", file: "top_k.cu", table: "top_k", case: "the_best_with_ties_and_without", ..SCORES };
const RANKS: Bug =
    Bug { kernel: "ranks.cu", file: "ranks.cu", table: "ranks", case: "positions_with_ties_and_without", ..SCORES };
const RANKS_TILE: Bug = Bug { file: "tile.h", ..RANKS };
const PAIRS: Bug =
    Bug { kernel: "pairs.cu", file: "pairs.cu", table: "pairs", case: "steps_are_those_of_double_precision", ..SCORES };

const CELL_SUMS: Bug =
    Bug { kernel: "cell_sums.cu", file: "cell_sums.cu", table: "cells", case: "classes_from_one_to_each", ..SCORES };
const CELL_GRADIENT: Bug = Bug { kernel: "cell_gradient.cu", file: "cell_gradient.cu", ..CELL_SUMS };
const CELL: Bug = Bug { file: "cell.h", case: "every_form_of_a_cell", ..CELL_SUMS };
const ARRANGE: Bug = Bug { kernel: "arrange.cu", file: "arrange.cu", case: "classes_from_one_to_each", ..CELL_SUMS };
const SCORES_TF32: Bug = Bug {
    kernel: "scores_tf32.cu",
    file: "scores_tf32.cu",
    table: "scores_tf32",
    case: "small_whole_numbers_are_exact",
    ..SCORES
};

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
    // Sums over cells.
    Bug {
        name: "never on to the next tile",
        original: "tile < end_tile; tile++",
        replacement: "tile < end_tile;",
        hangs: true,
        ..CELL_SUMS
    },
    Bug {
        name: "no barrier before terms take the place of slabs",
        original: "// Slabs make room for terms.\n    __syncthreads();",
        ..CELL_SUMS
    },
    Bug {
        name: "no barrier before rows of several runs are added up",
        original: "of a column at a time.\n    __syncthreads();",
        ..CELL_SUMS
    },
    Bug {
        name: "no barrier before sums of a run are added up",
        original: "part[j] = 0.0f;\n  }\n  __syncthreads();",
        replacement: "part[j] = 0.0f;\n  }",
        ..CELL_SUMS
    },
    Bug {
        name: "what was held in double precision is dropped",
        original: "totals[j] + part[j]",
        replacement: "part[j]",
        case: "little_memory_is_enough_or_refused",
        ..CELL_SUMS
    },
    Bug { name: "a row too few of a run", original: "row < to;", replacement: "row + 1 < to;", ..CELL_SUMS },
    Bug {
        name: "terms read where they were not written",
        original: "place(row - first, at)",
        replacement: "at",
        ..CELL_SUMS
    },
    Bug {
        name: "the sum of a warp is dropped",
        original: "warp < 8",
        replacement: "warp < 7",
        case: "classes_of_more_columns_than_threads",
        ..CELL_SUMS
    },
    Bug {
        name: "classes of rows and columns swapped",
        original: "out[a * row_step + b * column_step] = sum;",
        replacement: "out[b * row_step + a * column_step] = sum;",
        ..CELL_SUMS
    },
    Bug {
        name: "a vote of half of the lanes",
        original: "__any_sync(ALL_LANES, near)",
        replacement: "__any_sync(ALL_LANES >> 16, near)",
        ..CELL
    },
    Bug {
        name: "nothing special at the threshold",
        original: "t[n] == 0.0f ? 0.5f : t[n]",
        replacement: "t[n]",
        ..CELL
    },
    Bug {
        name: "NaN becomes a bound",
        original: "min_or_nan(max_or_nan(z, cell.low), cell.high)",
        replacement: "fminf(fmaxf(z, cell.low), cell.high)",
        case: "what_is_not_finite_comes_through",
        ..CELL
    },
    // Gradients of cells.
    Bug {
        name: "a slope below the clamp",
        original: "cell.low <= z && z <= cell.high",
        replacement: "z <= cell.high",
        kernel: "cell_gradient.cu",
        ..CELL
    },
    Bug {
        name: "no barrier before rows of factors are loaded again",
        original: "of the tile before.\n      __syncthreads();",
        case: "little_memory_is_enough_or_refused",
        ..CELL_GRADIENT
    },
    Bug {
        name: "no barrier before products take the place of slabs",
        original: "// Slabs make room for products.\n        __syncthreads();",
        ..CELL_GRADIENT
    },
    Bug {
        name: "no barrier before products become what flows back",
        original: "end_of_tile, errors);\n        __syncthreads();",
        replacement: "end_of_tile, errors);",
        ..CELL_GRADIENT
    },
    Bug {
        name: "factors read before they are copied",
        original: "wait_copies<0>();",
        replacement: "wait_copies<1>();",
        file: "tile.h",
        ..CELL_GRADIENT
    },
    Bug {
        name: "the class of the owner beside",
        original: "classes.y * task.owner_step",
        replacement: "classes.x * task.owner_step",
        ..CELL_GRADIENT
    },
    Bug {
        name: "an error added to the owner of another place",
        original: "owner % PANEL / 4, other)",
        replacement: "owner % PANEL / 4, 0)",
        ..CELL_GRADIENT
    },
    Bug {
        name: "rows of one cell each added",
        original: "if (n > begin && task.places[n - 1] == place) continue;\n      at(",
        replacement: "at(",
        ..CELL_GRADIENT
    },
    Bug {
        name: "squared errors of half of the lanes",
        original: "WARP / 2; lanes",
        replacement: "WARP / 4; lanes",
        ..CELL_GRADIENT
    },
    Bug {
        name: "zero times infinity left out",
        original: "any |= !(",
        replacement: "any |= false && !(",
        case: "what_is_not_finite_comes_through",
        ..CELL_GRADIENT
    },
    // On the way to these and back.
    Bug { name: "no barrier before factors are turned", original: "__syncthreads();", ..ARRANGE },
    Bug { name: "an entity too many", original: "slot < count", replacement: "slot <= count", ..ARRANGE },
    Bug {
        name: "gradients in the order of the classes",
        original: "to[order[slot] * width",
        replacement: "to[slot * width",
        ..ARRANGE
    },
    Bug { name: "parts after the first one dropped", original: "part < parts", replacement: "part < 1", ..ARRANGE },
    // Tensor cores.
    Bug {
        name: "a small product left out",
        original: "mma_tf32(sum, user_high, low[p][side]);",
        case: "errors_are_within_the_bound",
        ..SCORES_TF32
    },
    Bug { name: "a user too many", original: "user >= user_count", replacement: "user > user_count", ..SCORES_TF32 },
    Bug {
        name: "items of both halves swapped",
        original: "sums[r][p][q % 2][2 * half + q / 2]",
        replacement: "sums[r][p][q / 2][2 * half + q % 2]",
        ..SCORES_TF32
    },
    Bug {
        name: "factors of another member",
        original: "[first + 4 * f + member()][16 * r",
        replacement: "[first + f + 2 * member()][16 * r",
        ..SCORES_TF32
    },
];

/// Long enough for a case on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
/// Many times as long as a case takes.
const LIMIT_OF_HANGS: Duration = Duration::from_secs(20);

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
        let limit = if self.hangs { LIMIT_OF_HANGS } else { LIMIT };
        let ended = run_test(&format!("on_emulated_device::{}", self.table), &environment, limit);
        if ended.hung {
            return self.hangs.then(|| "hangs".into());
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
                    let started = Instant::now();
                    let (noticed, seconds) = (bug.noticed(), started.elapsed().as_secs_f64());
                    let what = noticed.as_deref().unwrap_or("MISSED");
                    println!("{} ({}), {seconds:.1} s: {what}", bug.name, bug.kernel);
                    if noticed.is_none() {
                        missed.lock().expect("no panic").push(bug.name);
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().expect("no panic");
    assert!(missed.is_empty(), "{} of {} mistakes are missed: {missed:?}", missed.len(), BUGS.len());
}
