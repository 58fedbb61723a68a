/** Downloads from upstreams and who reads from them. */
import { Counter, Gauge } from 'prom-client';
import type { Counting } from './count.ts';

const downloadOutcomes = ['stored', 'passed', 'failed', 'abandoned'] as const;

export function countDownloads({ registers, on }: Counting): void {
  const inFlight = new Gauge({
    name: 'larder_downloads_in_flight',
    help: 'Downloads that have not ended, however many clients wait for each.',
    registers,
  });
  const ended = new Counter({
    name: 'larder_downloads_total',
    help: 'Downloads that have ended, by how.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of downloadOutcomes) ended.inc({ outcome }, 0);
  const readers = new Gauge({ name: 'larder_download_readers', help: 'Clients reading from downloads.', registers });
  const joined = new Counter({
    name: 'larder_download_joined_total',
    help: 'Clients that read from a download somebody else had started.',
    registers,
  });
  const resumes = new Counter({
    name: 'larder_download_resumes_total',
    help: 'Downloads that were cut and went on where they had stopped.',
    registers,
  });
  const mismatches = new Counter({
    name: 'larder_download_mismatches_total',
    help: 'Downloads whose bytes were not what had been promised; nothing of them was stored.',
    registers,
  });
  on('download.start', () => inFlight.inc());
  on('download.end', ({ outcome }) => {
    inFlight.dec();
    ended.inc({ outcome });
  });
  on('download.reader', ({ change, joined: isJoined }) => {
    readers.inc(change);
    if (change === 1 && isJoined) joined.inc();
  });
  on('download.resume', () => resumes.inc());
  on('download.mismatch', () => mismatches.inc());
}
