//! The launches that a step consists of.

use super::{Batch, Descent, MOST_FACTORS, Pairs, Rule, Tables};
use crate::cuda::Cuda;
use crate::cuda::fault::Fault;
use crate::cuda::kernel::kernel;
use cudarc::driver::CudaSlice;
use evenhand_core::{Error, Result};
use nalgebra::DMatrix;

kernel! {
    /// Margins, losses and derivatives of pairs.
    PairMargins = "pair_margins" in "pairs", 256 threads (
        numbers: In<f32>, by_slot: Value<u32>, biases: In<f32>, biased: Value<u32>, user_count: Value<u32>,
        lists: In<u32>, users: Value<u32>, items: Value<u32>, pairs: Value<u32>, width: Value<u32>, lanes: Value<u32>,
        cut: Value<u32>, margins: Out<f32>, losses: Out<f32>, slopes: Out<f32>,
    )
}

kernel! {
    /// Gradients of rows, and an adversary's steps along them.
    PairGradients = "pair_gradients" in "pairs", 256 threads (
        numbers: In<f32>, by_slot: Value<u32>, lists: In<u32>, users: Value<u32>, items: Value<u32>, pairs: Value<u32>,
        width: Value<u32>, lanes: Value<u32>, slopes: In<f32>, added: Value<u32>, weight: Value<f32>,
        gradient: Out<f32>, bias_gradient: Out<f32>, biased: Value<u32>, attack: Value<u32>, eps: Value<f32>,
        pull: Value<f32>, steps: Out<f32>,
    )
}

kernel! {
    /// Rows of a batch, moved by the steps of all rows.
    PairMoved = "pair_moved" in "pairs", 256 threads (
        numbers: In<f32>, steps: In<f32>, rows: In<u32>, slots: Value<u32>, width: Value<u32>, moved: Out<f32>,
    )
}

kernel! {
    /// Steps of rows against their gradients.
    PairUpdate = "pair_update" in "pairs", 256 threads (
        numbers: Out<f32>, squares: Out<f32>, biases: Out<f32>, bias_squares: Out<f32>, biased: Value<u32>,
        user_count: Value<u32>, lists: In<u32>, users: Value<u32>, items: Value<u32>, pairs: Value<u32>,
        width: Value<u32>, lanes: Value<u32>, gradient: In<f32>, bias_gradient: In<f32>, l2: Value<f32>,
        weight: Value<f32>, rate: Value<f32>, adagrad: Value<u32>,
    )
}

const WARP: usize = 32;
/// Threads of a block.
const THREADS: usize = 256;
/// Numbers that a lane has at a time.
const TOGETHER: usize = 4;
/// What an attack finds, as the kernel numbers it: nothing, moved rows by slot, steps by row.
const NO_ATTACK: u32 = 0;
pub(super) const MOVED_ROWS: u32 = 1;
pub(super) const STEPS_OF_ALL: u32 = 2;

/// Sizes of the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) users: usize,
    pub(super) items: usize,
    rank: usize,
    pub(super) biased: bool,
}

impl Shape {
    pub(super) fn of(tables: &Tables) -> Result<Self> {
        let (rank, users, items) = (tables.users.nrows(), tables.users.ncols(), tables.items.ncols());
        if !(1..=MOST_FACTORS).contains(&rank) {
            return Err(Error::shape("rank of the user factors", format!("1 to {MOST_FACTORS}"), rank));
        }
        if tables.items.nrows() != rank {
            return Err(Error::shape("rank of the item factors", rank, tables.items.nrows()));
        }
        if let Some(biases) = tables.biases.as_ref().filter(|biases| biases.len() != items) {
            return Err(Error::shape("biases of the items", items, biases.len()));
        }
        if users + items > u32::MAX as usize {
            return Err(Error::shape("users and items", format!("at most {}", u32::MAX), users + items));
        }
        Ok(Self { users, items, rank, biased: tables.biases.is_some() })
    }

    /// Numbers of a row: the rank, filled up to what a lane has.
    pub(super) fn width(&self) -> usize {
        self.rank.next_multiple_of(TOGETHER)
    }

    /// Lanes that work on a row together.
    fn lanes(&self) -> usize {
        self.width().div_ceil(TOGETHER).next_power_of_two().min(WARP)
    }

    /// Numbers of all rows.
    pub(super) fn numbers(&self) -> usize {
        (self.users + self.items) * self.width()
    }

    /// Rows of the users, then of the items, filled up with zeros.
    pub(super) fn rows(&self, tables: &Tables) -> Vec<f32> {
        let mut rows = vec![0.0; self.numbers().max(1)];
        let entities = tables.users.column_iter().chain(tables.items.column_iter());
        for (row, factors) in rows.chunks_exact_mut(self.width()).zip(entities) {
            row.iter_mut().zip(factors.iter()).for_each(|(to, &from)| *to = from);
        }
        rows
    }
}

/// Where steps are made, of what, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'c> {
    pub(super) cuda: &'c Cuda,
    pub(super) shape: Shape,
    pub(super) rule: Rule,
}

/// A batch on the device.
pub(super) struct Lists {
    values: CudaSlice<u32>,
    users: u32,
    items: u32,
    pairs: u32,
}

impl Lists {
    /// Rows that the batch touches.
    pub(super) fn slots(&self) -> usize {
        self.users as usize + self.items as usize
    }
}

/// Of the pairs of a batch.
#[derive(Debug)]
pub(super) struct Margins {
    pub(super) pairs: usize,
    pub(super) margins: CudaSlice<f32>,
    pub(super) losses: CudaSlice<f32>,
    slopes: CudaSlice<f32>,
}

/// Of the rows of a batch, by slot, and of the biases of its items.
pub(super) struct Gradient {
    rows: CudaSlice<f32>,
    biases: CudaSlice<f32>,
}

/// Where the rows of a batch are read.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Among all rows.
    All(&'a CudaSlice<f32>),
    /// By slot.
    Moved(&'a CudaSlice<f32>),
}

impl<'a> Rows<'a> {
    fn numbers(self) -> (&'a CudaSlice<f32>, u32) {
        match self {
            Self::All(numbers) => (numbers, 0),
            Self::Moved(numbers) => (numbers, 1),
        }
    }
}

/// What steps along the gradient are found, and where they go.
pub(super) struct Attack<'a> {
    pub(super) kind: u32,
    pub(super) eps: f32,
    /// Weight of half the squared factors of a pair.
    pub(super) pull: f32,
    pub(super) to: &'a mut CudaSlice<f32>,
}

impl Setting<'_> {
    fn widths(&self) -> (u32, u32) {
        (self.shape.width() as u32, self.shape.lanes() as u32)
    }

    /// Blocks for so many groups of lanes.
    fn groups(&self, count: usize) -> (u32, u32, u32) {
        (count.div_ceil(THREADS / self.shape.lanes()) as u32, 1, 1)
    }

    pub(super) fn lists(&self, batch: &Batch<'_>) -> Result<Lists, Fault> {
        let values = self.cuda.stream.clone_htod(&batch.packed(self.shape.users))?;
        let [users, items, pairs] = [batch.users.len(), batch.items.len(), batch.len()].map(|count| count as u32);
        Ok(Lists { values, users, items, pairs })
    }

    /// Room for the gradient of a batch.
    pub(super) fn gradient(&self, lists: &Lists) -> Result<Gradient, Fault> {
        let rows = self.cuda.room((lists.slots() * self.shape.width()).max(1))?;
        let biases = if self.shape.biased { lists.items.max(1) } else { 1 };
        Ok(Gradient { rows, biases: self.cuda.room(biases as usize)? })
    }

    pub(super) fn margins(&self, rows: Rows<'_>, biases: &CudaSlice<f32>, lists: &Lists) -> Result<Margins, Fault> {
        let pairs = lists.pairs as usize;
        let room = || self.cuda.room::<f32>(pairs.max(1));
        let mut to = Margins { pairs, margins: room()?, losses: room()?, slopes: room()? };
        let ((numbers, by_slot), (width, lanes)) = (rows.numbers(), self.widths());
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: the lists were checked against the tables; a number for each pair.
        unsafe {
            self.cuda.kernels.pair_margins.launch(
                &self.cuda.stream,
                self.groups(pairs),
                0,
                &numbers.as_view(),
                by_slot,
                &biases.as_view(),
                u32::from(self.shape.biased),
                self.shape.users as u32,
                &lists.values.as_view(),
                lists.users,
                lists.items,
                lists.pairs,
                width,
                lanes,
                u32::from(self.rule.cut),
                &mut to.margins.as_view_mut(),
                &mut to.losses.as_view_mut(),
                &mut to.slopes.as_view_mut(),
            )?;
        }
        Ok(to)
    }

    /// Of the loss alone, without the squared factors. With a weight it is added to what is there.
    pub(super) fn gradients(
        &self,
        rows: Rows<'_>,
        lists: &Lists,
        margins: &Margins,
        weight: Option<f32>,
        to: &mut Gradient,
        attack: Option<Attack<'_>>,
    ) -> Result<(), Fault> {
        let mut none = self.cuda.room(1)?;
        let Attack { kind, eps, pull, to: steps } =
            attack.unwrap_or(Attack { kind: NO_ATTACK, eps: 0.0, pull: 0.0, to: &mut none });
        let ((numbers, by_slot), (width, lanes)) = (rows.numbers(), self.widths());
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: the lists were checked against the tables; a row for each slot, moved or not, or one for each user
        // and item where steps are by row.
        unsafe {
            self.cuda.kernels.pair_gradients.launch(
                &self.cuda.stream,
                (lists.slots().div_ceil(THREADS / WARP) as u32, 1, 1),
                0,
                &numbers.as_view(),
                by_slot,
                &lists.values.as_view(),
                lists.users,
                lists.items,
                lists.pairs,
                width,
                lanes,
                &margins.slopes.as_view(),
                u32::from(weight.is_some()),
                weight.unwrap_or(1.0),
                &mut to.rows.as_view_mut(),
                &mut to.biases.as_view_mut(),
                u32::from(self.shape.biased),
                kind,
                eps,
                pull,
                &mut steps.as_view_mut(),
            )?;
        }
        Ok(())
    }

    /// The rows of a batch, moved by steps of all rows.
    pub(super) fn moved(
        &self,
        numbers: &CudaSlice<f32>,
        steps: &CudaSlice<f32>,
        lists: &Lists,
    ) -> Result<CudaSlice<f32>, Fault> {
        let (width, len) = (self.shape.width(), lists.slots() * self.shape.width());
        let mut moved = self.cuda.room(len.max(1))?;
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: the lists begin with the rows of all slots, which were checked; a row for each slot.
        unsafe {
            self.cuda.kernels.pair_moved.launch(
                &self.cuda.stream,
                (len.div_ceil(TOGETHER * THREADS) as u32, 1, 1),
                0,
                &numbers.as_view(),
                &steps.as_view(),
                &lists.values.as_view(),
                lists.slots() as u32,
                width as u32,
                &mut moved.as_view_mut(),
            )?;
        }
        Ok(moved)
    }

    /// Numbers of the device, once they are computed.
    pub(super) fn download(&self, from: &CudaSlice<f32>, len: usize) -> Result<Vec<f32>> {
        let stream = &self.cuda.stream;
        let download = || -> Result<_, Fault> {
            let mut to = vec![0.0; len];
            stream.memcpy_dtoh(&from.slice(..len), &mut to)?;
            stream.synchronize()?;
            Ok(to)
        };
        download().map_err(|fault| self.cuda.error(fault))
    }

    pub(super) fn tables(&self, rows: &CudaSlice<f32>, biases: &CudaSlice<f32>) -> Result<Tables> {
        let Shape { users, items, rank, biased } = self.shape;
        let rows = self.download(rows, self.shape.numbers())?;
        let (of_users, of_items) = rows.split_at(users * self.shape.width());
        let [users, items] = [(of_users, users), (of_items, items)].map(|(rows, count)| {
            let mut table = DMatrix::zeros(rank, count);
            for (mut column, row) in table.column_iter_mut().zip(rows.chunks_exact(self.shape.width())) {
                column.copy_from_slice(&row[..rank]);
            }
            table
        });
        let biases = biased.then(|| self.download(biases, self.shape.items)).transpose()?;
        Ok(Tables { users, items, biases })
    }
}

impl Pairs<'_> {
    /// A step against a gradient.
    pub(super) fn update(&mut self, lists: &Lists, gradient: &Gradient) -> Result<(), Fault> {
        let Setting { cuda, shape, rule } = self.at;
        let (width, lanes) = self.at.widths();
        let (adagrad, rate) = match rule.descent {
            Descent::Adagrad { rate, .. } => (1, rate),
            Descent::Plain { rate } => (0, rate),
        };
        #[expect(unsafe_code, reason = "launches foreign code")]
        // SAFETY: the lists were checked against the tables; the sums have their shape where there are any.
        unsafe {
            cuda.kernels.pair_update.launch(
                &cuda.stream,
                self.at.groups(lists.slots()),
                0,
                &mut self.numbers.as_view_mut(),
                &mut self.squares.as_view_mut(),
                &mut self.biases.as_view_mut(),
                &mut self.bias_squares.as_view_mut(),
                u32::from(shape.biased),
                shape.users as u32,
                &lists.values.as_view(),
                lists.users,
                lists.items,
                lists.pairs,
                width,
                lanes,
                &gradient.rows.as_view(),
                &gradient.biases.as_view(),
                rule.l2,
                rule.weight,
                rate,
                adagrad,
            )?;
        }
        Ok(())
    }
}
