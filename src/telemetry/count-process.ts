/** The process itself: its event loop, its memory, what failed in the background, what it is. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { bounded, type Counting } from './count.ts';

const loopResolutionMs = 10;
/** Where a person is wanted, so that the first fault is an increase and not a new line. */
const faultPlaces = ['answering', 'eviction', 'index', 'journal', 'staging', 'store', 'webhooks'];

export function countProcess({ registers, on, atEnd, known }: Counting): void {
  const faults = new Counter({
    name: 'larder_faults_total',
    help: 'Failures in the background that no request waited for.',
    labelNames: ['where'],
    registers,
  });
  const wheres = bounded(100);
  for (const where of faultPlaces) faults.inc({ where: wheres(where) }, 0);
  // The rest of the text may name a package.
  on('fault', ({ where }) => faults.inc({ where: wheres(where.split(' ', 1)[0] ?? where) }));
  if (known.version !== undefined) {
    new Gauge({ name: 'larder_build_info', help: 'Always 1.', labelNames: ['version', 'node'], registers }).set(
      { version: known.version, node: process.version },
      1,
    );
  }
  atEnd(watchEventLoop(registers));
}

/** Each look starts a new measurement, so that an old stall does not hide a new one. */
function watchEventLoop(registers: Registry[]): () => void {
  const histogram = monitorEventLoopDelay({ resolution: loopResolutionMs });
  histogram.enable();
  // What is measured is the time between two ticks of a timer; only what goes beyond its period is delay.
  const seconds = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - loopResolutionMs) / 1000;
  new Gauge({
    name: 'larder_event_loop_delay_seconds',
    help: 'How long the event loop was held up, since the metrics were read last. Quantile 1 is the longest.',
    labelNames: ['quantile'],
    registers,
    collect() {
      const measured = histogram.count > 0;
      this.set({ quantile: '0.5' }, measured ? seconds(histogram.percentile(50)) : 0);
      this.set({ quantile: '0.99' }, measured ? seconds(histogram.percentile(99)) : 0);
      this.set({ quantile: '1' }, measured ? seconds(histogram.max) : 0);
      histogram.reset();
    },
  });
  return () => histogram.disable();
}

let shared: Registry | undefined;

/** Observers of the process cannot be ended again, so there is one set of them however often metrics are started. */
export function processMetrics(): Registry {
  if (!shared) {
    shared = new Registry();
    collectDefaultMetrics({ register: shared });
  }
  return shared;
}
