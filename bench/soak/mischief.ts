/** Steps of the load that nobody should take: garbage, and tokens that come and go. */
import type { Answer, Wish } from './client.ts';
import { apiPath, below, credentials, pathOf, pickOf, type World } from './world.ts';

/** Never parse as HTTP, or are refused before anything is spent on them. */
const garbage: readonly ((world: World) => Buffer | string)[] = [
  () => 'nonsense\r\n\r\n',
  () => 'GET /open/npm HTTP/9.9\r\nHost: x\r\n\r\n',
  () => `GET /open/npm/${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  () => `GET /open/npm HTTP/1.1\r\nHost: x\r\nX-Long: ${'b'.repeat(40_000)}\r\n\r\n`,
  () => 'GET /open/npm HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n',
  () => 'GET http://elsewhere.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'GET /open/npm/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'GET /open/generic/../../../etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'GET /open/generic/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'POST /open/npm/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  () => 'POST /open/npm/-/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  () => 'DELETE /open/npm/soak-pkg-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'BREW /open/npm/soak-pkg-1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  () => 'GET /no-such-org/no-such-repository/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  // Cut in the middle of its headers, or of its body.
  () => 'GET /open/npm/soak-p',
  () => 'PUT /beta/generic/x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nshort',
  ({ random }) => Buffer.from(Array.from({ length: 200 }, () => Math.floor(random() * 256))),
];

export interface Mischief {
  garbage(world: World): Promise<void>;
  tokens(world: World): Promise<void>;
}

export function createMischief(): Mischief {
  async function plain(
    world: World,
    wish: Wish,
    repository: string,
    statuses: readonly number[],
    step: string,
  ): Promise<Answer> {
    const answer = await world.client.ask({ ...wish, keep: true });
    world.ledger.add(repository, wish, answer);
    if (!statuses.includes(answer.status)) {
      world.ledger.violation(
        `${step}: ${wish.method ?? 'GET'} ${wish.path}, ${answer.status} (${answer.error ?? answer.body.toString().slice(0, 200)})`,
      );
    }
    return answer;
  }

  return {
    async garbage(world) {
      const bytes = pickOf(world, garbage)(world);
      // Nobody can say whether this becomes a request at all.
      const repository = /^\w+ \/(\w+\/\w+)/.exec(bytes.toString('latin1'))?.[1] ?? '-';
      world.ledger.maybe(repository);
      const said = await world.client.raw(bytes);
      const status = /^HTTP\/1\.1 (\d{3}) /.exec(said)?.[1];
      if (status !== undefined && !/^4\d\d$|^501$|^505$/.test(status)) {
        world.ledger.violation(
          `garbage: ${JSON.stringify(bytes.toString('latin1').slice(0, 80))} was answered ${status}`,
        );
      }
      if (status === undefined && said !== '')
        world.ledger.violation(`garbage: answered ${JSON.stringify(said.slice(0, 80))}`);
    },

    /** One is made, counts at once, is ended, and counts no more at once. */
    async tokens(world) {
      const admin = { authorization: `Bearer ${world.tokens.adam}` };
      const made = await plain(
        world,
        {
          path: `${apiPath}acme/tokens`,
          method: 'POST',
          headers: { ...admin, 'content-type': 'application/json' },
          body: JSON.stringify({ user: 'rita', may: ['read'], expiresInDays: 1 }),
        },
        '-',
        [201],
        'token',
      );
      if (made.status !== 201) return;
      const { token, facts } = JSON.parse(made.body.toString()) as { token: string; facts: { id: string } };
      const path = `${pathOf('acme', 'generic')}/${world.secret}/token-${below(world, 1000)}`;
      const headers = credentials('generic', token);
      await plain(world, { path, headers }, 'acme/generic', [404], 'token');
      await plain(
        world,
        { path: `${apiPath}acme/tokens/${facts.id}`, method: 'DELETE', headers: admin },
        '-',
        [200, 204],
        'token',
      );
      await plain(world, { path, headers }, 'acme/generic', [401], 'token');
    },
  };
}
