/** Traces that were lost on their way. */
import { Counter } from 'prom-client';
import type { Counting } from './count.ts';

export function countTracing({ registers, on }: Counting): void {
  const dropped = new Counter({
    name: 'larder_trace_spans_dropped_total',
    help: 'Spans that were not exported: the queue was full, or the collector did not take them.',
    registers,
  });
  on('trace.dropped', ({ spans }) => dropped.inc(spans));
}
