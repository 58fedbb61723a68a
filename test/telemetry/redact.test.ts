import { expect, it } from 'vitest';
import { redactText, redactUrl } from '../../src/telemetry/redact.ts';

const token = `lrd_${'a1B2'.repeat(9)}`;

it.each([
  ['in a path', `/acme/npm/-/user/token/${token}`, '/acme/npm/-/user/token/lrd_***'],
  ['as a user', `https://${token}@example.com/x`, 'https://***@example.com/x'],
  ['in a path, escaped', `/x/lrd%5F${'a1B2'.repeat(9)}/y`, '/x/lrd_***/y'],
  ['in a query', `/x?q=${token}&page=2`, '/x?q=lrd_***&page=2'],
  ['short-lived', '/x/lrd_eyJhbGciOi.eyJpc3Mi.c2ln_-/y', '/x/lrd_***/y'],
])('tokens of ours are not written down: %s', (_name, url, expected) => {
  expect(redactUrl(url)).toBe(expected);
});

it('nor in texts', () => {
  expect(redactText(`no such token ${token}: try another`)).toBe('no such token lrd_***: try another');
});
