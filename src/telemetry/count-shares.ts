/** What organisations have of what they share: connections to upstreams, and room for what they publish. */
import { Counter, Gauge } from 'prom-client';
import type { Counting } from './count.ts';

/** Requests of no organisation: tokens and the like that nobody in particular asked for. */
const nobody = '-';

export function countShares({ registers, on, known }: Counting): void {
  const labelNames = ['upstream', 'org'] as const;
  const hosted = known.hosted ?? (() => []);
  const waiting = new Gauge({
    name: 'larder_upstream_org_waiting',
    help: 'Requests in the queue, by the organisation that began them.',
    labelNames,
    registers,
  });
  const running = new Gauge({
    name: 'larder_upstream_org_running',
    help: 'Requests under way, by the organisation that began them.',
    labelNames,
    registers,
  });
  const turnedAway = new Counter({
    name: 'larder_upstream_turned_away_total',
    help: 'Requests that were told to come back later because too many of their organisation were waiting.',
    labelNames,
    registers,
  });
  on('upstream.queue', ({ upstream, org = nobody, own }) => {
    turnedAway.inc({ upstream, org }, 0);
    waiting.set({ upstream, org }, own.waiting);
    running.set({ upstream, org }, own.running);
  });
  on('upstream.turned-away', ({ upstream, org = nobody }) => turnedAway.inc({ upstream, org }));
  new Gauge({
    name: 'larder_org_hosted_bytes',
    help: 'Bytes of what is published, and of what is just being published.',
    labelNames: ['org'],
    registers,
    collect() {
      this.reset();
      for (const { org, bytes } of hosted()) this.set({ org }, bytes);
    },
  });
  new Gauge({
    name: 'larder_org_hosted_max_bytes',
    help: 'What may be published, where maxSize of the organisation says so.',
    labelNames: ['org'],
    registers,
    collect() {
      this.reset();
      for (const { org, maxBytes } of hosted()) if (maxBytes !== undefined) this.set({ org }, maxBytes);
    },
  });
}
