/** A log line for eyes. */
import { levels } from 'pino';

/** Takes a line of JSON and gives one of text. */
export function prettyLine(line: string): string {
  const { level, time, msg, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const clock = new Date(Number(time)).toISOString().slice(11, 23);
  const name = (levels.labels[Number(level)] ?? '').toUpperCase().padEnd(5);
  if (msg === 'request') return `${clock} ${name} ${requestText(facts)}\n`;
  const { err, ...rest } = facts;
  const details = Object.entries(rest).map(([key, value]) => ` ${key}=${scalar(value)}`);
  return `${clock} ${name} ${msg}${details.join('')}${errorText(err)}\n`;
}

function requestText(facts: Readonly<Record<string, unknown>>): string {
  const { method, url, status, cache, bytes, ms, remote, id, err, aborted } = facts;
  const end = `${aborted ? ' (left)' : ''}${err === undefined ? '' : ` ${String(err)}`}`;
  return `${method} ${url} ${status} ${cache} ${bytes} B ${ms} ms ${remote} ${id}${end}`;
}

function scalar(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function errorText(error: unknown): string {
  if (error === undefined) return '';
  const stack = typeof error === 'object' && error !== null && 'stack' in error ? error.stack : undefined;
  return `\n${String(stack ?? scalar(error)).replaceAll(/^/gm, '    ')}`;
}
