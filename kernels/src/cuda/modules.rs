//! The compiled kernels, embedded, and how they get onto a device.

use super::cells::{
    Arrange, CellGradient16, CellGradient32, CellGradient64, CellGradient128, CellSums, CellTotals, PutBack,
};
use super::kernel::Signature;
use super::pairs::{PairGradients, PairMargins, PairMoved, PairUpdate};
use super::ranks::{Ranks, RanksWithout};
use super::scores::{Scores, ScoresTf32};
use super::top_k::{TopK32, TopK64, TopK128, TopK256, TopKRows};
use super::{Form, Unavailable};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;

/// What was compiled from one file.
struct Artefact {
    file: &'static str,
    /// Machine code for several devices.
    fatbin: &'static [u8],
    /// Portable code.
    ptx: &'static str,
}

macro_rules! artefacts {
    ($($file:literal),* $(,)?) => {
        [$(Artefact {
            file: $file,
            fatbin: include_bytes!(concat!("../../bin/", $file, ".fatbin")),
            ptx: include_str!(concat!("../../ptx/", $file, ".ptx")),
        }),*]
    };
}

static ARTEFACTS: [Artefact; 8] =
    artefacts!["arrange", "cell_gradient", "cell_sums", "pairs", "ranks", "scores", "scores_tf32", "top_k"];

/// The files on a device.
pub(in crate::cuda) struct Modules {
    loaded: Vec<(&'static str, Arc<CudaModule>)>,
    /// The form that all of them have.
    pub(in crate::cuda) form: Form,
}

impl Modules {
    /// All files in that form: of [`Form::Any`] as machine code, or where there is none for the device, as portable
    /// code.
    pub(in crate::cuda) fn load(context: &Arc<CudaContext>, form: Form) -> Result<Self, Unavailable> {
        match form {
            Form::Any => Self::load(context, Form::Fatbin).or_else(|_| Self::load(context, Form::Ptx)),
            Form::Fatbin | Form::Ptx => {
                let load = |artefact: &Artefact| -> Result<_, Unavailable> {
                    let code = match form {
                        Form::Fatbin => Ptx::from_binary(artefact.fatbin.to_vec()),
                        Form::Ptx | Form::Any => Ptx::from_src(artefact.ptx),
                    };
                    let module = context.load_module(code);
                    let module = module.map_err(|e| Unavailable::kernels(artefact.file, e))?;
                    Ok((artefact.file, module))
                };
                Ok(Self { loaded: ARTEFACTS.iter().map(load).collect::<Result<_, _>>()?, form })
            }
        }
    }

    /// One kernel.
    pub(in crate::cuda) fn function(&self, signature: &'static Signature) -> Result<CudaFunction, Unavailable> {
        let module = self.loaded.iter().find(|(file, _)| *file == signature.file);
        let (_, module) = module.expect("the file of every kernel is embedded");
        module.load_function(signature.entry).map_err(|e| Unavailable::kernels(signature.entry, e))
    }
}

macro_rules! kernels {
    ($($field:ident: $kernel:ident),* $(,)?) => {
        /// All kernels on a device.
        #[derive(Debug)]
        pub(in crate::cuda) struct Kernels {
            $(pub(in crate::cuda) $field: $kernel,)*
        }

        impl Kernels {
            pub(in crate::cuda) fn load(modules: &Modules) -> Result<Self, Unavailable> {
                Ok(Self { $($field: $kernel::load(modules)?,)* })
            }

            pub(in crate::cuda) fn signatures() -> Vec<&'static Signature> {
                vec![$(&$kernel::SIGNATURE),*]
            }
        }
    };
}

kernels! {
    arrange: Arrange,
    cell_gradient_16: CellGradient16,
    cell_gradient_32: CellGradient32,
    cell_gradient_64: CellGradient64,
    cell_gradient_128: CellGradient128,
    cell_sums: CellSums,
    cell_totals: CellTotals,
    put_back: PutBack,
    scores: Scores,
    top_k_32: TopK32,
    top_k_64: TopK64,
    top_k_128: TopK128,
    top_k_256: TopK256,
    top_k_rows: TopKRows,
    ranks: Ranks,
    ranks_without: RanksWithout,
    scores_tf32: ScoresTf32,
    pair_margins: PairMargins,
    pair_gradients: PairGradients,
    pair_moved: PairMoved,
    pair_update: PairUpdate,
}
