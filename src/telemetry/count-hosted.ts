/** What is published, changed and taken away here. */
import { Counter } from 'prom-client';
import { bounded, type Counting } from './count.ts';

export function countHosted({ registers, on }: Counting): void {
  const changes = new Counter({
    name: 'larder_hosted_changes_total',
    help: 'Changes to what is published here, once they are on disk.',
    labelNames: ['repository', 'format', 'action'],
    registers,
  });
  const added = new Counter({
    name: 'larder_hosted_added_bytes_total',
    help: 'Bytes that were published.',
    labelNames: ['repository', 'format'],
    registers,
  });
  const repositories = bounded(10_000);
  const actions = bounded(50);
  on('hosted.change', ({ format, action, bytes, ...event }) => {
    const repository = repositories(event.repository);
    changes.inc({ repository, format, action: actions(action) });
    added.inc({ repository, format }, Math.max(0, bytes));
  });
}
