import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config/load.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await temporaryFolder('larder-config-limits');
});

afterAll(() => folder.remove());

/** `server` and `org`: what stands below `limits` of each. */
async function limits(server: unknown, org: unknown = {}) {
  const file = join(folder.path, 'larder.yaml');
  const acme = { repositories: { files: { format: 'generic', sources: [{ hosted: true }] } }, limits: org };
  await writeFile(file, JSON.stringify({ server: { limits: server }, orgs: { acme } }));
  const config = await loadConfig(file, {});
  return { server: config.server.limits, acme: config.orgs.acme?.limits };
}

describe('limits of clients', () => {
  it('are none unless they are said, except that no address has all the connections', async () => {
    const { server, acme } = await limits({});
    expect(server.perAddress).toEqual({ connections: 8000 });
    expect(server.perIdentity).toEqual({});
    expect(acme).toEqual({ perAddress: {}, perIdentity: {}, total: {} });
  });

  it.each([
    { written: '50/s', perSecond: 50, burst: 500 },
    { written: 50, perSecond: 50, burst: 500 },
    { written: '600/m', perSecond: 10, burst: 100 },
    { written: '36/h', perSecond: 0.01, burst: 1 },
  ])('$written come to $perSecond a second, and ten seconds of them at once', async ({ written, perSecond, burst }) => {
    const { server } = await limits({ perAddress: { requests: written } });
    expect(server.perAddress.requests).toEqual({ perSecond, burst });
  });

  it("of an org are the server's but for what it says itself, one by one", async () => {
    const { acme } = await limits(
      { perAddress: { requests: '10/s', burst: 7, download: '1MB', transfers: 9, connections: 5 } },
      { perAddress: { download: 'unlimited', transfers: 3 }, perIdentity: { upload: '2MB' } },
    );
    expect(acme?.perAddress).toEqual({ requests: { perSecond: 10, burst: 7 }, transfers: 3 });
    expect(acme?.perIdentity).toEqual({ uploadBytes: 2_000_000 });
  });

  it('have the burst of the rate that holds', async () => {
    const said = { perAddress: { requests: '10/s', burst: 7 } };
    expect((await limits(said, { perAddress: { requests: '1/s' } })).acme?.perAddress.requests?.burst).toBe(10);
    expect((await limits(said, { perAddress: { burst: 9 } })).acme?.perAddress.requests).toEqual({
      perSecond: 10,
      burst: 9,
    });
  });

  it.each([
    { connections: 10, perAddress: 8 },
    { connections: 1, perAddress: 1 },
  ])('leave room beside one address: $perAddress of $connections', async ({ connections, perAddress }) => {
    expect((await limits({ connections })).server.perAddress.connections).toBe(perAddress);
    const all = await limits({ connections, perAddress: { connections: 'unlimited' } });
    expect(all.server.perAddress.connections).toBe(connections);
  });

  it.each([
    ['requests', { requests: 'many' }],
    ['requests', { requests: '0/s' }],
    ['requests', { requests: '5/d' }],
    ['burst', { burst: 0 }],
    ['download', { download: 'fast' }],
    ['download', { download: 0 }],
    ['transfers', { transfers: 0 }],
    ['connections', { connections: 'none' }],
  ])('are refused where %s is no such thing: %j', async (key, perAddress) => {
    const error = await limits({ perAddress }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).mistakes.map(({ path }) => path)).toEqual([`server.limits.perAddress.${key}`]);
  });
});
