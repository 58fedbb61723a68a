/** What is stored, and what had to go. */
import { Counter, Gauge, Histogram } from 'prom-client';
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
  const idle = new Histogram({
    name: 'larder_store_evicted_idle_seconds',
    help: 'How long nobody had used what was evicted. Where that is short, the store is too small for what is used.',
    buckets: [60, 600, 3600, 6 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400, 90 * 86_400],
    registers,
  });
  const free = new Gauge({
    name: 'larder_disk_free_bytes',
    help: 'Free on the file system of the store; absent where it does not tell.',
    registers,
  });
  const size = new Gauge({ name: 'larder_disk_bytes', help: 'Size of that file system.', registers });
  on('store.size', (event) => {
    bytes.set(event.bytes);
    entries.set(event.entries);
  });
  on('store.full', (event) => full.set(event.full ? 1 : 0));
  on('store.evicted', ({ bytes, idleMs }) => {
    evictions.inc();
    evicted.inc(bytes);
    idle.observe(idleMs / 1000);
  });
  on('store.damaged', () => damaged.inc());

  // Until somebody looked there is no number, or a disk would be full for a moment at each start.
  free.remove();
  size.remove();
  on('store.disk', (event) => {
    free.set(event.freeBytes);
    size.set(event.sizeBytes);
  });
  countBeside({ registers, on });
}

/** What lies beside what is stored, and what `gc` did about it. */
function countBeside({ registers, on }: Pick<Counting, 'registers' | 'on'>): void {
  const bytes = new Gauge({
    name: 'larder_store_beside_bytes',
    help: 'Bytes beside what is stored: in the trash, in quarantine, of downloads and uploads under way.',
    labelNames: ['place'],
    registers,
  });
  const objects = new Gauge({
    name: 'larder_store_beside_objects',
    help: 'How many files that is.',
    labelNames: ['place'],
    registers,
  });
  const ranAt = new Gauge({
    name: 'larder_gc_timestamp_seconds',
    help: 'When gc last ran and was to delete something; absent: never.',
    labelNames: [],
    registers,
  });
  const done = new Gauge({
    name: 'larder_gc_bytes',
    help: 'What that run moved to the trash and what it deleted from there for good.',
    labelNames: ['what'],
    registers,
  });
  ranAt.remove();
  on('store.beside', (event) => {
    bytes.set({ place: event.place }, event.bytes);
    objects.set({ place: event.place }, event.objects);
  });
  on('store.collected', ({ at, trashedBytes, freedBytes }) => {
    ranAt.set(at / 1000);
    done.set({ what: 'trashed' }, trashedBytes);
    done.set({ what: 'deleted' }, freedBytes);
  });
}
