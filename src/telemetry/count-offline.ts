/** What is missing where nobody may be asked, and what is kept warm. */
import { Counter } from 'prom-client';
import { bounded, type Counting } from './count.ts';

export function countOffline({ registers, on }: Counting): void {
  const labelNames = ['repository'] as const;
  const misses = new Counter({
    name: 'larder_offline_misses_total',
    help: 'Requests for what is not stored, where no upstream may be asked; `larder missing` lists what it was.',
    labelNames,
    registers,
  });
  const refreshed = new Counter({
    name: 'larder_keep_warm_documents_total',
    help: 'Documents refreshed before anybody asked for them again.',
    labelNames,
    registers,
  });
  const fetched = new Counter({
    name: 'larder_keep_warm_artifacts_total',
    help: 'Newest versions fetched before anybody asked for them.',
    labelNames,
    registers,
  });
  const failed = new Counter({
    name: 'larder_keep_warm_failures_total',
    help: 'What could not be refreshed or fetched.',
    labelNames,
    registers,
  });
  const repositories = bounded(10_000);
  on('offline.miss', (event) => misses.inc({ repository: repositories(event.repository) }));
  on('keep-warm', (event) => {
    const repository = repositories(event.repository);
    refreshed.inc({ repository }, event.documents);
    fetched.inc({ repository }, event.artifacts);
    failed.inc({ repository }, event.failed);
  });
}
