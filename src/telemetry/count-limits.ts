/** Who wanted more than they may, who was too slow, and how many are connected. */
import { Counter, Gauge } from 'prom-client';
import { bounded, type Counting } from './count.ts';

const kinds = ['requests', 'transfers', 'bandwidth', 'connections'] as const;
const slowKinds = ['headers', 'body', 'reader'] as const;

export function countLimits({ registers, on }: Counting): void {
  const limited = new Counter({
    name: 'larder_limited_total',
    help: 'Requests and connections refused, and transfers slowed, because of a limit: of an address, an identity, or all of an org (by).',
    labelNames: ['org', 'by', 'kind'],
    registers,
  });
  const throttled = new Counter({
    name: 'larder_throttled_seconds_total',
    help: 'How long transfers waited for their turn because of a limit, all together.',
    labelNames: ['org', 'by'],
    registers,
  });
  const slow = new Counter({
    name: 'larder_slow_clients_total',
    help: 'Clients cut for being slow: in sending headers or a body, or in taking an answer (reader).',
    labelNames: ['kind'],
    registers,
  });
  const connections = new Gauge({
    name: 'larder_connections',
    help: 'Connections (open), and how many of them wait for a request (idle).',
    labelNames: ['state'],
    registers,
  });
  for (const kind of kinds) limited.inc({ org: '-', by: 'address', kind }, 0);
  for (const kind of slowKinds) slow.inc({ kind }, 0);
  throttled.inc({ org: '-', by: 'address' }, 0);
  const orgs = bounded(10_000);
  on('limited', ({ org, by, kind }) => limited.inc({ org: orgs(org), by, kind }));
  on('throttled', ({ org, by, ms }) => throttled.inc({ org: orgs(org), by }, ms / 1000));
  on('client.slow', ({ kind }) => slow.inc({ kind }));
  on('connections', ({ open, idle }) => {
    connections.set({ state: 'open' }, open);
    connections.set({ state: 'idle' }, idle);
  });
}
