/** An image with a layer of a gigabyte: real clients and crowds, cuts on either side, and how much memory it takes. */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { imageClients, missingPrograms } from '../clients/image-clients.ts';
import { crowd } from '../support/crowd.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { ask } from '../support/http.ts';
import { type LarderProcess, spawnLarder } from '../support/larder.ts';
import { bigImage, blobFile, type Descriptor, type Image } from '../support/oci-images.ts';
import { type OciUpstream, startOciUpstream } from '../support/oci-upstream.ts';
import { eventually } from '../support/wait.ts';

const megabyte = 1_000_000;
const reason = missingPrograms('docker-registry', 'podman', 'skopeo');
const headers = { authorization: 'Bearer anonymous' };

describe.skipIf(reason)(`an image of a gigabyte${reason ? ` (${reason})` : ''}`, () => {
  let folder: TemporaryFolder;
  let image: Image;
  let layer: Descriptor;
  let upstream: OciUpstream;

  beforeAll(async () => {
    folder = await temporaryFolder('larder-big');
    image = await bigImage();
    const manifest = await readFile(blobFile(image.folder, image.tags[1]?.digest ?? ''), 'utf8');
    const [first] = (JSON.parse(manifest) as { layers: Descriptor[] }).layers;
    if (!first) throw new Error('The big image has no layer');
    layer = first;
    upstream = await startOciUpstream();
    await upstream.push(image);
  });

  afterAll(async () => {
    await upstream?.close();
    await folder?.remove();
  });

  async function startHub(): Promise<LarderProcess> {
    upstream.heal();
    upstream.forget();
    const larder = await spawnLarder({
      upstreamUrl: upstream.url,
      upstream: { hosts: upstream.hosts, namespaces: ['docker.io'], shortNames: 'library' },
      more: {
        hosts: { default: 'acme/hub' },
        orgs: {
          acme: {
            repositories: { hub: { format: 'oci', sources: [{ remote: 'inner' }] } },
            access: [{ who: ['everyone'], may: ['read'] }],
          },
        },
      },
    });
    onTestFinished(() => larder.close());
    // What any request loads is no growth.
    expect((await larder.ask('/v2/acme/hub/acme/big/manifests/1', { headers })).status).toBe(200);
    return larder;
  }

  const layerUrl = (larder: LarderProcess): string => `${larder.url}/v2/acme/hub/acme/big/blobs/${layer.digest}`;

  async function untilStored(larder: LarderProcess): Promise<void> {
    const isStored = async (): Promise<boolean> => {
      const answer = await ask(layerUrl(larder), { headers: { ...headers, range: 'bytes=0-0' } });
      return answer.headers['x-larder-cache'] === 'hit';
    };
    // A gigabyte is hashed and written to a disk that others use as well.
    await eventually('the layer is stored', isStored, 90_000);
  }

  /** Whatever else the machine does counts as memory too: one run of two that is within bounds shows that the program can be. */
  const patient = { retry: 1 };

  test('ten clients at once make one transfer and little memory', patient, async () => {
    const larder = await startHub();
    const before = await larder.memory();
    const members = await crowd({ url: layerUrl(larder), clients: 10, headers, sizeBytes: layer.size });
    const after = await larder.memory();
    const hex = layer.digest.split(':')[1];
    expect(members.map((one) => [one.status, one.complete, one.bytes, one.sha256])).toEqual(
      members.map(() => [200, true, layer.size, hex]),
    );
    expect(upstream.count('cdn')).toBe(1);
    expect(upstream.blobBytesSent).toBe(layer.size);
    expect(after.peakRssBytes - before.rssBytes).toBeLessThan(150 * megabyte);
  });

  test('podman pulls it cold while upstream cuts it twice, and skopeo warm', patient, async () => {
    const larder = await startHub();
    const before = await larder.memory();
    const podman = imageClients.find(({ id }) => id === 'podman');
    const skopeo = imageClients.find(({ id }) => id === 'skopeo');
    if (!podman || !skopeo) throw new Error('A client is missing from the list');
    upstream.fail('cdn', { kind: 'cut', atBytes: 300 * megabyte }, { times: 2, only: layer.digest });

    const home = join(folder.path, 'podman');
    await mkdir(home);
    const engine = await podman.start(home, { origin: larder.url, path: podman.mirrorPath });
    const [told] = await engine.pull('acme/big:1');
    expect(told).toContain(image.tags[1]?.digest);
    await rm(home, { recursive: true, force: true });
    // What was cut off is asked for by range, so no byte comes twice.
    const transfers = upstream.requests.filter(({ kind, url }) => kind === 'cdn' && url.includes(layer.digest));
    expect(transfers.map(({ headers: sent }) => sent.range)).toEqual([
      undefined,
      expect.stringMatching(/^bytes=\d+-/),
      expect.stringMatching(/^bytes=\d+-/),
    ]);
    expect(upstream.blobBytesSent).toBeLessThan(layer.size + 60 * megabyte);

    await untilStored(larder);
    upstream.forget();
    const other = join(folder.path, 'skopeo');
    await mkdir(other);
    const again = await skopeo.start(other, { origin: larder.url, path: skopeo.mirrorPath });
    expect(await again.pull('acme/big:1')).toContain(`${layer.digest.split(':')[1]} ${layer.digest}`);
    await rm(other, { recursive: true, force: true });
    expect(upstream.count()).toBe(0);
    expect((await larder.memory()).peakRssBytes - before.rssBytes).toBeLessThan(150 * megabyte);
  });

  test('a client that is cut off goes on where it was, cold and warm', async () => {
    const larder = await startHub();
    const hash = createHash('sha256');
    let at = 0;
    /** Reads from where it is, and leaves at `until` if that comes before the end. */
    async function read(until: number): Promise<void> {
      const leaving = new AbortController();
      const from = at;
      const range: Record<string, string> = from === 0 ? {} : { range: `bytes=${from}-` };
      const answer = ask(layerUrl(larder), {
        headers: { ...headers, ...range },
        signal: leaving.signal,
        onHead(status, got) {
          expect([status, got['content-range']]).toEqual(
            from === 0 ? [200, undefined] : [206, `bytes ${from}-${layer.size - 1}/${layer.size}`],
          );
        },
        onData(piece) {
          if (at >= until) return;
          hash.update(piece);
          at += piece.length;
          if (at >= until) leaving.abort();
        },
      });
      await answer.catch((error: Error) => expect(error.name).toBe('AbortError'));
    }
    await read(100 * megabyte);
    await read(250 * megabyte);
    await untilStored(larder);
    await read(700 * megabyte);
    await read(layer.size);
    expect(at).toBe(layer.size);
    expect(`sha256:${hash.digest('hex')}`).toBe(layer.digest);
    expect(upstream.count('cdn')).toBe(1);
  });
});
