/** A request event for tests. */
import type { Events } from '../../src/core/events.ts';

export function request(more: Partial<Events['request']> = {}): Events['request'] {
  return {
    id: 'r-1',
    method: 'GET',
    url: '/public/npm/lodash',
    status: 200,
    repository: 'public/npm',
    format: 'npm',
    route: 'packument',
    outcome: 'hit',
    bytesSent: 100,
    durationMs: 1.2345,
    firstByteMs: 1,
    remote: '127.0.0.1',
    userAgent: 'npm/10.9.4 node/v24.0.0',
    ...more,
  };
}
