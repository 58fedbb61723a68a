import { getCACertificates } from 'node:tls';
import { expect, it } from 'vitest';
import { authoritiesWith } from '../../src/upstream/agent.ts';

it('trusts a configured authority besides the usual ones, not instead of them', () => {
  const usual = getCACertificates('default');
  expect(usual.length).toBeGreaterThan(10);
  expect(authoritiesWith('one more')).toEqual([...usual, 'one more']);
});
