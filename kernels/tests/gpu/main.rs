//! The cases on a real GPU, with machine code and with portable code; with one of them where `EVENHAND_KERNELS` says
//! `fatbin` or `ptx`. Skipped, with the reason, where there is none, unless `EVENHAND_REQUIRE_CUDA` is set.

#[path = "../cases/mod.rs"]
mod cases;

use evenhand_kernels::cuda::{Cuda, Form, Options};
use std::sync::Arc;

/// The GPU with kernels of that form, for everything however small.
fn open(form: Form) -> Option<Arc<Cuda>> {
    match Cuda::open(Options { form, least_work: 0, ..Options::default() }) {
        Ok(cuda) => Some(Arc::new(cuda)),
        Err(why) if std::env::var_os("EVENHAND_REQUIRE_CUDA").is_none() => {
            println!("skipped: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

fn forms() -> Vec<Form> {
    match std::env::var("EVENHAND_KERNELS").as_deref() {
        Err(_) => vec![Form::Fatbin, Form::Ptx],
        Ok("fatbin") => vec![Form::Fatbin],
        Ok("ptx") => vec![Form::Ptx],
        Ok(other) => panic!("EVENHAND_KERNELS={other}, expected fatbin or ptx"),
    }
}

macro_rules! tests {
    ($($module:ident),*) => {
        $(#[test]
        fn $module() {
            for form in forms() {
                let Some(cuda) = open(form) else { return };
                for (name, case) in cases::$module::CASES {
                    println!("{name}, {form:?}");
                    case(&cuda);
                }
            }
        })*
    };
}

tests!(agreement, cells, factorisation, pairs, random, ranks, scores, scores_tf32, timing, top_k);
