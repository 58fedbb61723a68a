/** The configuration: when it was read, and whether it could be. */
import { Counter, Gauge } from 'prom-client';
import type { Counting } from './count.ts';

export function countReloads({ registers, on }: Counting): void {
  const reloads = new Counter({
    name: 'larder_config_reloads_total',
    help: 'Times the configuration was read again; refused: it had mistakes, and the one before stayed in force.',
    labelNames: ['outcome'],
    registers,
  });
  const loadedAt = new Gauge({
    name: 'larder_config_loaded_timestamp_seconds',
    help: 'When the configuration in force was read, in seconds since 1970.',
    registers,
  });
  const load = (): void => loadedAt.set(Date.now() / 1000);
  load();
  for (const outcome of ['done', 'refused']) reloads.inc({ outcome }, 0);
  on('config.reload', ({ outcome }) => {
    reloads.inc({ outcome });
    if (outcome === 'done') load();
  });
}
