/** Every program that pushes images and charts does so to Larder, and others have the same; and what each says of one who may not. */
import { copyFile, mkdir, mkdtemp, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { ask } from '../support/http.ts';
import { parseMetrics } from '../support/metrics.ts';
import { blobFile, contentOf, type Image, smallImages } from '../support/oci-images.ts';
import { missingPrograms, type Ran, runProgram } from './image-clients.ts';
import { imagePushers, type PushEngine, type Registry } from './image-pushers.ts';

const parts = missingPrograms('skopeo', 'umoci', 'busybox');

let folder: TemporaryFolder;
let plain: HostedServer;
let secure: HostedServer;
let images: Readonly<Record<string, Image>>;
let certificates: string;

beforeAll(async () => {
  if (parts) return;
  folder = await temporaryFolder('larder-pushes');
  images = await smallImages();
  const repositories = { more: { format: 'oci', sources: [{ hosted: true }] } };
  plain = await startHosted({ format: 'oci', repositories });
  secure = await startHosted({ format: 'oci', tls: true });
  certificates = join(folder.path, 'certificates');
  await mkdir(certificates);
  await copyFile(secure.caFile, join(certificates, 'ca.crt'));
});

afterAll(async () => {
  await plain?.close();
  await secure?.close();
  await folder?.remove();
});

const hostOf = ({ root }: HostedServer): string => new URL(root).host;

const newFolder = (what: string): Promise<string> => mkdtemp(join(folder.path, `${what}-`));

/** What the client printed is the reason if it failed. */
function expectDone({ code, output }: Ran): void {
  expect(`${code} ${code === 0 ? '' : output}`).toBe('0 ');
}

/** Without TLS. */
async function digestAt(server: HostedServer, name: string, tag: string): Promise<string> {
  const { 'docker-content-digest': digest } = (
    await ask(`${server.root}/v2/${name}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${await server.token('alice')}` },
    })
  ).headers;
  return String(digest);
}

/** Another machine has all of it, and every digest is right. */
async function expectPullable(server: HostedServer, name: string): Promise<void> {
  const home = await newFolder('other');
  const tls = server === plain ? ['--src-tls-verify=false'] : ['--src-cert-dir', certificates];
  const creds = `rita:${await server.token('rita')}`;
  const from = `docker://${hostOf(server)}/${name}`;
  const args = ['--insecure-policy', 'copy', '--all', ...tls, '--src-creds', creds, from, `dir:${home}/image`];
  expectDone(await runProgram('skopeo', args, home));
  expect((await readdir(join(home, 'image'))).length).toBeGreaterThan(2);
}

/** Requests that brought bytes. */
async function uploads(): Promise<number> {
  const metrics = parseMetrics((await ask(`${plain.root}/metrics`)).text());
  const labels = { outcome: 'hosted' };
  return (
    metrics.sum('larder_requests_total', { route: 'upload-append', ...labels }) +
    metrics.sum('larder_requests_total', { route: 'upload-finish', ...labels })
  );
}

describe.each(imagePushers)('$id', ({ id, programs, withoutTls, complaints, start, resends }) => {
  const missing = missingPrograms(...programs) ?? parts;
  /** A chart has the tag of its version. */
  const tag = id === 'helm' ? '1.2.3_b1' : '1';
  let engine: PushEngine;

  async function startAt(server: HostedServer): Promise<PushEngine> {
    const registry: Registry = { host: hostOf(server), ...(server === secure ? { certificates } : {}) };
    return start(await newFolder(id), registry, images['library/tiny'] as Image);
  }

  function login(token: string): Promise<Ran> {
    if (!engine.login) throw new Error(`${id} has no such command`);
    return engine.login(token);
  }

  beforeAll(async () => {
    if (!missing) engine = await startAt(plain);
  });

  afterAll(() => engine?.close());

  const cases: readonly [string, keyof typeof complaints, () => Promise<string | undefined>][] = [
    ['nobody', 'nothing', async () => undefined],
    ['a wrong token', 'wrong', async () => wrongToken],
    ['an expired token', 'expired', () => plain.expiredToken()],
    ['a token of another organisation', 'stranger', () => plain.token('olga')],
    ['a token of somebody whom no rule mentions', 'stranger', () => plain.token('nobody')],
    ['a token of a reader', 'reader', () => plain.token('rita')],
  ];

  test.skipIf(missing).each(cases)('pushes nothing as %s, and says why', async (_who, complaint, token) => {
    const { code, output } = await engine.push(`acme/packages/${id}/app:${tag}`, await token());
    expect(code).not.toBe(0);
    expect(output).toMatch(complaints[complaint] as RegExp);
  });

  test.skipIf(missing)('pushes what others pull', async () => {
    const token = await plain.token('alice');
    const pushed = await engine.push(`acme/packages/${id}/app:${tag}`, token);
    expectDone(pushed);
    const digest = await digestAt(plain, `acme/packages/${id}/app`, tag);
    await expectPullable(plain, `acme/packages/${id}/app@${digest}`);
    await expectPullable(plain, `acme/packages/${id}/app:${tag}`);
    // The client that pushed it, too.
    expectDone(await engine.pull(`acme/packages/${id}/app:${tag}`, await plain.token('rita')));
  });

  test.skipIf(missing)('pushes the same once more, and to another repository, without sending all of it', async () => {
    const token = await plain.token('alice');
    const before = await uploads();
    expectDone(await engine.push(`acme/packages/${id}/app:${tag}`, token));
    expect(await uploads()).toBe(before);
    expectDone(await engine.push(`acme/more/${id}/app:${tag}`, token));
    expect((await uploads()) - before).toBe(resends);
    expect(await digestAt(plain, `acme/more/${id}/app`, tag)).toBe(
      await digestAt(plain, `acme/packages/${id}/app`, tag),
    );
    await expectPullable(plain, `acme/more/${id}/app:${tag}`);
  });

  test.skipIf(missing ?? withoutTls)('pushes over TLS', async () => {
    const there = await startAt(secure);
    try {
      expectDone(await there.push(`acme/packages/${id}/app:${tag}`, await secure.token('alice')));
      await expectPullable(secure, `acme/packages/${id}/app:${tag}`);
      expectDone(await there.pull(`acme/packages/${id}/app:${tag}`, await secure.token('rita')));
    } finally {
      await there.close();
    }
  });

  test.skipIf(missing ?? complaints.login === undefined)('logs in with a token, and with nothing else', async () => {
    for (const who of ['alice', 'rita', 'olga']) expectDone(await login(await plain.token(who)));
    for (const token of [wrongToken, await plain.expiredToken()]) {
      const { code, output } = await login(token);
      expect(code).not.toBe(0);
      expect(output).toMatch(complaints.login as RegExp);
    }
  });
});

describe.skipIf(parts)('images of every kind', () => {
  test('are the same after a push', async () => {
    const authorization = `Bearer ${await plain.token('alice')}`;
    const at = `${plain.root}/v2/acme/packages/kinds`;
    const put = async (path: string, type: string, body: Buffer, method = 'PUT'): Promise<void> => {
      const answer = await ask(`${at}/${path}`, { method, headers: { authorization, 'content-type': type }, body });
      expect([answer.status, answer.text()]).toEqual([201, '']);
    };
    for (const image of Object.values(images)) {
      for (const [tag, descriptor] of Object.entries(image.tags)) {
        const { manifests, blobs } = await contentOf(image, descriptor);
        for (const { digest } of blobs) {
          const body = await readFile(blobFile(image.folder, digest));
          await put(`${image.name}/blobs/uploads/?digest=${digest}`, 'application/octet-stream', body, 'POST');
        }
        for (const { digest, mediaType } of manifests) {
          const body = await readFile(blobFile(image.folder, digest));
          await put(`${image.name}/manifests/${digest}`, mediaType, body);
          if (digest === descriptor.digest) await put(`${image.name}/manifests/${tag}`, mediaType, body);
        }
        expect(await digestAt(plain, `acme/packages/kinds/${image.name}`, tag)).toBe(descriptor.digest);
        await expectPullable(plain, `acme/packages/kinds/${image.name}:${tag}`);
      }
    }
  });

  test('go with all their tags when one is deleted', async () => {
    const home = await newFolder('deleting');
    const [alice, rita] = [await plain.token('alice'), await plain.token('rita')];
    const name = `${hostOf(plain)}/acme/packages/deleted`;
    const tiny = images['library/tiny'] as Image;
    const copy = ['--insecure-policy', 'copy', '--dest-tls-verify=false', '--dest-creds', `alice:${alice}`];
    for (const tag of ['1', '2']) {
      expectDone(await runProgram('skopeo', [...copy, `oci:${tiny.folder}:1`, `docker://${name}:${tag}`], home));
    }
    const asWhom = (token: string): readonly string[] => ['--tls-verify=false', '--creds', `x:${token}`];
    const refused = await runProgram('skopeo', ['delete', ...asWhom(rita), `docker://${name}:1`], home);
    expect(refused.code).not.toBe(0);
    expect(refused.output).toMatch(/denied|403|may read deleted/i);
    expectDone(await runProgram('skopeo', ['delete', ...asWhom(alice), `docker://${name}:1`], home));
    const gone = await runProgram('skopeo', ['inspect', ...asWhom(alice), `docker://${name}:2`], home);
    expect(gone.output).toContain('manifest unknown');
  });
});
