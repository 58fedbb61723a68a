/** What is stored, and what had to go. */
import { Counter, Gauge } from 'prom-client';
import type { Counting } from './count.ts';

export function countStore({ registers, on, known: { maxSizeBytes } }: Counting): void {
  const bytes = new Gauge({ name: 'larder_store_bytes', help: 'Bytes stored.', registers });
  const entries = new Gauge({ name: 'larder_store_entries', help: 'Objects stored.', registers });
  const full = new Gauge({
    name: 'larder_store_full',
    help: '1 while disk or budget refuse new bytes, and answers are passed on without being stored.',
    registers,
  });
  const evictions = new Counter({ name: 'larder_store_evictions_total', help: 'Objects evicted.', registers });
  const evicted = new Counter({ name: 'larder_store_evicted_bytes_total', help: 'Bytes evicted.', registers });
  const damaged = new Counter({
    name: 'larder_store_damaged_total',
    help: 'Objects found damaged and set aside.',
    registers,
  });
  if (maxSizeBytes !== undefined) {
    new Gauge({ name: 'larder_store_max_bytes', help: 'What may be stored.', registers }).set(maxSizeBytes);
  }
  on('store.size', (event) => {
    bytes.set(event.bytes);
    entries.set(event.entries);
  });
  on('store.full', (event) => full.set(event.full ? 1 : 0));
  on('store.evicted', (event) => {
    evictions.inc();
    evicted.inc(event.bytes);
  });
  on('store.damaged', () => damaged.inc());
}
