/** Documents made for clients, and those of upstreams that were none. */
import { Counter, Histogram } from 'prom-client';
import { bounded, type Counting } from './count.ts';

export function countDocuments({ registers, on }: Counting): void {
  const derived = new Counter({
    name: 'larder_documents_derived_total',
    help: 'Documents made for clients, on the main thread (inline) or on another one (worker).',
    labelNames: ['format', 'type', 'where'],
    registers,
  });
  const duration = new Histogram({
    name: 'larder_document_derive_duration_seconds',
    help: 'How long that took.',
    labelNames: ['where'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
    registers,
  });
  const invalid = new Counter({
    name: 'larder_documents_invalid_total',
    help: 'Documents from upstreams that were none; they were not stored.',
    registers,
  });
  const contradictions = new Counter({
    name: 'larder_contradictions_total',
    help: 'Documents that name another digest for bytes kept as immutable; the first bytes stay.',
    labelNames: ['repository'],
    registers,
  });
  const repositories = bounded(10_000);
  on('document.derived', ({ format, type, where, durationMs }) => {
    derived.inc({ format, type, where });
    duration.observe({ where }, durationMs / 1000);
  });
  on('document.invalid', () => invalid.inc());
  on('contradiction', ({ repository }) => contradictions.inc({ repository: repositories(repository) }));
}
