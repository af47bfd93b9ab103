//! The loop that moves every batch of the engine.
//!
//! A task has one or more branches (the inputs of a UNION), each a source with operators of its own,
//! then the operators that they share, then a sink. The deepest operator that has output goes first, so that
//! little is in flight. Cancellation, time slices and metrics are here and nowhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firesteel_common::{Batch, NodeId, Result};
use firesteel_runtime::CancelToken;
use futures::StreamExt;

use crate::metrics::{MetricsMap, OperatorMetrics};
use crate::operator::{Operator, Sink, SinkState, Source, Worker};

/// Time after which a task lets others on its thread run.
pub(crate) const SLICE: Duration = Duration::from_millis(20);

/// An operator of a task and what it did.
pub struct Slot {
    node: NodeId,
    operator: Box<dyn Operator>,
    metrics: OperatorMetrics,
}

impl Slot {
    /// The operator of physical node `node`.
    pub fn new(node: NodeId, operator: Box<dyn Operator>) -> Self {
        Self { node, operator, metrics: OperatorMetrics::default() }
    }
}

/// A source with the operators that only it feeds.
pub struct Branch {
    /// Physical node of the source.
    pub node: NodeId,
    /// The source.
    pub source: Source,
    /// Operators, in the order of the flow.
    pub operators: Vec<Slot>,
}

/// A task, ready to run.
pub struct PipelineTask {
    branches: Vec<Branch>,
    shared: Vec<Slot>,
    sink: Box<dyn Sink>,
    sink_state: SinkState,
    cancel: CancelToken,
    worker: Arc<dyn Worker>,
    slice_start: Instant,
    metrics: MetricsMap,
    output: OperatorMetrics,
}

/// What a task did.
#[derive(Debug, Default)]
pub struct TaskMetrics {
    /// Its sources and operators.
    pub operators: MetricsMap,
    /// Its sink, but for the memory.
    pub output: OperatorMetrics,
}

impl PipelineTask {
    /// A task that feeds `branches`, one after the other, through `shared` into `sink`.
    pub fn new(
        branches: Vec<Branch>,
        shared: Vec<Slot>,
        sink: Box<dyn Sink>,
        cancel: CancelToken,
        worker: Arc<dyn Worker>,
    ) -> Self {
        let (sink_state, slice_start) = (SinkState::Open, Instant::now());
        let (metrics, output) = (MetricsMap::new(), OperatorMetrics::default());
        Self { branches, shared, sink, sink_state, cancel, worker, slice_start, metrics, output }
    }

    /// Runs the task to its end and says what its operators did.
    pub async fn run(mut self) -> Result<TaskMetrics> {
        let mut shared = std::mem::take(&mut self.shared);
        for branch in std::mem::take(&mut self.branches) {
            if self.is_done(&shared) {
                break;
            }
            shared = self.run_branch(branch, shared).await?;
        }
        self.end_inputs(&mut shared, 0).await?;
        self.record(shared);
        self.cancel.check()?;
        let start = Instant::now();
        self.sink.finish().await?;
        self.output.time += start.elapsed();
        Ok(TaskMetrics { operators: self.metrics, output: self.output })
    }

    /// Runs one branch to its end; gives the shared operators back.
    async fn run_branch(&mut self, branch: Branch, shared: Vec<Slot>) -> Result<Vec<Slot>> {
        let Branch { node, mut source, operators } = branch;
        let own = operators.len();
        let mut slots = operators;
        slots.extend(shared);
        let mut read = OperatorMetrics::default();
        while !self.is_done(&slots) {
            let start = Instant::now();
            let next = async { source.next().await.transpose() };
            let Some(batch) = self.cancel.guard(next).await? else { break };
            read.time += start.elapsed();
            read.rows += batch.rows() as u64;
            read.batches += 1;
            self.feed(&mut slots, 0, batch).await?;
        }
        self.metrics.entry(node).or_default().merge(&read);
        for at in 0..own {
            self.end_input(&mut slots, at).await?;
        }
        let shared = slots.split_off(own);
        self.record(slots);
        Ok(shared)
    }

    async fn end_inputs(&mut self, slots: &mut [Slot], from: usize) -> Result<()> {
        for at in from..slots.len() {
            self.end_input(slots, at).await?;
        }
        Ok(())
    }

    /// Ends the input of operator `at` and carries what it still returns to the sink.
    async fn end_input(&mut self, slots: &mut [Slot], at: usize) -> Result<()> {
        let start = Instant::now();
        slots[at].operator.input_done()?;
        slots[at].metrics.time += start.elapsed();
        while at >= self.cut(slots) {
            let Some(batch) = next_output(&mut slots[at])? else { break };
            self.feed(slots, at + 1, batch).await?;
        }
        Ok(())
    }

    /// Gives `batch` to operator `first` (the sink, past the last one) and carries everything that comes
    /// of it to the sink, deepest operator first.
    async fn feed(&mut self, slots: &mut [Slot], first: usize, batch: Batch) -> Result<()> {
        let mut at = first;
        self.give(slots, at, batch).await?;
        while at >= self.cut(slots) {
            let output = match slots.get_mut(at) {
                Some(slot) => next_output(slot)?,
                None => None,
            };
            match output {
                Some(batch) => {
                    at += 1;
                    self.give(slots, at, batch).await?;
                }
                None if at == first => return Ok(()),
                None => at -= 1,
            }
        }
        Ok(())
    }

    async fn give(&mut self, slots: &mut [Slot], at: usize, batch: Batch) -> Result<()> {
        self.cancel.check()?;
        if self.slice_start.elapsed() > SLICE {
            self.worker.slice_end().await?;
            self.slice_start = Instant::now();
        }
        if batch.rows() == 0 {
            return Ok(());
        }
        if let Some(slot) = slots.get_mut(at) {
            let start = Instant::now();
            slot.operator.push(batch)?;
            slot.metrics.time += start.elapsed();
            return Ok(());
        }
        let start = Instant::now();
        self.output.rows += batch.rows() as u64;
        self.output.batches += 1;
        self.sink.push(batch)?;
        self.output.time += start.elapsed();
        let sink = &mut self.sink;
        self.sink_state = self.cancel.guard(std::future::poll_fn(|cx| sink.poll_ready(cx))).await?;
        Ok(())
    }

    /// Operators before this one need not be asked again: a later one wants no more.
    fn cut(&self, slots: &[Slot]) -> usize {
        if self.sink_state == SinkState::Closed {
            return slots.len() + 1;
        }
        slots.iter().rposition(|slot| slot.operator.is_done()).unwrap_or(0)
    }

    fn is_done(&self, slots: &[Slot]) -> bool {
        self.sink_state == SinkState::Closed || slots.iter().any(|slot| slot.operator.is_done())
    }

    fn record(&mut self, slots: Vec<Slot>) {
        for slot in slots {
            self.metrics.entry(slot.node).or_default().merge(&slot.metrics);
        }
    }
}

fn next_output(slot: &mut Slot) -> Result<Option<Batch>> {
    let start = Instant::now();
    let output = slot.operator.next_output()?;
    slot.metrics.time += start.elapsed();
    if let Some(batch) = output.as_ref().filter(|batch| batch.rows() > 0) {
        slot.metrics.rows += batch.rows() as u64;
        slot.metrics.batches += 1;
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use futures::future::BoxFuture;
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    fn batch(values: Vec<i64>) -> Batch {
        let rows = values.len();
        Batch::new(vec![Arc::new(Int64Array::from(values)) as ArrayRef], rows)
    }

    fn values(batch: &Batch) -> Vec<i64> {
        batch.columns()[0].as_primitive::<Int64Type>().values().to_vec()
    }

    /// Every row becomes `n` rows, two rows a batch.
    struct FanOut(usize, VecDeque<i64>);
    impl Operator for FanOut {
        fn push(&mut self, batch: Batch) -> Result<()> {
            assert!(self.1.is_empty(), "pushed while output was pending");
            values(&batch).into_iter().for_each(|v| self.1.extend(std::iter::repeat_n(v, self.0)));
            Ok(())
        }
        fn next_output(&mut self) -> Result<Option<Batch>> {
            let k = self.1.len().min(2);
            Ok((k > 0).then(|| batch(self.1.drain(..k).collect())))
        }
    }

    /// Keeps all rows to the end.
    #[derive(Default)]
    struct Buffer(Vec<i64>, bool);
    impl Operator for Buffer {
        fn push(&mut self, batch: Batch) -> Result<()> {
            self.0.extend(values(&batch));
            Ok(())
        }
        fn next_output(&mut self) -> Result<Option<Batch>> {
            let k = self.0.len().min(3);
            Ok((self.1 && k > 0).then(|| batch(self.0.drain(..k).collect())))
        }
        fn input_done(&mut self) -> Result<()> {
            self.1 = true;
            Ok(())
        }
    }

    struct Limit(usize, Option<Batch>);
    impl Operator for Limit {
        fn push(&mut self, batch: Batch) -> Result<()> {
            let k = self.0.min(batch.rows());
            self.0 -= k;
            self.1 = (k > 0).then(|| batch.slice(0, k));
            Ok(())
        }
        fn next_output(&mut self) -> Result<Option<Batch>> {
            Ok(self.1.take())
        }
        fn is_done(&self) -> bool {
            self.0 == 0
        }
    }

    struct Collect(Arc<Mutex<Vec<i64>>>, usize);
    impl Sink for Collect {
        fn push(&mut self, batch: Batch) -> Result<()> {
            self.0.lock().unwrap().extend(values(&batch.compact()?));
            Ok(())
        }
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<SinkState>> {
            let full = self.0.lock().unwrap().len() >= self.1;
            Poll::Ready(Ok(if full { SinkState::Closed } else { SinkState::Open }))
        }
        fn finish(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }

    struct Alone;
    impl Worker for Alone {
        fn slice_end(&self) -> BoxFuture<'_, Result<()>> {
            Box::pin(async { Ok(()) })
        }
    }

    type Ops = Vec<Box<dyn Operator>>;

    fn slots(operators: Ops) -> Vec<Slot> {
        operators.into_iter().enumerate().map(|(i, o)| Slot::new(NodeId(i as u32), o)).collect()
    }

    fn run(branches: Vec<(Ops, Vec<Vec<i64>>)>, shared: Ops, stop_at: usize) -> (Vec<i64>, usize, Result<TaskMetrics>) {
        let out = Arc::new(Mutex::new(Vec::new()));
        let reads = Arc::new(Mutex::new(0));
        let branches = branches
            .into_iter()
            .map(|(operators, input)| {
                let reads = reads.clone();
                let source = futures::stream::iter(input).map(move |v| {
                    *reads.lock().unwrap() += 1;
                    Ok(batch(v))
                });
                Branch { node: NodeId(99), source: Box::pin(source), operators: slots(operators) }
            })
            .collect();
        let sink = Box::new(Collect(out.clone(), stop_at));
        let task = PipelineTask::new(branches, slots(shared), sink, CancelToken::new(), Arc::new(Alone));
        let result = futures::executor::block_on(task.run());
        let (rows, reads) = (out.lock().unwrap().clone(), *reads.lock().unwrap());
        (rows, reads, result)
    }

    fn fan(n: usize) -> Box<dyn Operator> {
        Box::new(FanOut(n, VecDeque::new()))
    }

    #[test]
    fn fan_outs_nest() {
        let (rows, _, _) = run(vec![(vec![], vec![vec![1, 2], vec![3]])], vec![fan(3), fan(2)], usize::MAX);
        let expected: Vec<i64> = [1, 2, 3].into_iter().flat_map(|v| vec![v; 6]).collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn a_buffer_flushes_through_the_rest() {
        let input = vec![vec![1], vec![2], vec![3], vec![4]];
        let (rows, _, _) = run(vec![(vec![], input)], vec![Box::new(Buffer::default()), fan(2)], usize::MAX);
        assert_eq!(rows, [1, 1, 2, 2, 3, 3, 4, 4]);
    }

    #[test]
    fn branches_share_what_follows() {
        let branches = vec![(vec![fan(2)], vec![vec![1]]), (vec![], vec![vec![7, 8]])];
        let (rows, _, _) = run(branches, vec![Box::new(Buffer::default())], usize::MAX);
        assert_eq!(rows, [1, 1, 7, 8]);
    }

    #[test]
    fn a_limit_stops_the_source_and_cuts_a_fan_out() {
        let limit = || Box::new(Limit(3, None));
        let (rows, reads, _) = run(vec![(vec![], vec![vec![5, 6]; 100])], vec![limit()], usize::MAX);
        assert_eq!((rows, reads), (vec![5, 6, 5], 2));
        let (rows, reads, _) =
            run(vec![(vec![], vec![vec![7]; 10])], vec![fan(3_000_000), limit(), fan(2)], usize::MAX);
        assert_eq!((rows, reads), (vec![7; 6], 1));
    }

    #[test]
    fn a_closed_sink_stops_everything() {
        let (rows, reads, result) = run(vec![(vec![], vec![vec![1]; 50])], vec![fan(10)], 2);
        assert_eq!((rows, reads), (vec![1, 1], 1));
        assert!(result.is_ok());
    }

    #[test]
    fn metrics_count_rows() {
        let (_, _, metrics) = run(vec![(vec![], vec![vec![1, 2]])], vec![fan(3)], usize::MAX);
        let TaskMetrics { operators, output } = metrics.unwrap();
        assert_eq!((operators[&NodeId(99)].rows, operators[&NodeId(0)].rows, output.rows), (2, 6, 6));
    }
}
