/** A name for each request, through log, answer and upstream. */
import { randomBytes } from 'node:crypto';

const run = randomBytes(5).toString('hex');
let count = 0;

/** Unique over restarts and replicas: a random part per process and a counter. */
export function newRequestId(): string {
  count = (count + 1) % Number.MAX_SAFE_INTEGER;
  return `${run}-${count.toString(36)}`;
}

/** A client's own id is kept when it can do no harm in a log line or a header. */
export function requestIdOf(header: string | string[] | undefined): string {
  return typeof header === 'string' && /^[\w.:-]{1,64}$/.test(header) ? header : newRequestId();
}
