/** Who signs in, which tokens there are, and what policy holds back. */
import { Counter, Gauge } from 'prom-client';
import { bounded, type Counting } from './count.ts';

const ways = ['password', 'issuer', 'client', 'registry', 'exchange'] as const;
const outcomes = ['done', 'refused', 'failed'] as const;

export function countAccess({ registers, on, known }: Counting): void {
  const signIns = new Counter({
    name: 'larder_sign_ins_total',
    help: 'Sign-ins: with a password in a browser, through an issuer, from a package client, at the token service of registries; and exchanges of CI jobs.',
    labelNames: ['how', 'outcome'],
    registers,
  });
  for (const how of ways) for (const outcome of outcomes) signIns.inc({ how, outcome }, 0);
  on('sign-in', ({ how, outcome }) => signIns.inc({ how, outcome }));

  // When a token ends nothing happens, so these are looked up and not told.
  const { tokens } = known;
  if (tokens) {
    new Gauge({
      name: 'larder_tokens',
      help: 'Tokens that are kept. Expiring: valid, and over within seven days. Those that ended are remembered for 90 days.',
      labelNames: ['org', 'kind', 'state'],
      registers,
      collect() {
        this.reset();
        for (const { org, kind, state, count } of tokens()) this.set({ org, kind, state }, count);
      },
    });
  }

  const blocks = new Counter({
    name: 'larder_policy_blocks_total',
    help: 'Requests for versions that a rule holds back.',
    labelNames: ['repository', 'rule'],
    registers,
  });
  const repositories = bounded(10_000);
  const rules = bounded(100);
  on('policy.block', (event) => {
    blocks.inc({ repository: repositories(event.repository), rule: rules(event.rule) });
  });
}
