//! Passes over all cells for trainers: sums over classes of users and items, and gradients, without a stored cell.
//!
//! Everything is allocated once. Factors are uploaded before each pass of sums as they are, rows of the trainer's
//! width, and a kernel brings them into panels, which products are computed from, and rows in the order of the passes,
//! which gradients are: to transpose costs the device next to nothing, and the bus carries each number once.
//!
//! What a training row contributes is added to what flows back from its cell, whose product a pass has anyway. So
//! neither long lists of rows nor popular items hold a block up, and products of training rows are those of cells, bit
//! for bit.

mod cell;
mod plan;
mod side;

use super::downloads::pinned;
use super::fault::Fault;
use super::held::Lent;
use super::kernel::kernel;
use super::modules::Kernels;
use super::panels::PANEL;
use super::{Cuda, bring_context};
use cell::Cell;
use cudarc::driver::{CudaSlice, CudaStream, DeviceRepr, DriverError, PinnedHostSlice};
use evenhand_core::dense::{CellPasses, CellProblem};
use evenhand_core::{Error, Result};
use nalgebra::DMatrix;
use plan::{Plan, ROWS};
use rayon::prelude::*;
use side::{Runs, Side, TileRows};
use std::sync::Arc;

/// Threads of a block of [`PutBack`].
const THREADS: usize = 256;

/// Numbers that one task of the CPU copies or adds.
const TOGETHER: usize = 1 << 14;

kernel! {
    /// Brings rows of factors into panels and into rows in the order of the passes.
    Arrange = "arrange" in "arrange", 256 threads (
        from: In<f32>, order: In<u32>, panels: Out<f32>, rows: Out<f32>, count: Value<u32>, rank: Value<u32>,
        width: Value<u64>, stride: Value<u64>,
    )
}

kernel! {
    /// Adds up partial gradients and brings them into rows in the old order.
    PutBack = "put_back" in "arrange", 256 threads (
        from: In<f32>, order: In<u32>, to: Out<f32>, count: Value<u32>, rank: Value<u32>, parts: Value<u32>,
        slots: Value<u64>, width: Value<u64>, stride: Value<u64>,
    )
}

kernel! {
    /// Adds the terms of all cells to the sums of runs x columns.
    CellSums = "cell_sums" in "cell_sums", 256 threads (
        rows: In<f32>, columns: In<f32>, run_of: In<u32>, starts: In<u32>, sums: Out<f64>, row_count: Value<u32>,
        column_count: Value<u32>, rank: Value<u32>, tiles: Value<u32>, stride: Value<u64>, cell: Value<Cell>,
    )
}

kernel! {
    /// Adds up runs and columns of each pair of classes.
    CellTotals = "cell_totals" in "cell_sums", 256 threads (
        sums: In<f64>, class_runs: In<u32>, class_columns: In<u32>, out: Out<f64>, column_classes: Value<u32>,
        stride: Value<u64>, row_step: Value<u64>, column_step: Value<u64>,
    )
}

/// Declares the kernel of partial gradients for a number of factors.
macro_rules! cell_gradient {
    ($name:ident = $entry:literal) => {
        kernel! {
            /// Writes partial gradients of the owners' factors, as many of them as the name says.
            $name = $entry in "cell_gradient", 256 threads (
                owners: In<f32>, others: In<f32>, other_rows: In<f32>, owner_classes: In<u32>, other_classes: In<u32>,
                coefficients: In<f32>, begins: In<u32>, places: In<u32>, values: In<f32>, errors: Out<f32>,
                squares: Out<f64>, out: Out<f32>, owner_step: Value<u64>, other_step: Value<u64>,
                owner_count: Value<u32>, other_count: Value<u32>, rank: Value<u32>, tiles: Value<u32>,
                train: Value<u32>, slots: Value<u64>, stride: Value<u64>, twice_accuracy: Value<f32>,
                cell: Value<Cell>,
            )
        }
    };
}

cell_gradient!(CellGradient16 = "cell_gradient_16");
cell_gradient!(CellGradient32 = "cell_gradient_32");
cell_gradient!(CellGradient64 = "cell_gradient_64");
cell_gradient!(CellGradient128 = "cell_gradient_128");

/// A side on the device.
struct Loaded {
    order: CudaSlice<u32>,
    classes: CudaSlice<u32>,
    class_starts: CudaSlice<u32>,
    /// Rows as the trainer has them: factors on their way there, gradients on their way back.
    raw: CudaSlice<f32>,
    /// The same on the host, in memory that the bus reads and writes on its own.
    pinned: PinnedHostSlice<f32>,
    panels: CudaSlice<f32>,
    rows: CudaSlice<f32>,
    /// The training rows where this side has the owners.
    begins: CudaSlice<u32>,
    places: CudaSlice<u32>,
    values: CudaSlice<f32>,
}

/// The passes of one problem.
pub(super) struct Passes {
    /// What the device is called.
    device: String,
    stream: Arc<CudaStream>,
    kernels: Arc<Kernels>,
    plan: Plan,
    cell: Cell,
    rank: usize,
    width: usize,
    /// Training rows.
    train: usize,
    /// Numbers of classes.
    classes: [usize; 2],
    sides: [Loaded; 2],
    runs: [CudaSlice<u32>; 3],
    sums: CudaSlice<f64>,
    totals: CudaSlice<f64>,
    coefficients: CudaSlice<f32>,
    errors: CudaSlice<f32>,
    partial: CudaSlice<f32>,
    squares: CudaSlice<f64>,
    /// The memory of all of them.
    _lent: Lent,
}

impl Cuda {
    /// Passes for a problem that is not too small for the device, nor has more pairs of classes than it can count.
    pub(super) fn passes(&self, problem: &CellProblem<'_>) -> Result<Option<Passes>, Fault> {
        let CellProblem { rank, width, train, users, items, .. } = *problem;
        for (classes, expected) in [(users, train.users()), (items, train.items())] {
            if classes.of().len() != expected {
                return Err(Error::shape("entities with a class", expected, classes.of().len()).into());
            }
        }
        if width < rank {
            return Err(Error::shape("width of a row of factors", format!("at least {rank}"), width).into());
        }
        // A product for each of the five uses of a cell: once for sums, twice for each gradient.
        let work = 5.0 * train.users() as f64 * train.items() as f64 * rank as f64;
        let pairs = users.len() as f64 * items.len() as f64;
        if work == 0.0 || work < self.options.least_work as f64 || pairs > f64::from(i32::MAX) {
            return Ok(None);
        }
        self.with_room(|held| {
            let mut memory = held.room();
            loop {
                let plan = Plan::new(problem, memory)?;
                match Passes::new(self, problem, plan, held.lend(plan.bytes(problem))?) {
                    // Others use the device's memory too.
                    Err(fault) if fault.out_of_memory() => memory = plan.bytes(problem) - 1,
                    passes => return passes.map(Some),
                }
            }
        })
    }
}

impl Passes {
    fn new(cuda: &Cuda, problem: &CellProblem<'_>, plan: Plan, lent: Lent) -> Result<Self, Fault> {
        let CellProblem { rank, width, train, .. } = *problem;
        let stream = &cuda.stream;
        let sides = [problem.users, problem.items].map(Side::new);
        let rows = [train.by_user(), train.by_item()];
        let load = |s: usize| -> Result<Loaded, Fault> {
            let (side, panels) = (&sides[s], plan.counts[s].next_multiple_of(PANEL));
            let rows = TileRows::new(rows[s], side, &sides[1 - s], plan.owners);
            Ok(Loaded {
                order: upload(stream, &side.order)?,
                classes: upload(stream, &side.classes)?,
                class_starts: upload(stream, &side.class_starts)?,
                raw: stream.alloc_zeros(plan.counts[s] * width)?,
                pinned: pinned(stream, plan.counts[s] * width)?,
                panels: stream.alloc_zeros(panels * rank)?,
                rows: stream.alloc_zeros(panels * plan.stride)?,
                begins: upload(stream, &rows.begins)?,
                places: upload(stream, &rows.places)?,
                values: upload(stream, &rows.values)?,
            })
        };
        let runs = Runs::new(&sides[plan.rows], plan.chunk * ROWS);
        let classes = [problem.users.len(), problem.items.len()];
        let pairs = classes[0] * classes[1];
        Ok(Self {
            device: cuda.facts.name.clone(),
            stream: stream.clone(),
            kernels: cuda.kernels.clone(),
            plan,
            cell: Cell::new(problem.squash, problem.of),
            rank,
            width,
            train: train.len(),
            classes,
            sides: [load(0)?, load(1)?],
            sums: stream.alloc_zeros((runs.starts.len() - 1) * plan.columns())?,
            runs: [upload(stream, &runs.of)?, upload(stream, &runs.starts)?, upload(stream, &runs.of_classes)?],
            totals: stream.alloc_zeros(pairs)?,
            coefficients: stream.alloc_zeros(pairs)?,
            errors: stream.alloc_zeros((train.len() * plan.groups()).max(1))?,
            partial: stream.alloc_zeros(plan.partial())?,
            squares: stream.alloc_zeros(plan.squares())?,
            _lent: lent,
        })
    }

    fn check(&self, users: &[f32], items: &[f32]) -> Result<()> {
        for (what, rows, count) in
            [("factors of users", users, self.plan.counts[0]), ("factors of items", items, self.plan.counts[1])]
        {
            if rows.len() != count * self.width {
                return Err(Error::shape(what, count * self.width, rows.len()));
            }
        }
        Ok(())
    }

    fn load(&mut self, side: usize, factors: &[f32]) -> Result<(), DriverError> {
        let Self { stream, kernels, plan, rank, width, .. } = self;
        let count = plan.counts[side];
        let Loaded { order, raw, pinned, panels, rows, .. } = &mut self.sides[side];
        copy(factors, pinned.as_mut_slice()?);
        stream.memcpy_htod(pinned, raw)?;
        let grid = (count.div_ceil(PANEL) as u32, plan.stride.div_ceil(PANEL) as u32, 1);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: `raw` holds `count` rows of `width` numbers, panels and rows whole panels.
        unsafe {
            kernels.arrange.launch(
                stream,
                grid,
                0,
                &raw.as_view(),
                &order.as_view(),
                &mut panels.as_view_mut(),
                &mut rows.as_view_mut(),
                count as u32,
                *rank as u32,
                *width as u64,
                plan.stride as u64,
            )
        }
    }

    fn compute_sums(&mut self) -> Result<DMatrix<f64>, DriverError> {
        let Self { stream, kernels, plan, classes, sums, totals, .. } = self;
        let (rows, columns) = (&self.sides[plan.rows], &self.sides[1 - plan.rows]);
        let [run_of, starts, of_classes] = &self.runs;
        let stride = plan.columns();
        stream.memset_zeros(sums)?;
        let grid = ((stride / PANEL) as u32, plan.chunks() as u32, 1);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: panels are whole ones, every row has a run, and `sums` a row of `stride` for each run.
        unsafe {
            kernels.cell_sums.launch(
                stream,
                grid,
                0,
                &rows.panels.as_view(),
                &columns.panels.as_view(),
                &run_of.as_view(),
                &starts.as_view(),
                &mut sums.as_view_mut(),
                plan.counts[plan.rows] as u32,
                plan.counts[1 - plan.rows] as u32,
                self.rank as u32,
                plan.chunk as u32,
                stride as u64,
                self.cell,
            )?;
        }
        // A matrix is stored column by column.
        let steps = [1, classes[0] as u64];
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: `totals` has a place for each pair of classes, whose runs and columns lie within `sums`.
        unsafe {
            kernels.cell_totals.launch(
                stream,
                ((classes[0] * classes[1]) as u32, 1, 1),
                0,
                &sums.as_view(),
                &of_classes.as_view(),
                &columns.class_starts.as_view(),
                &mut totals.as_view_mut(),
                classes[1 - plan.rows] as u32,
                stride as u64,
                steps[plan.rows],
                steps[1 - plan.rows],
            )?;
        }
        let mut table = DMatrix::zeros(classes[0], classes[1]);
        stream.memcpy_dtoh(totals, table.as_mut_slice())?;
        stream.synchronize()?;
        Ok(table)
    }

    /// Leaves the gradient of a side in its `raw` rows.
    fn compute_gradient(&mut self, side: usize, accuracy: f64) -> Result<(), DriverError> {
        let Self { stream, kernels, plan, classes, errors, partial, squares, .. } = self;
        let (owners, others) = (&self.sides[side], &self.sides[1 - side]);
        let (count, parts, slots) = (plan.counts[side], plan.parts(side), plan.slots(side) as u64);
        let (stride, rank, steps) = (plan.stride as u64, self.rank as u32, [1, classes[0] as u64]);
        let grid = (count.div_ceil(plan.owners) as u32, parts as u32, plan.groups() as u32);
        macro_rules! launch {
            ($kernel:ident) => {{
                #[expect(unsafe_code, reason = "launches foreign code")]
                // SAFETY: panels and rows are whole ones, classes whole tiles; `partial` has a row of `stride` for
                // each slot of each part, `squares` a number for each block, `errors` one for each row and group.
                unsafe {
                    kernels.$kernel.launch(
                        stream,
                        grid,
                        0,
                        &owners.panels.as_view(),
                        &others.panels.as_view(),
                        &others.rows.as_view(),
                        &owners.classes.as_view(),
                        &others.classes.as_view(),
                        &self.coefficients.as_view(),
                        &owners.begins.as_view(),
                        &owners.places.as_view(),
                        &owners.values.as_view(),
                        &mut errors.as_view_mut(),
                        &mut squares.as_view_mut(),
                        &mut partial.as_view_mut(),
                        steps[side],
                        steps[1 - side],
                        count as u32,
                        plan.counts[1 - side] as u32,
                        rank,
                        plan.part[side] as u32,
                        self.train as u32,
                        slots,
                        stride,
                        (2.0 * accuracy) as f32,
                        self.cell,
                    )?;
                }
            }};
        }
        match plan.factors {
            16 => launch!(cell_gradient_16),
            32 => launch!(cell_gradient_32),
            64 => launch!(cell_gradient_64),
            _ => launch!(cell_gradient_128),
        }
        let Loaded { order, raw, .. } = &mut self.sides[side];
        let blocks = (count * self.width).div_ceil(THREADS);
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: `raw` holds `count` rows of `width` numbers, `partial` `parts` times `slots` rows of `stride`.
        unsafe {
            kernels.put_back.launch(
                stream,
                (blocks as u32, 1, 1),
                0,
                &partial.as_view(),
                &order.as_view(),
                &mut raw.as_view_mut(),
                count as u32,
                rank,
                parts as u32,
                slots,
                self.width as u64,
                stride,
            )
        }
    }

    fn compute_gradients(
        &mut self,
        coefficient: &DMatrix<f64>,
        accuracy: f64,
        to: [&mut [f32]; 2],
    ) -> Result<f64, DriverError> {
        let coefficient: Vec<f32> = coefficient.iter().map(|&c| c as f32).collect();
        self.stream.memcpy_htod(&coefficient, &mut self.coefficients)?;
        // Users last: their blocks' sums of squares are those that stay.
        self.compute_gradient(1, accuracy)?;
        self.compute_gradient(0, accuracy)?;
        for Loaded { raw, pinned, .. } in &mut self.sides {
            self.stream.memcpy_dtoh(raw, pinned)?;
        }
        let blocks = self.plan.parts(0) * self.plan.counts[0].div_ceil(self.plan.owners);
        let mut squares = vec![0.0; blocks];
        self.stream.memcpy_dtoh(&self.squares.slice(..blocks), &mut squares)?;
        self.stream.synchronize()?;
        for (side, to) in self.sides.iter().zip(to) {
            let chunks = side.pinned.as_slice()?.par_chunks(TOGETHER);
            to.par_chunks_mut(TOGETHER).zip(chunks).for_each(|(to, from)| {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
            });
        }
        Ok(squares.iter().sum())
    }
}

impl Drop for Passes {
    fn drop(&mut self) {
        bring_context(&self.stream);
    }
}

impl CellPasses for Passes {
    fn sums(&mut self, users: &[f32], items: &[f32]) -> Result<DMatrix<f64>> {
        self.check(users, items)?;
        // Pinned memory does not wait for copies by itself, and a call that failed may have left some under way.
        let idle = self.stream.synchronize();
        let loaded = idle.and_then(|()| self.load(0, users)).and_then(|()| self.load(1, items));
        loaded.and_then(|()| self.compute_sums()).map_err(|error| Fault::from(error).into_error(&self.device))
    }

    fn add_gradient(
        &mut self,
        coefficient: &DMatrix<f64>,
        accuracy: f64,
        users: &mut [f32],
        items: &mut [f32],
    ) -> Result<f64> {
        self.check(users, items)?;
        if coefficient.shape() != (self.classes[0], self.classes[1]) {
            let size = |(users, items): (usize, usize)| format!("{users} x {items}");
            return Err(Error::shape("coefficients", size(self.classes.into()), size(coefficient.shape())));
        }
        let squares = self.compute_gradients(coefficient, accuracy, [users, items]);
        squares.map_err(|error| Fault::from(error).into_error(&self.device))
    }
}

fn copy(from: &[f32], to: &mut [f32]) {
    to.par_chunks_mut(TOGETHER).zip(from.par_chunks(TOGETHER)).for_each(|(to, from)| to.copy_from_slice(from));
}

/// The numbers on the device; a place for one where there are none.
fn upload<T: DeviceRepr + Default + Clone>(
    stream: &Arc<CudaStream>,
    values: &[T],
) -> Result<CudaSlice<T>, DriverError> {
    if values.is_empty() { stream.clone_htod(&[T::default()]) } else { stream.clone_htod(values) }
}
