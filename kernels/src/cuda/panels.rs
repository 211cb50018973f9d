//! Factors as the kernels read them: panels of 64 entities, in each panel factor after factor.

use super::fault::Fault;
use crate::cpu::largest;
use crate::tile::{pack_items, pack_rows};
use cudarc::driver::{CudaSlice, CudaStream};
use nalgebra::DMatrix;
use pulp::bytemuck;
use rayon::prelude::*;
use std::sync::Arc;

/// Entities of a panel.
pub(in crate::cuda) const PANEL: usize = 64;

/// Tables of factors that stay on the device.
const RESIDENTS: usize = 4;

/// Numbers that one task looks through.
const TOGETHER: usize = 1 << 16;

/// Factors of some entities on the device.
#[derive(Debug)]
pub(in crate::cuda) struct Panels {
    pub(in crate::cuda) values: CudaSlice<f32>,
    pub(in crate::cuda) count: u32,
    pub(in crate::cuda) rank: u32,
    /// The bits of the largest magnitude among them; NaN counts as larger than infinity.
    pub(in crate::cuda) largest: u32,
}

impl Panels {
    /// The columns of `factors`, rank x entities.
    pub(in crate::cuda) fn of_all(factors: &DMatrix<f32>, stream: &Arc<CudaStream>) -> Result<Self, Fault> {
        Self::upload(&pack_items(factors, PANEL), factors.ncols(), factors.nrows(), stream)
    }

    /// The columns `rows` of `factors`.
    pub(in crate::cuda) fn of(factors: &DMatrix<f32>, rows: &[u32], stream: &Arc<CudaStream>) -> Result<Self, Fault> {
        Self::upload(&pack_rows(factors, rows, PANEL), rows.len(), factors.nrows(), stream)
    }

    fn upload(packed: &[f32], count: usize, rank: usize, stream: &Arc<CudaStream>) -> Result<Self, Fault> {
        let values = stream.clone_htod(packed)?;
        let largest = packed.par_chunks(TOGETHER).map(largest).max().unwrap_or(0);
        Ok(Self { values, count: count as u32, rank: rank as u32, largest })
    }

    /// Bytes of so many entities.
    pub(in crate::cuda) fn bytes(count: usize, rank: usize) -> usize {
        count.next_multiple_of(PANEL) * rank * size_of::<f32>()
    }
}

/// Tables of item factors that are on the device, the one used last at the end.
#[derive(Debug, Default)]
pub(in crate::cuda) struct Residents(Vec<Resident>);

#[derive(Debug)]
struct Resident {
    /// What was uploaded. To compare numbers costs a fraction of uploading them, and nothing else tells that they are
    /// the same.
    copy: DMatrix<f32>,
    panels: Panels,
}

impl Residents {
    /// The place of the panels of `items`: of those that are there where the numbers are the same, or else of new ones.
    /// Others leave, the one used longest ago first, until all take at most `memory` bytes or the new ones are alone.
    pub(in crate::cuda) fn place(
        &mut self,
        items: &DMatrix<f32>,
        memory: usize,
        stream: &Arc<CudaStream>,
    ) -> Result<usize, Fault> {
        let found = self.0.iter().position(|resident| same(&resident.copy, items));
        let resident = match found {
            Some(at) => self.0.remove(at),
            None => {
                let bytes = Panels::bytes(items.ncols(), items.nrows());
                while self.0.len() >= RESIDENTS || (!self.0.is_empty() && self.bytes() + bytes > memory) {
                    self.0.remove(0);
                }
                let panels = loop {
                    match Panels::of_all(items, stream) {
                        Err(fault) if fault.out_of_memory() && !self.0.is_empty() => drop(self.0.remove(0)),
                        Err(fault) if fault.out_of_memory() => return Err(Fault::NoRoom(bytes)),
                        other => break other?,
                    }
                };
                Resident { copy: items.clone(), panels }
            }
        };
        self.0.push(resident);
        Ok(self.0.len() - 1)
    }

    /// The panels in a place.
    pub(in crate::cuda) fn get(&self, place: usize) -> &Panels {
        &self.0[place].panels
    }

    /// Bytes of the device that are taken.
    pub(in crate::cuda) fn bytes(&self) -> usize {
        self.0.iter().map(|resident| resident.panels.values.num_bytes()).sum()
    }
}

/// Whether two tables have the same bits.
fn same(a: &DMatrix<f32>, b: &DMatrix<f32>) -> bool {
    let [left, right] = [a, b].map(|table| bytemuck::cast_slice::<f32, u32>(table.as_slice()));
    a.shape() == b.shape() && left.par_chunks(TOGETHER).zip(right.par_chunks(TOGETHER)).all(|(a, b)| a == b)
}
