/** Bytes that left through the proxy in front. */
import { Counter } from 'prom-client';
import type { Counting } from './count.ts';

export function countHandOff({ registers, on }: Counting): void {
  const count = (name: string, help: string): Counter<'repository'> =>
    new Counter({ name, help, labelNames: ['repository'], registers });
  const given = count('larder_handed_off_total', 'Answers whose bytes the proxy in front was left to send.');
  const bytes = count(
    'larder_handed_off_bytes_total',
    'Bytes of these answers; larder_client_bytes_total has them too.',
  );
  const returned = count(
    'larder_handed_off_returned_total',
    'Hand-offs that came back because the proxy could not open the file; Larder sent the bytes after all.',
  );
  on('request', ({ handOff, repository, bytesSent }) => {
    if (handOff === undefined) return;
    if (handOff === 'returned') return returned.inc({ repository });
    given.inc({ repository });
    bytes.inc({ repository }, bytesSent);
  });
}
