import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type HostedServer, startHosted } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { command, type Run } from './larder.ts';

describe('explain', () => {
  let server: HostedServer;
  let alice: string;

  beforeAll(async () => {
    server = await startHosted({
      format: 'generic',
      upstreams: { inner: { url: 'http://127.0.0.1:9' } },
      repositories: {
        all: { format: 'generic', sources: [{ repository: 'packages' }, { remote: 'inner' }] },
        claimed: {
          format: 'generic',
          sources: [{ repository: 'packages', claims: ['own/*'] }, { remote: 'inner' }],
        },
      },
    });
    alice = await server.token('alice');
    await ask(`${server.url}/tools/a.txt`, {
      method: 'PUT',
      headers: { authorization: `Bearer ${alice}` },
      body: 'one',
    });
  });
  afterAll(() => server.close());

  const explain = (secret: string, ...args: readonly string[]): Promise<Run> =>
    command(['explain', '--url', server.root, ...args], { LARDER_TOKEN: secret });

  it('says that what is published here is asked for nowhere else', async () => {
    const { code, out } = await explain(alice, 'acme/all', 'tools/a.txt');
    expect(code).toBe(0);
    expect(out).toBe(
      [
        'tools/a.txt in acme/all: you may read, publish, delete.',
        '  asked      acme/packages: tools/a.txt is published here',
        '    asked      hosted: tools/a.txt is published here',
        '  not asked  inner: tools/a.txt is published in acme/packages, so no other source is asked',
        '',
      ].join('\n'),
    );
  });

  it('says whose claim keeps a name inside, also before it is there', async () => {
    const { out } = await explain(alice, 'acme/claimed', 'own/secret', '--json');
    const { sources } = JSON.parse(out) as { sources: { source: string; asked: boolean; why: string }[] };
    expect(sources.map(({ source, asked, why }) => [source, asked, why])).toEqual([
      ['acme/packages', true, 'it claims own/*'],
      ['inner', false, 'acme/packages claims own/*, so no other source is asked'],
    ]);
  });

  it('tells strangers nothing, and says what is wrong with a call', async () => {
    const stranger = await server.token('olga');
    expect(await explain(stranger, 'acme/all', 'tools/a.txt')).toMatchObject({
      code: 1,
      err: 'larder: There is no repository acme/all here.\n',
    });
    expect(await explain(alice, 'acme/all')).toMatchObject({ code: 2 });
  });
});
