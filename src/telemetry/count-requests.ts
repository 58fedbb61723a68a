/** Requests of clients. */
import { Counter, type Metric } from 'prom-client';
import { problems, toProblem } from '../core/problem.ts';
import type { Counting } from './count.ts';
import { durationBounds, RequestCounts } from './requests.ts';

export function countRequests({ registry, registers, on }: Counting): void {
  const counts = new RequestCounts();
  on('request', counts.add);
  new Counter({
    name: 'larder_requests_total',
    help: 'Requests, after their last byte.',
    labelNames: ['repository', 'format', 'route', 'outcome', 'status_class'],
    registers,
    collect() {
      this.reset();
      for (const { repository, format, route, outcome, statusClass, count } of counts.cells) {
        this.inc({ repository, format, route, outcome, status_class: `${statusClass}xx` }, count);
      }
    },
  });
  new Counter({
    name: 'larder_client_bytes_total',
    help: 'Bytes of bodies sent to clients.',
    labelNames: ['repository', 'format', 'route', 'outcome'],
    registers,
    collect() {
      this.reset();
      for (const { repository, format, route, outcome, bytesSent } of counts.cells) {
        this.inc({ repository, format, route, outcome }, bytesSent);
      }
    },
  });
  new Counter({
    name: 'larder_requests_aborted_total',
    help: 'Requests whose client left, or whose answer was cut because it proved wrong.',
    labelNames: ['format'],
    registers,
    collect() {
      this.reset();
      for (const { format, aborted } of counts.cells) this.inc({ format }, aborted);
    },
  });
  registry.registerMetric(durations(counts));

  const failures = new Counter({
    name: 'larder_failures_total',
    help: 'Requests that ended in a problem, by its code.',
    labelNames: ['code'],
    registers,
  });
  for (const code of Object.keys(problems)) failures.inc({ code }, 0);
  on('request', ({ error }) => {
    if (error !== undefined) failures.inc({ code: toProblem(error).code });
  });
}

/** A histogram made of counts that are there already; the library's own wants to be told of every request. */
function durations(counts: RequestCounts): Metric {
  const name = 'larder_request_duration_seconds';
  const get = async (): Promise<unknown> => {
    const groups = new Map<string, { labels: object; count: number; sum: number; buckets: number[] }>();
    for (const { format, outcome, count, durationMs, buckets } of counts.cells) {
      const key = `${format} ${outcome}`;
      const group = groups.get(key) ?? { labels: { format, outcome }, count: 0, sum: 0, buckets: buckets.map(() => 0) };
      group.count += count;
      group.sum += durationMs / 1000;
      buckets.forEach((value, index) => {
        group.buckets[index] = (group.buckets[index] ?? 0) + value;
      });
      groups.set(key, group);
    }
    const values = [...groups.values()].flatMap(({ labels, count, sum, buckets }) => {
      let below = 0;
      const steps = [...durationBounds, '+Inf'].map((le, index) => {
        below += buckets[index] ?? 0;
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: below };
      });
      return [
        ...steps,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ];
    });
    return { name, help: 'From the first byte of a request to the last of its answer.', type: 'histogram', values };
  };
  // The registry asks a metric for its name and its values and for nothing else.
  return { name, get, reset() {} } as unknown as Metric;
}
